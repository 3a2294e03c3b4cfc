package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
)

type addEdgeInput struct {
	Body struct {
		Name  string `json:"name" minLength:"1" maxLength:"40" pattern:"^[a-z0-9-]+$"`
		Hours int    `json:"hours,omitempty" minimum:"1" maximum:"720" doc:"how long the token can be redeemed; 72 unless given"`
		Again bool   `json:"again,omitempty" doc:"a further token for an edge that exists: its computer is replaced, or it was revoked"`
	}
}

type addEdgeOutput struct {
	Body struct {
		Name    string    `json:"name"`
		Token   string    `json:"token" doc:"what goes behind edge enrol URL; it is shown once and works once"`
		Expires time.Time `json:"expires_at"`
		Listen  string    `json:"listen" doc:"address and port at which the hub listens for edges"`
	}
}

// tokenHours is the default validity of an edge's enrolment token, in hours.
const tokenHours = 72

func (s *Server) registerEdges() {
	tags := []string{"edges"}
	register(s, huma.Operation{
		OperationID: "add-edge", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Make a place for an edge, and a one-time token for it", Errors: []int{http.StatusConflict},
	}, s.addEdge)
	registerRemoval(s, huma.Operation{
		OperationID: "revoke-edge", Tags: tags,
		Summary: "Refuse an edge from now on; its devices are forgotten, its incidents stay",
	}, func(ctx context.Context, in *nameInput) error {
		if _, err := s.o.Edges.Edge(ctx, who(ctx).Scope, in.Name); err != nil {
			return err
		}
		return s.o.Edges.Revoke(ctx, who(ctx).Name, in.Name)
	})
}

func (s *Server) addEdge(ctx context.Context, in *addEdgeInput) (*addEdgeOutput, error) {
	b := in.Body
	if s.o.EnrolToken == nil {
		return nil, problem.New("edge_tokens_unavailable")
	}
	_, err := s.o.Edges.Edge(ctx, who(ctx).Scope, b.Name)
	switch {
	case err == nil && !b.Again:
		return nil, problem.New("edge_exists")
	case errors.Is(err, db.ErrNotFound) && b.Again, err != nil && !errors.Is(err, db.ErrNotFound):
		return nil, err
	}
	if b.Hours == 0 {
		b.Hours = tokenHours
	}
	out := &addEdgeOutput{}
	secret := auth.Secret()
	hash := sha256.Sum256([]byte(secret))
	out.Body.Name, out.Body.Token = b.Name, s.o.EnrolToken(b.Name, secret)
	out.Body.Expires = time.Now().Add(time.Duration(b.Hours) * time.Hour).UTC().Truncate(time.Second)
	if s.o.EdgeAddress != nil {
		out.Body.Listen = s.o.EdgeAddress()
	}
	return out, s.o.Edges.Add(ctx, who(ctx).Name, b.Name, hash[:], out.Body.Expires)
}
