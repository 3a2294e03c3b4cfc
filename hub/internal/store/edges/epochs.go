package edges

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gridpost/hub/api"
	"gridpost/hub/internal/db"
)

// keepEpochs is how many epochs of an edge are remembered. A delayed request of one that has been
// forgotten counts as a new epoch; the edge's present one then greets again.
const keepEpochs = 32

// Greeting is what a greeting changes. It waits for the next request of its epoch, which proves that
// the edge has received the answer: a greeting that was delayed on its way changes nothing.
type Greeting struct {
	End    []string `json:"end,omitempty"`    // incidents that the edge no longer knows
	Resume []string `json:"resume,omitempty"` // incidents that the hub ended, and that the edge knows after all
}

// Empty reports whether the greeting changes nothing.
func (g Greeting) Empty() bool { return len(g.End)+len(g.Resume) == 0 }

// Request is what a request says of itself.
type Request struct {
	Edge     string
	Epoch    string
	Protocol int
	Greets   bool
}

// Session is what a request of the present epoch finds.
type Session struct {
	Site    string
	Pending Greeting // of the epoch's greeting, to be carried out by the first request after it
}

// Present returns the session of an edge's present epoch. It locks nothing. It returns
// ErrSuperseded for another epoch, and db.ErrNotFound for an edge that is unknown or revoked.
func (r *Repository) Present(rd db.Reader, edge, epoch string) (Session, error) {
	s, present, err := session(rd, edge, epoch, "")
	if err == nil && present != epoch {
		err = ErrSuperseded
	}
	return s, err
}

func session(rd db.Reader, edge, epoch, lock string) (s Session, present string, err error) {
	var pending string
	err = rd.One(`SELECT e.site, e.epoch, coalesce((SELECT p.pending FROM epochs p WHERE p.edge = e.name AND p.epoch = ?), '')
		FROM edges e WHERE e.name = ? AND e.revoked_at IS NULL`+lock, epoch, edge)(&s.Site, &present, &pending)
	if err == nil && pending != "" {
		err = json.Unmarshal([]byte(pending), &s.Pending)
	}
	if err != nil {
		return s, "", fmt.Errorf("reading the epoch of edge %s: %w", edge, err)
	}
	return s, present, nil
}

// Begin locks an edge and lets only its present epoch through. A greeting of a new epoch makes it
// the present one; so does any request of an edge that does not greet (protocol 1). It returns
// ErrSuperseded and db.ErrNotFound as Present does.
func (r *Repository) Begin(t *db.Tx, q Request) (Session, error) {
	s, present, err := session(t.Reader, q.Edge, q.Epoch, t.ForUpdate())
	if err != nil || q.Epoch == present {
		return s, err
	}
	if q.Protocol >= 2 {
		var one int
		err := t.One(`SELECT 1 FROM epochs WHERE edge = ? AND epoch = ?`, q.Edge, q.Epoch)(&one)
		if err == nil || errors.Is(err, db.ErrNotFound) && !q.Greets {
			return s, ErrSuperseded
		}
		if !errors.Is(err, db.ErrNotFound) {
			return s, fmt.Errorf("looking for an epoch of edge %s: %w", q.Edge, err)
		}
	}
	return s, r.beginEpoch(t, q.Edge, q.Epoch)
}

// beginEpoch makes an epoch the present one, and forgets old ones with their marks.
func (r *Repository) beginEpoch(t *db.Tx, edge, epoch string) error {
	for _, step := range []struct {
		text string
		args []any
	}{
		{`UPDATE edges SET epoch = ? WHERE name = ?`, []any{epoch, edge}},
		{`INSERT INTO epochs(edge, epoch, began_at) VALUES (?, ?, ?)
			ON CONFLICT(edge, epoch) DO UPDATE SET began_at = excluded.began_at`, []any{edge, epoch, db.Millis(t.Now())}},
		{`DELETE FROM epochs WHERE edge = ?1 AND epoch != ?2 AND epoch NOT IN
			(SELECT epoch FROM epochs WHERE edge = ?1 ORDER BY began_at DESC, epoch LIMIT ?3)`, []any{edge, epoch, keepEpochs}},
		{`DELETE FROM marks WHERE edge = ?1 AND epoch NOT IN (SELECT epoch FROM epochs WHERE edge = ?1)`, []any{edge}},
	} {
		if _, err := t.Exec(step.text, step.args...); err != nil {
			return fmt.Errorf("beginning an epoch of edge %s: %w", edge, err)
		}
	}
	return nil
}

// SetPending stores what the greeting of an epoch changes.
func (r *Repository) SetPending(t *db.Tx, edge, epoch string, g Greeting) error {
	var text []byte
	if !g.Empty() {
		var err error
		if text, err = json.Marshal(g); err != nil {
			return fmt.Errorf("encoding a greeting: %w", err)
		}
	}
	if _, err := t.Exec(`UPDATE epochs SET pending = ? WHERE edge = ? AND epoch = ? AND pending != ?`, string(text), edge, epoch, string(text)); err != nil {
		return fmt.Errorf("storing a greeting of edge %s: %w", edge, err)
	}
	return nil
}

// Marks returns up to which number the events of each lane are applied. Those of the telemetry lane
// are with the telemetry.
func (r *Repository) Marks(rd db.Reader, edge, epoch string) (map[api.Lane]uint64, error) {
	out := map[api.Lane]uint64{}
	rows, err := rd.Rows(`SELECT lane, seq FROM marks WHERE edge = ? AND epoch = ?`, edge, epoch)
	if err != nil {
		return nil, fmt.Errorf("reading the marks of edge %s: %w", edge, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	for rows.Next() {
		var lane api.Lane
		var seq int64
		if err := rows.Scan(&lane, &seq); err != nil {
			return nil, fmt.Errorf("reading the marks of edge %s: %w", edge, err)
		}
		out[lane] = uint64(seq)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the marks of edge %s: %w", edge, err)
	}
	return out, nil
}

// SetMarks moves marks, at most one per lane. Marks never move back.
func (r *Repository) SetMarks(t *db.Tx, edge, epoch string, marks map[api.Lane]uint64) error {
	if len(marks) == 0 {
		return nil
	}
	args := make([]any, 0, 5*len(marks))
	for lane, seq := range marks {
		args = append(args, edge, epoch, string(lane), int64(seq), db.Millis(t.Now()))
	}
	if _, err := t.Exec(`INSERT INTO marks(edge, epoch, lane, seq, updated_at) VALUES (?, ?, ?, ?, ?)`+strings.Repeat(`, (?, ?, ?, ?, ?)`, len(marks)-1)+`
		ON CONFLICT(edge, epoch, lane) DO UPDATE SET seq = excluded.seq, updated_at = excluded.updated_at
		WHERE excluded.seq > marks.seq`, args...); err != nil {
		return fmt.Errorf("moving the marks of edge %s: %w", edge, err)
	}
	return nil
}

// CheckEpoch returns ErrSuperseded unless the epoch is the edge's present one.
func (r *Repository) CheckEpoch(ctx context.Context, edge, epoch string) error {
	_, err := r.Present(r.db.Read(ctx), edge, epoch)
	return err
}
