package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"gridpost/hub/internal/db"
)

// keepEpochs is how many epochs of an edge have their marks kept. A delayed request of a forgotten epoch
// is applied again, which changes nothing: readings and gaps are known by their content.
const keepEpochs = 32

// Apply applies what is new of a batch and moves the mark of the telemetry lane in the same transaction.
// It is exact under repeated and concurrent calls. Batches that wait at the same time are
// committed together. It returns db.ErrFull when the disk has no room for telemetry.
func (r *Repository) Apply(ctx context.Context, b Batch) (Applied, error) {
	if r.full(ctx) {
		return Applied{}, fmt.Errorf("applying the telemetry of edge %s: %w", b.Edge, db.ErrFull)
	}
	b.Events = slices.Clone(b.Events)
	slices.SortStableFunc(b.Events, func(a, b Event) int { return cmp.Compare(a.Seq, b.Seq) })
	var out Applied
	err := r.d.Update(ctx, "telemetry_apply", func(t *db.Tx) error {
		out = Applied{}
		return apply(t, b, &out)
	})
	return out, wrap(err, "applying the telemetry of edge %s", b.Edge)
}

func apply(t *db.Tx, b Batch, out *Applied) error {
	mark, err := readMark(t, t.ForUpdate(), b.Edge, b.Epoch)
	first := errors.Is(err, db.ErrNotFound)
	if err != nil && !first {
		return err
	}
	before := mark
	var readings []Reading
	for _, e := range b.Events {
		if e.Seq <= mark {
			out.Known++
			continue
		}
		mark = e.Seq
		out.Applied++
		readings = append(readings, e.Readings...)
		if e.Gap != nil {
			if err := saveGap(t, b.Edge, site(b), *e.Gap); err != nil {
				return err
			}
		}
	}
	out.Mark = mark
	if mark == before {
		return nil
	}
	if err := saveReadings(t, b, readings, out); err != nil {
		return err
	}
	return saveMark(t, b, mark, first)
}

// readMark returns the mark of an epoch, or db.ErrNotFound.
func readMark(r interface {
	One(text string, args ...any) func(...any) error
}, lock, edge, epoch string,
) (uint64, error) {
	var seq int64
	err := r.One(`SELECT seq FROM marks WHERE edge = ? AND epoch = ?`+lock, edge, epoch)(&seq)
	return uint64(seq), err
}

// Mark returns the number up to which the telemetry of an epoch is applied; 0 for a new one.
func (r *Repository) Mark(ctx context.Context, edge, epoch string) (uint64, error) {
	mark, err := readMark(r.d.Read(ctx), "", edge, epoch)
	if errors.Is(err, db.ErrNotFound) {
		return 0, nil
	}
	return mark, wrap(err, "reading the mark of edge %s", edge)
}

func saveMark(t *db.Tx, b Batch, seq uint64, first bool) error {
	now := db.Millis(t.Now())
	if _, err := t.Exec(`INSERT INTO marks(edge, epoch, seq, updated_at) VALUES (?, ?, ?, ?)
		ON CONFLICT(edge, epoch) DO UPDATE SET seq = excluded.seq, updated_at = excluded.updated_at
		WHERE excluded.seq > marks.seq`, b.Edge, b.Epoch, int64(seq), now); err != nil {
		return wrap(err, "moving the mark")
	}
	if !first {
		return nil
	}
	_, err := t.Exec(`DELETE FROM marks WHERE edge = ?1 AND epoch != ?2 AND epoch NOT IN
		(SELECT epoch FROM marks WHERE edge = ?1 ORDER BY updated_at DESC, epoch LIMIT ?3)`, b.Edge, b.Epoch, keepEpochs)
	return wrap(err, "deleting the marks of old epochs")
}
