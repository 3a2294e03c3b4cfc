package telemetry

import (
	"strings"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
)

// fillScale writes many devices by SQL, because Apply would take longer; a hundred of them have a reading for each
// minute of a day, with their summaries.
func fillScale(t *testing.T, r *Repository, devices int) {
	t.Helper()
	base := day().Add(-24*time.Hour).UnixMilli() / bucketMillis * bucketMillis
	err := r.d.Update(t.Context(), "test", func(tx *db.Tx) error {
		numbers := func(n string) string { return `generate_series(0, ` + n + ` - 1) AS g(n)` }
		if tx.Engine() == db.SQLite {
			numbers = func(n string) string {
				return `(WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n + 1 < ` + n + `) SELECT n FROM c) AS g`
			}
		}
		for _, step := range []struct {
			text string
			args []any
		}{
			{`INSERT INTO series(edge, device, site, stored, newest_at, newest_received) SELECT 'edge' || (n / 10), 'd' || n, 'edge' || (n / 10), 1440, 1, n FROM ` + numbers(`CAST(?1 AS BIGINT)`), []any{devices}},
			{`INSERT INTO readings(series, at, value, bad, text) SELECT s.id, CAST(?1 AS BIGINT) + n * 60000, n, 0, '' FROM (SELECT id FROM series ORDER BY id LIMIT 100) AS s CROSS JOIN ` + numbers(`1440`), []any{base}},
			{`INSERT INTO summaries(series, bucket, stored, n, sum, low, high, last_at, received) SELECT s.id, CAST(?1 AS BIGINT) + n, 10, 10, 5, 0, 9, 1, 1 FROM (SELECT id FROM series ORDER BY id LIMIT 100) AS s CROSS JOIN ` + numbers(`144`), []any{base / bucketMillis}},
			{`INSERT INTO marks(edge, epoch, seq, updated_at) SELECT 'edge' || n, 'e', 1, 1 FROM ` + numbers(`CAST(?1 AS BIGINT)`), []any{devices}},
			{`INSERT INTO gaps(edge, id, site, kind, device, from_at, to_at, lost, reason, received_at) SELECT 'edge' || (n / 10), 'g' || n, 's', 'readings', '', 1, 1, 1, '', n FROM ` + numbers(`CAST(?1 AS BIGINT)`), []any{devices}},
		} {
			if _, err := tx.Exec(step.text, step.args...); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`ANALYZE`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPlans: no query of a hot path reads a whole table.
func TestPlans(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		fillScale(t, r, 5000)
		in := padded([]Key{{"edge1", "d10"}, {"edge2", "d20"}, {"edge3", "d30"}})
		var keys []any
		for _, k := range in {
			keys = append(keys, k.Edge, k.Device)
		}
		at := day().UnixMilli()
		for name, q := range map[string]struct {
			text string
			args []any
		}{
			"mark":         {`SELECT seq FROM marks WHERE edge = ? AND epoch = ?`, []any{"edge1", "e"}},
			"series":       {`SELECT ` + seriesColumns + ` FROM series WHERE edge = ? AND device IN (?, ?) ORDER BY device`, []any{"edge1", "d10", "d11"}},
			"newest":       {`SELECT ` + newestColumns + ` FROM series WHERE (edge, device) IN (VALUES ` + tuples(len(in), 2) + `) AND newest_at IS NOT NULL AND 1 = 1`, keys},
			"newest since": {`SELECT ` + newestColumns + ` FROM series WHERE (newest_received, id) > (?, ?) AND newest_at IS NOT NULL AND 1 = 1 ORDER BY newest_received, id LIMIT ?`, []any{4990, 0, 100}},
			"readings":     {`SELECT at, value, bad, text FROM readings WHERE series = ? AND at BETWEEN ? AND ? ORDER BY at, value LIMIT ?`, []any{7, at - 3600_000, at, 100}},
			"raw steps": {`SELECT (at - ?1) / ?2, count(*), sum(value), min(value), max(value), max(at) FROM readings
				WHERE series = ?3 AND at BETWEEN ?4 AND ?5 AND bad = 0 AND text = '' GROUP BY 1`, []any{at - 3600_000, 60_000, 7, at - 3600_000, at}},
			"bucket steps": {`SELECT (bucket - ?1) / ?2, CAST(sum(n) AS BIGINT), sum(sum), min(low), max(high), max(last_at) FROM summaries
				WHERE series = ?3 AND bucket >= ?4 AND bucket < ?5 AND n > 0 GROUP BY 1`, []any{at / bucketMillis, 2, 7, at/bucketMillis - 20, at / bucketMillis}},
			"expired buckets": {`SELECT bucket, stored FROM summaries WHERE series = ? AND bucket < ? AND received < ? ORDER BY bucket LIMIT ?`, []any{7, at / bucketMillis, at, 100}},
			"expire readings": {`DELETE FROM readings WHERE series = ? AND at >= ? AND at < ?`, []any{7, at - 86_400_000, at - 86_000_000}},
			"gaps":            {`SELECT id FROM gaps WHERE edge = ? AND 1 = 1 ORDER BY received_at DESC, id DESC LIMIT ?`, []any{"edge1", 10}},
			"old gaps":        {`SELECT edge, id FROM gaps WHERE received_at < ? ORDER BY received_at LIMIT ?`, []any{3, 10}},
		} {
			plan := dbtest.Plan(t, r.d, q.text, q.args...)
			for _, line := range plan {
				// A list of VALUES is read whole; it is the caller's.
				whole := strings.Contains(line, "Seq Scan") || strings.Contains(line, "SCAN") && !strings.Contains(line, "VALUES CLAUSE")
				if whole || strings.Contains(line, "TEMP B-TREE FOR ORDER BY") {
					t.Errorf("%s: %s\nin %s", name, line, strings.Join(plan, "\n"))
				}
			}
		}
	})
}
