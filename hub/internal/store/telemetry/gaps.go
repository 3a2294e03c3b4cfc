package telemetry

import (
	"context"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
)

// maxGaps bounds the gaps that are kept of one edge; beyond it the oldest are dropped.
const maxGaps = 1000

// Gap is what an edge has lost for good. From and To are by the edge's clock.
type Gap struct {
	api.Gap
	Received time.Time // when the hub last heard of it
}

// AddGap saves a gap, or how it has grown. Saving the same one again changes nothing but Received.
func (r *Repository) AddGap(ctx context.Context, edge, site string, g api.Gap) error {
	if site == "" {
		site = edge
	}
	return r.d.Update(ctx, "telemetry_gap", func(t *db.Tx) error { return saveGap(t, edge, site, g) })
}

func saveGap(t *db.Tx, edge, site string, g api.Gap) error {
	if _, err := t.Exec(`INSERT INTO gaps(edge, id, site, kind, device, from_at, to_at, lost, reason, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT(edge, id) DO UPDATE SET site = excluded.site,
			from_at = CASE WHEN excluded.from_at < gaps.from_at THEN excluded.from_at ELSE gaps.from_at END,
			to_at = CASE WHEN excluded.to_at > gaps.to_at THEN excluded.to_at ELSE gaps.to_at END,
			lost = CASE WHEN excluded.lost > gaps.lost THEN excluded.lost ELSE gaps.lost END,
			reason = excluded.reason, received_at = excluded.received_at`,
		edge, g.ID, site, string(g.Kind), g.Device, db.Millis(g.From), db.Millis(g.To), int64(g.Count), g.Reason, db.Millis(t.Now())); err != nil {
		return wrap(err, "saving a gap of edge %s", edge)
	}
	_, err := t.Exec(`DELETE FROM gaps WHERE edge = ?1 AND id IN
		(SELECT id FROM gaps WHERE edge = ?1 ORDER BY received_at DESC, id DESC LIMIT 1000000 OFFSET ?2)`, edge, maxGaps)
	return wrap(err, "dropping old gaps of edge %s", edge)
}

// Gaps returns what an edge has lost, the newest first.
func (r *Repository) Gaps(ctx context.Context, sc scope.Scope, edge string, limit int) ([]Gap, error) {
	where, sites := sc.Where("site")
	args := append([]any{edge}, sites...)
	all, err := db.Collect(func(scan func(...any) error) (g Gap, err error) {
		var from, to, lost, received int64
		err = scan(&g.ID, &g.Kind, &g.Device, &from, &to, &lost, &g.Reason, &received)
		g.From, g.To, g.Count, g.Received = db.FromMillis(from), db.FromMillis(to), uint64(lost), db.FromMillis(received)
		return g, err
	})(r.d.Read(ctx).Rows(`SELECT id, kind, device, from_at, to_at, lost, reason, received_at FROM gaps
		WHERE edge = ? AND `+where+` ORDER BY received_at DESC, id DESC LIMIT ?`, append(args, limit)...))
	return all, wrap(err, "listing the gaps of edge %s", edge)
}
