package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/store"
)

// maxCurves bounds how much one request for curves reads: devices times the length of time. Seven
// days of one sensor that speaks every second are 600,000 values.
const maxCurves = 7 * 24 * time.Hour

type seriesInput struct {
	Of     []string  `query:"of" required:"true" minItems:"1" maxItems:"60" doc:"edge/device, separated by commas"`
	From   time.Time `query:"from" doc:"an hour before to unless given"`
	To     time.Time `query:"to" doc:"now unless given"`
	Points int       `query:"points" default:"120" minimum:"2" maximum:"2000" doc:"of each curve at most"`
}

type seriesOutput struct {
	Body struct {
		Series []store.Series `json:"series" doc:"devices that are not there are left out"`
		From   time.Time      `json:"from"`
		To     time.Time      `json:"to"`
	}
}

type picturesInput struct {
	Of []string `query:"of" required:"true" minItems:"1" maxItems:"60" doc:"edge/device, separated by commas"`
}

type picturesOutput struct {
	Body struct {
		Pictures []store.Picture `json:"pictures" doc:"cameras without one are left out"`
	}
}

func (s *Server) registerSeries() {
	tags := []string{"devices"}
	register(s, auth.Monitor, huma.Operation{
		OperationID: "list-series", Method: http.MethodGet, Path: "/api/v1/series", Tags: tags,
		Summary: "Curves of sensors: lowest, mean and highest value of each step of time",
	}, s.series)
	register(s, auth.Monitor, huma.Operation{
		OperationID: "list-pictures", Method: http.MethodGet, Path: "/api/v1/pictures", Tags: tags,
		Summary: "The newest picture that the hub has of each camera, with its time",
	}, s.pictures)
}

func (s *Server) series(ctx context.Context, in *seriesInput) (*seriesOutput, error) {
	if in.To.IsZero() {
		in.To = time.Now()
	}
	if in.From.IsZero() {
		in.From = in.To.Add(-time.Hour)
	}
	if !in.From.Before(in.To) || in.To.Sub(in.From) > maxCurves/time.Duration(len(in.Of)) {
		return nil, huma.Error422UnprocessableEntity("from must be before to, and all curves together at most 7 days long")
	}
	out := &seriesOutput{}
	out.Body.From, out.Body.To, out.Body.Series = in.From.UTC(), in.To.UTC(), []store.Series{}
	for _, of := range in.Of {
		edge, device, _ := strings.Cut(of, "/")
		one, err := s.o.Store.Series(ctx, edge, device, in.From, in.To, in.Points)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out.Body.Series = append(out.Body.Series, one)
	}
	return out, nil
}

func (s *Server) pictures(ctx context.Context, in *picturesInput) (*picturesOutput, error) {
	out := &picturesOutput{}
	out.Body.Pictures = []store.Picture{}
	for _, of := range in.Of {
		edge, device, _ := strings.Cut(of, "/")
		p, err := s.o.Store.LastPicture(ctx, edge, device)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out.Body.Pictures = append(out.Body.Pictures, p)
	}
	return out, nil
}
