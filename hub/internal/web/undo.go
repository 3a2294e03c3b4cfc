package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/internal/auth"
)

// registerUndo adds what takes back a slip of the hand at the desk.
func (s *Server) registerUndo(tags []string) {
	refusals := []int{http.StatusNotFound, http.StatusConflict}
	register(s, auth.Dispatcher, huma.Operation{
		OperationID: "unacknowledge-incident", Method: http.MethodDelete, Path: "/api/v1/incidents/{id}/acknowledge", Tags: tags,
		Summary: "Take an acknowledgement back: it waits for somebody again", Errors: refusals, DefaultStatus: http.StatusOK,
	}, func(ctx context.Context, in *incidentInput) (*incidentOutput, error) {
		return whole(s.desk.Unacknowledge(ctx, who(ctx).Name, in.ID))
	})
	register(s, auth.Dispatcher, huma.Operation{
		OperationID: "reopen-incident", Method: http.MethodPost, Path: "/api/v1/incidents/{id}/reopen", Tags: tags,
		Summary: "Undo a closing, within 30 s of it", Errors: refusals, DefaultStatus: http.StatusOK,
	}, func(ctx context.Context, in *incidentInput) (*incidentOutput, error) {
		return whole(s.desk.Reopen(ctx, who(ctx).Name, in.ID))
	})
}
