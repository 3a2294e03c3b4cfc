package web

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/alerts"
)

type webhooksOutput struct {
	Body struct {
		Webhooks []public.Webhook `json:"webhooks"`
		Next     *string          `json:"next"`
	}
}

type addWebhookInput struct {
	Body struct {
		Kind     string                 `json:"kind,omitempty" enum:"webhook,mqtt,cap" doc:"webhook unless given: CloudEvents to a URL; mqtt: CloudEvents to a topic of a broker; cap: CAP 1.2 messages to a URL"`
		URL      string                 `json:"url" maxLength:"2000" doc:"https://, or mqtts:// of a broker"`
		Secret   string                 `json:"secret,omitempty" maxLength:"200" doc:"whsec_ and base64, as Standard Webhooks has it; made unless given"`
		Settings public.WebhookSettings `json:"settings,omitzero" doc:"of the kinds mqtt and cap"`
		Password string                 `json:"password,omitempty" maxLength:"500" doc:"of the broker; it is never shown"`

		Format int `json:"format,omitempty" minimum:"1" maximum:"2" doc:"of events: 2, or 1 for a receiver that does not know the type gridpost.incident.cleared"`
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
		Deliveries []public.DeliveryRecord `json:"deliveries"`
		Next       *string                 `json:"next"`
	}
}

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
		Cause     string `json:"cause" doc:"why it was not delivered, in English"`

		CauseCode   string            `json:"cause_code,omitempty" doc:"the same as a code"`
		CauseParams map[string]string `json:"cause_params,omitempty" doc:"the values of the code's sentence, by name"`

		TookMS int64 `json:"took_ms"`
	}
}

func (s *Server) registerWebhooks() {
	tags := []string{"webhooks"}
	register(s, huma.Operation{
		OperationID: "list-webhooks", Tags: tags, Summary: "Who receives every alert",
	}, func(ctx context.Context, _ *struct{}) (*webhooksOutput, error) {
		all, err := s.o.Alerts.List(ctx)
		if err != nil {
			return nil, err
		}
		out := &webhooksOutput{}
		out.Body.Webhooks = []public.Webhook{}
		for _, w := range all {
			out.Body.Webhooks = append(out.Body.Webhooks, s.publicWebhook(w))
		}
		return out, nil
	})
	register(s, huma.Operation{
		OperationID: "add-webhook", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Send every alert from now on to a URL, as CloudEvents with Standard Webhooks signatures",
	}, s.addWebhook)
	registerRemoval(s, huma.Operation{
		OperationID: "remove-webhook", Tags: tags, Summary: "Send nothing more there",
	}, func(ctx context.Context, in *idInput) error {
		return s.o.Alerts.Remove(ctx, who(ctx).Name, in.ID)
	})
	registerList(s, huma.Operation{
		OperationID: "list-deliveries", Tags: tags,
		Summary: "How alerts fared on their way there, newest first",
	}, list[*deliveriesInput, public.DeliveryRecord, deliveriesOutput]{
		fetch: func(ctx context.Context, in *deliveriesInput) ([]public.DeliveryRecord, error) {
			before, err := in.number()
			if err != nil {
				return nil, err
			}
			all, err := s.o.Alerts.Deliveries(ctx, in.ID, before, in.Limit)
			if err != nil {
				return nil, err
			}
			records := make([]public.DeliveryRecord, len(all))
			for i, d := range all {
				records[i] = publicDelivery(d)
			}
			return records, nil
		},
		cursor: func(last public.DeliveryRecord) string { return atNumber(last.Sequence) },
		answer: func(all []public.DeliveryRecord, next *string) *deliveriesOutput {
			out := &deliveriesOutput{}
			out.Body.Deliveries, out.Body.Next = all, next
			return out
		},
	})
	registerChange(s, huma.Operation{
		OperationID: "switch-webhook", Tags: tags,
		Summary: "Switch a webhook off, or on again; what waits for it goes on waiting",
	}, func(ctx context.Context, in *switchWebhookInput) error {
		return s.o.Alerts.Switch(ctx, who(ctx).Name, in.ID, in.Body.Enabled)
	})
	register(s, huma.Operation{
		OperationID: "test-webhook", Tags: tags, DefaultStatus: http.StatusOK,
		Summary: "Send one event of the type gridpost.test now, and say what came of it", Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, s.testWebhook)
}

func (s *Server) addWebhook(ctx context.Context, in *addWebhookInput) (*webhookOutput, error) {
	secret := in.Body.Secret
	if secret == "" {
		secret = notify.NewSecret()
	}
	settings := notify.Settings{
		Topic: in.Body.Settings.Topic, Username: in.Body.Settings.Username, Password: in.Body.Password, CA: in.Body.Settings.CA,
		Sender: in.Body.Settings.Sender, Status: in.Body.Settings.Status,
	}
	target := notify.Target{Kind: in.Body.Kind, URL: in.Body.URL, Settings: settings, Secrets: []string{secret}}
	if err := notify.CheckTarget(target, s.o.AllowPrivateWebhooks); err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	w := alerts.Webhook{ID: id.String(), Kind: in.Body.Kind, URL: in.Body.URL, Settings: settings, Secrets: []string{secret}, Format: in.Body.Format}
	if err := s.o.Alerts.Add(ctx, who(ctx).Name, w); err != nil {
		return nil, err
	}
	out := &webhookOutput{}
	out.Body.ID, out.Body.URL, out.Body.Secret = w.ID, w.URL, secret
	return out, nil
}

func (s *Server) testWebhook(ctx context.Context, in *idInput) (*testWebhookOutput, error) {
	w, err := s.o.Alerts.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if s.o.TestWebhook == nil {
		return nil, problem.New("webhooks_unavailable")
	}
	got, err := s.o.TestWebhook(ctx, notify.Target{ID: w.ID, Kind: w.Kind, URL: w.URL, Settings: w.Settings, Secrets: w.Secrets, Format: w.Format}, who(ctx).Name)
	if err != nil {
		return nil, err
	}
	outcome := "delivered"
	if !got.Delivered {
		outcome = "not delivered: " + strconv.Itoa(got.Status)
	}
	if err := s.o.Alerts.AuditTest(ctx, who(ctx).Name, w.ID, outcome); err != nil {
		return nil, err
	}
	out := &testWebhookOutput{}
	out.Body.Delivered, out.Body.Status, out.Body.TookMS = got.Delivered, got.Status, got.Took.Milliseconds()
	out.Body.Cause, out.Body.CauseCode, out.Body.CauseParams = got.Cause.Text, got.Cause.Code, got.Cause.Params
	return out, nil
}

func (s *Server) publicWebhook(w alerts.Webhook) public.Webhook {
	p := public.Webhook{
		ID: w.ID, Kind: w.Kind, URL: w.URL, Format: w.Format, Settings: publicSettings(w.Settings), Created: w.Created, Pending: w.Pending, Dead: w.Dead,
		Disabled: w.Disabled.Text, DisabledCode: w.Disabled.Code, DisabledParams: w.Disabled.Params,
		GiveUpAfter: s.o.Alerts.GiveUpAfter().Seconds(),
	}
	if f := w.Failing; f != nil {
		p.Failing = &public.Failure{At: f.At, Cause: f.Cause.Text, CauseCode: f.Cause.Code, CauseParams: f.Cause.Params, Next: f.Next}
	}
	return p
}

// publicSettings returns the settings of a target without its password.
func publicSettings(s notify.Settings) *public.WebhookSettings {
	p := public.WebhookSettings{Topic: s.Topic, Username: s.Username, CA: s.CA, Sender: s.Sender, Status: s.Status}
	if p == (public.WebhookSettings{}) {
		return nil
	}
	return &p
}

func publicDelivery(d alerts.Delivery) public.DeliveryRecord {
	return public.DeliveryRecord{
		ID: d.ID, Incident: d.Incident, Kind: d.Kind, Sequence: d.Sequence, State: d.State, Attempts: d.Attempts, Status: d.Status,
		Cause: d.Cause.Text, CauseCode: d.Cause.Code, CauseParams: d.Cause.Params, Queued: d.Queued, Last: d.Last, Next: d.Next,
	}
}
