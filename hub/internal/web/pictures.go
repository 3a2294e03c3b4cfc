package web

import (
	"context"
	"errors"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/present"
)

type picturesInput struct {
	Of []string `query:"of" required:"true" minItems:"1" maxItems:"60" doc:"edge/device, separated by commas"`
}

type picturesOutput struct {
	Body struct {
		Pictures []public.Picture `json:"pictures" doc:"cameras without one are left out"`
	}
}

func (s *Server) registerPictures(tags []string) {
	register(s, huma.Operation{
		OperationID: "list-pictures", Tags: tags,
		Summary: "The newest picture that the hub has of each camera, with its time",
	}, s.pictures)
}

func (s *Server) pictures(ctx context.Context, in *picturesInput) (*picturesOutput, error) {
	out := &picturesOutput{}
	out.Body.Pictures = []public.Picture{}
	for _, of := range in.Of {
		edge, device, _ := strings.Cut(of, "/")
		f, err := s.o.Incidents.LastPicture(ctx, who(ctx).Scope, edge, device)
		if errors.Is(err, db.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		allowed, err := s.maySeeEvidence(ctx, who(ctx), f.Incident)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return nil, err
		}
		if !allowed {
			continue
		}
		out.Body.Pictures = append(out.Body.Pictures, public.Picture{
			Edge: edge, Device: device, Incident: f.Incident, URL: present.EvidenceURL(f), Time: f.Time,
		})
	}
	return out, nil
}
