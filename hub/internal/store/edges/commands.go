package edges

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/db"
)

// maxQueued bounds the commands that are read at a time.
const maxQueued = 100

// AddCommand queues a command for an edge. It is not sent any more after expires. db.ErrNotFound:
// there is no such edge.
func (r *Repository) AddCommand(ctx context.Context, edge string, c api.Command, expires time.Time) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encoding a command: %w", err)
	}
	return r.db.Update(ctx, "command_add", func(t *db.Tx) error {
		// The lock makes the numbers of one edge's commands follow the order of commits: a stream
		// reads those after the last one that it has sent.
		var name string
		if err := t.One(`SELECT name FROM edges WHERE name = ?`+t.ForUpdate(), edge)(&name); err != nil {
			return fmt.Errorf("queueing a command for edge %s: %w", edge, err)
		}
		if _, err := t.Exec(`INSERT INTO commands(id, edge, body, issued_at, expires_at) VALUES (?, ?, ?, ?, ?)`,
			c.ID, edge, string(body), db.Millis(c.Issued), db.Millis(expires)); err != nil {
			return fmt.Errorf("queueing a command for edge %s: %w", edge, err)
		}
		t.Notify(db.Commands, edge)
		return nil
	})
}

// CommandAdded returns a channel that is closed when a command is queued for the edge, or the edge is
// revoked. Take it before CommandsFor.
func (r *Repository) CommandAdded(edge string) <-chan struct{} { return r.db.Wait(db.Commands, edge) }

// CommandFinished returns a channel that is closed when the command is finished. Take it before
// CommandResult.
func (r *Repository) CommandFinished(id string) <-chan struct{} {
	return r.db.Wait(db.Commands, resultKey(id))
}

// resultKey is the key of a command's result; no edge has a name with a colon.
func resultKey(id string) string { return "result:" + id }

// QueuedCommand is a command and its number in the queue.
type QueuedCommand struct {
	Row  int64
	Body json.RawMessage // api.Command
}

// CommandsFor returns the commands of an edge after a number that are neither finished nor expired,
// the oldest first, at most maxQueued.
func (r *Repository) CommandsFor(ctx context.Context, edge string, after int64) ([]QueuedCommand, error) {
	all, err := db.Collect(func(scan func(...any) error) (c QueuedCommand, err error) {
		var body string
		err = scan(&c.Row, &body)
		c.Body = json.RawMessage(body)
		return c, err
	})(r.db.Read(ctx).Rows(commandsQuery, edge, after, db.Millis(r.db.Now()), maxQueued))
	if err != nil {
		return nil, fmt.Errorf("reading the commands of edge %s: %w", edge, err)
	}
	return all, nil
}

const commandsQuery = `SELECT "row", body FROM commands WHERE edge = ? AND "row" > ? AND finished_at IS NULL AND expires_at > ? ORDER BY "row" LIMIT ?`

// FinishCommand stores an edge's answer. A second answer changes nothing. db.ErrNotFound: the edge has
// no such command.
func (r *Repository) FinishCommand(ctx context.Context, edge, id string, res api.Result) error {
	params, err := encodeParams(res.Cause)
	if err != nil {
		return err
	}
	ok := 0
	if res.OK {
		ok = 1
	}
	return r.db.Update(ctx, "command_finish", func(t *db.Tx) error {
		var finished sql.NullInt64
		err := t.One(`SELECT finished_at FROM commands WHERE id = ? AND edge = ?`+t.ForUpdate(), id, edge)(&finished)
		if err == nil && !finished.Valid {
			_, err = t.Exec(`UPDATE commands SET finished_at = ?, ok = ?, cause = ?, cause_code = ?, cause_params = ? WHERE id = ?`,
				db.Millis(t.Now()), ok, res.Cause.Text, res.Cause.Code, params, id)
		}
		if err != nil {
			return fmt.Errorf("finishing a command of edge %s: %w", edge, err)
		}
		t.Notify(db.Commands, resultKey(id))
		return nil
	})
}

// CommandResult returns an edge's answer; done is false while there is none.
func (r *Repository) CommandResult(ctx context.Context, id string) (res api.Result, done bool, err error) {
	var finished, ok sql.NullInt64
	var code, params, text string
	err = r.db.Read(ctx).One(`SELECT finished_at, ok, cause_code, cause_params, cause FROM commands WHERE id = ?`, id)(&finished, &ok, &code, &params, &text)
	if err == nil {
		res.Cause, err = decodeCause(code, params, text)
	}
	if err != nil {
		return res, false, fmt.Errorf("reading the answer to a command: %w", err)
	}
	res.OK = ok.Int64 == 1
	return res, finished.Valid, nil
}

// DeleteCommandsBefore deletes commands that expired before a time, at most limit; it returns how many.
func (r *Repository) DeleteCommandsBefore(ctx context.Context, before time.Time, limit int) (int, error) {
	return r.db.DeleteBefore(ctx, "delete_commands", `DELETE FROM commands WHERE id IN
		(SELECT id FROM commands WHERE expires_at < ? ORDER BY expires_at LIMIT ?)`, before, limit)
}

// encodeParams encodes the parameters of a cause for their column.
func encodeParams(c devices.Cause) (string, error) {
	if len(c.Params) == 0 {
		return "{}", nil
	}
	text, err := json.Marshal(c.Params)
	if err != nil {
		return "", fmt.Errorf("encoding the parameters of the cause %s: %w", c.Code, err)
	}
	return string(text), nil
}

// decodeCause makes a cause of its columns.
func decodeCause(code, params, text string) (devices.Cause, error) {
	c := devices.Cause{Code: code, Text: text}
	if params == "" || params == "{}" {
		return c, nil
	}
	if err := json.Unmarshal([]byte(params), &c.Params); err != nil {
		return c, fmt.Errorf("decoding the parameters of the cause %s: %w", code, err)
	}
	return c, nil
}
