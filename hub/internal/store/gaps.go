package store

import (
	"context"
	"fmt"
	"time"

	"gridpost/hub/api"
)

// maxGaps bounds the gaps that are kept of one edge; beyond it the oldest are dropped.
const maxGaps = 1000

// Gap is what an edge has lost for good, as the hub shows it.
type Gap struct {
	ID       string      `json:"id"`
	Kind     api.GapKind `json:"kind" enum:"readings,alerts,evidence"`
	Device   string      `json:"device,omitempty" doc:"of readings; absent: of several devices"`
	From     time.Time   `json:"from" doc:"time of the oldest item lost, by the edge's clock"`
	To       time.Time   `json:"to" doc:"time of the newest item lost, by the edge's clock"`
	Count    uint64      `json:"count" doc:"items lost; 0: not known"`
	Reason   string      `json:"reason" doc:"cause code"`
	Received time.Time   `json:"received_at" doc:"when the hub last heard of it"`
}

// gap notes a gap, or how it has grown.
func (t *tx) gap(edge string, g api.Gap) error {
	if _, err := t.exec(`INSERT INTO gaps(edge, id, kind, device, from_at, to_at, count, reason, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT(edge, id) DO UPDATE SET from_at = min(from_at, excluded.from_at), to_at = max(to_at, excluded.to_at),
			count = max(count, excluded.count), reason = excluded.reason, received_at = excluded.received_at`,
		edge, g.ID, string(g.Kind), g.Device, millis(g.From), millis(g.To), int64(g.Count), g.Reason, millis(t.now)); err != nil {
		return fmt.Errorf("noting a gap of edge %s: %w", edge, err)
	}
	if _, err := t.exec(`DELETE FROM gaps WHERE edge = ?1 AND id IN
		(SELECT id FROM gaps WHERE edge = ?1 ORDER BY received_at DESC, id DESC LIMIT -1 OFFSET ?2)`, edge, maxGaps); err != nil {
		return fmt.Errorf("dropping old gaps of edge %s: %w", edge, err)
	}
	return nil
}

// Gaps returns what an edge has lost, the newest first.
func (s *Store) Gaps(ctx context.Context, edge string, limit int) ([]Gap, error) {
	all, err := collect(func(scan func(...any) error) (g Gap, err error) {
		var from, to, count, received int64
		err = scan(&g.ID, &g.Kind, &g.Device, &from, &to, &count, &g.Reason, &received)
		g.From, g.To, g.Count, g.Received = fromMillis(from), fromMillis(to), uint64(count), fromMillis(received)
		return g, err
	})(s.read.QueryContext(ctx, `SELECT id, kind, device, from_at, to_at, count, reason, received_at FROM gaps
		WHERE edge = ? ORDER BY received_at DESC, id DESC LIMIT ?`, edge, limit))
	if err != nil {
		return nil, fmt.Errorf("listing the gaps of edge %s: %w", edge, err)
	}
	return all, nil
}
