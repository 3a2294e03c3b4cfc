package web

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
)

// maxCurves bounds how much one request for curves reads: devices times the length of time. A long curve is
// made of summaries of ten minutes: 366 days have 53,000 of them.
const maxCurves = 366 * 24 * time.Hour

type seriesInput struct {
	Of     []string  `query:"of" required:"true" minItems:"1" maxItems:"60" doc:"edge/device, separated by commas"`
	From   time.Time `query:"from" doc:"an hour before to unless given"`
	To     time.Time `query:"to" doc:"now unless given"`
	Points int       `query:"points" default:"120" minimum:"2" maximum:"2000" doc:"of each curve at most"`
}

type seriesOutput struct {
	Body struct {
		Series []public.Series `json:"series" doc:"devices that are not there are left out"`
		From   time.Time       `json:"from"`
		To     time.Time       `json:"to"`
	}
}

func (s *Server) registerSeries() {
	tags := []string{"devices"}
	register(s, huma.Operation{
		OperationID: "list-series", Tags: tags,
		Summary: "Curves of sensors: lowest, mean and highest value of each step of time",
	}, s.series)
	s.registerPictures(tags)
}

func (s *Server) series(ctx context.Context, in *seriesInput) (*seriesOutput, error) {
	if in.To.IsZero() {
		in.To = time.Now()
	}
	if in.From.IsZero() {
		in.From = in.To.Add(-time.Hour)
	}
	if !in.From.Before(in.To) || in.To.Sub(in.From) > maxCurves/time.Duration(len(in.Of)) {
		return nil, problem.New("period_invalid", "days", "366")
	}
	out := &seriesOutput{}
	out.Body.From, out.Body.To, out.Body.Series = in.From.UTC(), in.To.UTC(), []public.Series{}
	for _, of := range in.Of {
		edge, device, _ := strings.Cut(of, "/")
		d, err := s.o.Edges.Device(ctx, who(ctx).Scope, edge, device)
		if errors.Is(err, db.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		c, err := s.o.Telemetry.Curve(ctx, who(ctx).Scope, edge, device, in.From, in.To, in.Points)
		if err != nil {
			return nil, err
		}
		out.Body.Series = append(out.Body.Series, public.Series{Edge: edge, Device: device, Unit: d.Unit, At: c.At, Mean: c.Mean, Low: c.Low, High: c.High})
	}
	return out, nil
}
