package web

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/notify"
)

type switchWebhookInput struct {
	ID   string `path:"id" maxLength:"80"`
	Body struct {
		Enabled bool `json:"enabled"`
	}
}

type testWebhookOutput struct {
	Body struct {
		Delivered bool   `json:"delivered"`
		Status    int    `json:"status" doc:"of the HTTP answer; 0: there was none"`
		Cause     string `json:"cause" doc:"why it was not delivered, in words"`
		TookMS    int64  `json:"took_ms"`
	}
}

func (s *Server) registerTargets() {
	tags := []string{"webhooks"}
	register(s, auth.Administrator, huma.Operation{
		OperationID: "switch-webhook", Method: http.MethodPut, Path: "/api/v1/webhooks/{id}", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Switch a webhook off, or on again; what waits for it goes on waiting", Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *switchWebhookInput) (*struct{}, error) {
		return nil, s.o.Store.SwitchWebhook(ctx, who(ctx).Name, in.ID, in.Body.Enabled)
	})
	register(s, auth.Administrator, huma.Operation{
		OperationID: "test-webhook", Method: http.MethodPost, Path: "/api/v1/webhooks/{id}/test", Tags: tags, DefaultStatus: http.StatusOK,
		Summary: "Send one event of the type gridpost.test now, and say what came of it", Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, s.testWebhook)
}

func (s *Server) testWebhook(ctx context.Context, in *idInput) (*testWebhookOutput, error) {
	w, err := s.o.Store.Webhook(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if s.o.TestWebhook == nil {
		return nil, huma.Error503ServiceUnavailable("this hub sends no webhooks")
	}
	got, err := s.o.TestWebhook(ctx, notify.Target{ID: w.ID, URL: w.URL, Secrets: w.Secrets}, who(ctx).Name)
	if err != nil {
		return nil, err
	}
	outcome := "delivered"
	if !got.Delivered {
		outcome = "not delivered: " + strconv.Itoa(got.Status)
	}
	if err := s.o.Store.NoteWebhookTest(ctx, who(ctx).Name, w.ID, outcome); err != nil {
		return nil, err
	}
	out := &testWebhookOutput{}
	out.Body.Delivered, out.Body.Status, out.Body.Cause, out.Body.TookMS = got.Delivered, got.Status, got.Cause, got.Took.Milliseconds()
	return out, nil
}
