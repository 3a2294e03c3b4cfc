package store

import (
	"context"
	"fmt"
	"net/url"
)

// Webhook returns one target.
func (s *Store) Webhook(ctx context.Context, id string) (Webhook, error) {
	w, err := scanWebhook(found(s.read.QueryRowContext(ctx, webhookQuery+`WHERE w.id = ?`, id)))
	if err != nil {
		return w, fmt.Errorf("reading webhook %s: %w", id, err)
	}
	return w, nil
}

// SwitchWebhook switches a target off, or on again. What is waiting for it goes on waiting; of
// what happens while it is off it is never told.
func (s *Store) SwitchWebhook(ctx context.Context, who, id string, on bool) error {
	return s.update(ctx, func(t *tx) error {
		why, action := "", "webhook enable"
		if !on {
			why, action = "switched off by "+who, "webhook disable"
		}
		if err := affected(t.exec(`UPDATE webhooks SET disabled = ? WHERE id = ?`, why, id)); err != nil {
			return fmt.Errorf("switching webhook %s: %w", id, err)
		}
		t.queued = true // notify has a target more, or less, to serve
		return t.audit(who, action, id, why)
	})
}

// NoteWebhookTest writes down that somebody has sent a test.
func (s *Store) NoteWebhookTest(ctx context.Context, who, id, outcome string) error {
	return s.update(ctx, func(t *tx) error { return t.audit(who, "webhook test", id, outcome) })
}

// origin is what of a target's URL may stand in the record: the rest may be a secret.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
