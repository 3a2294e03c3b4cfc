package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/store"
)

type webhooksOutput struct {
	Body struct {
		Webhooks []store.Webhook `json:"webhooks"`
		Next     *string         `json:"next"`
	}
}

type addWebhookInput struct {
	Body struct {
		URL    string `json:"url" maxLength:"2000"`
		Secret string `json:"secret,omitempty" maxLength:"200" doc:"whsec_ and base64, as Standard Webhooks has it; made unless given"`
	}
}

type webhookOutput struct {
	Body struct {
		ID     string `json:"id"`
		URL    string `json:"url"`
		Secret string `json:"secret" doc:"what signatures are checked with; it is shown once"`
	}
}

type deliveriesInput struct {
	Page
	ID string `path:"id" maxLength:"80"`
}

type deliveriesOutput struct {
	Body struct {
		Deliveries []store.DeliveryRecord `json:"deliveries"`
		Next       *string                `json:"next"`
	}
}

func (s *Server) registerWebhooks() {
	tags := []string{"webhooks"}
	register(s, auth.Administrator, huma.Operation{
		OperationID: "list-webhooks", Method: http.MethodGet, Path: "/api/v1/webhooks", Tags: tags, Summary: "Who receives every alert",
	}, func(ctx context.Context, _ *struct{}) (*webhooksOutput, error) {
		out := &webhooksOutput{}
		var err error
		out.Body.Webhooks, err = s.o.Store.Webhooks(ctx)
		return out, err
	})
	register(s, auth.Administrator, huma.Operation{
		OperationID: "add-webhook", Method: http.MethodPost, Path: "/api/v1/webhooks", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Send every alert from now on to a URL, as CloudEvents with Standard Webhooks signatures",
	}, s.addWebhook)
	register(s, auth.Administrator, huma.Operation{
		OperationID: "remove-webhook", Method: http.MethodDelete, Path: "/api/v1/webhooks/{id}", Tags: tags, Summary: "Send nothing more there",
		DefaultStatus: http.StatusNoContent, Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *idInput) (*struct{}, error) {
		return nil, s.o.Store.RemoveWebhook(ctx, who(ctx).Name, in.ID)
	})
	register(s, auth.Administrator, huma.Operation{
		OperationID: "list-deliveries", Method: http.MethodGet, Path: "/api/v1/webhooks/{id}/deliveries", Tags: tags,
		Summary: "How alerts fared on their way there, newest first",
	}, s.listDeliveries)
}

func (s *Server) addWebhook(ctx context.Context, in *addWebhookInput) (*webhookOutput, error) {
	if err := notify.CheckURL(in.Body.URL, s.o.AllowPrivateWebhooks); err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	secret := in.Body.Secret
	if secret == "" {
		secret = notify.NewSecret()
	}
	if err := notify.CheckSecret(secret); err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	w := store.Webhook{ID: id.String(), URL: in.Body.URL, Secrets: []string{secret}}
	if err := s.o.Store.AddWebhook(ctx, who(ctx).Name, w); err != nil {
		return nil, err
	}
	out := &webhookOutput{}
	out.Body.ID, out.Body.URL, out.Body.Secret = w.ID, w.URL, secret
	return out, nil
}

func (s *Server) listDeliveries(ctx context.Context, in *deliveriesInput) (*deliveriesOutput, error) {
	before, err := in.number()
	if err != nil {
		return nil, err
	}
	out := &deliveriesOutput{}
	if out.Body.Deliveries, err = s.o.Store.Deliveries(ctx, in.ID, before, in.Limit); err != nil {
		return nil, err
	}
	out.Body.Next = next(in.Page, out.Body.Deliveries, func(last store.DeliveryRecord) string { return atNumber(last.Sequence) })
	return out, nil
}
