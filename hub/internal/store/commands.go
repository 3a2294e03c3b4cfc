package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"gridpost/hub/api"
)

// AddCommand queues a command for an edge. It is not sent any more after expires.
func (s *Store) AddCommand(ctx context.Context, edge string, c api.Command, expires time.Time) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("writing a command down: %w", err)
	}
	return s.update(ctx, func(t *tx) error {
		if _, err := t.exec(`INSERT INTO commands(id, edge, body, issued_at, expires_at) VALUES (?, ?, ?, ?, ?)`,
			c.ID, edge, string(body), millis(c.Issued), millis(expires)); err != nil {
			return fmt.Errorf("queueing a command for edge %s: %w", edge, err)
		}
		t.commanded = true
		return nil
	})
}

// QueuedCommand is a command and its number in the queue.
type QueuedCommand struct {
	Row  int64
	Body json.RawMessage // api.Command
}

// CommandsFor returns the commands of an edge after a number that have neither been answered nor
// expired.
func (s *Store) CommandsFor(ctx context.Context, edge string, after int64) ([]QueuedCommand, error) {
	all, err := collect(func(scan func(...any) error) (c QueuedCommand, err error) {
		var body string
		err = scan(&c.Row, &body)
		c.Body = json.RawMessage(body)
		return c, err
	})(s.read.QueryContext(ctx, `SELECT row, body FROM commands WHERE edge = ? AND row > ? AND finished_at IS NULL AND expires_at > ?
		ORDER BY row LIMIT 100`, edge, after, millis(s.now())))
	if err != nil {
		return nil, fmt.Errorf("reading the commands of edge %s: %w", edge, err)
	}
	return all, nil
}

// FinishCommand notes an edge's answer. A second answer changes nothing. ErrNotFound: the edge
// has no such command.
func (s *Store) FinishCommand(ctx context.Context, edge, id string, r api.Result) error {
	params, err := causeParams(r.Cause)
	if err != nil {
		return err
	}
	return s.update(ctx, func(t *tx) error {
		err := affected(t.exec(`UPDATE commands SET finished_at = coalesce(finished_at, ?), ok = coalesce(ok, ?),
			cause = CASE WHEN finished_at IS NULL THEN ? ELSE cause END,
			cause_code = CASE WHEN finished_at IS NULL THEN ? ELSE cause_code END,
			cause_params = CASE WHEN finished_at IS NULL THEN ? ELSE cause_params END WHERE id = ? AND edge = ?`,
			millis(t.now), r.OK, r.Cause.Text, r.Cause.Code, params, id, edge))
		if err != nil {
			return fmt.Errorf("finishing a command of edge %s: %w", edge, err)
		}
		t.commanded = true
		return nil
	})
}

// CommandResult returns an edge's answer; done is false while there is none.
func (s *Store) CommandResult(ctx context.Context, id string) (r api.Result, done bool, err error) {
	var finished sql.NullInt64
	var ok sql.NullBool
	var code, params, text string
	err = found(s.read.QueryRowContext(ctx, `SELECT finished_at, ok, cause_code, cause_params, cause FROM commands WHERE id = ?`, id))(&finished, &ok, &code, &params, &text)
	if err == nil {
		r.Cause, err = readCause(code, params, text)
	}
	if err != nil {
		return r, false, fmt.Errorf("reading the answer to a command: %w", err)
	}
	r.OK = ok.Bool
	return r, finished.Valid, nil
}
