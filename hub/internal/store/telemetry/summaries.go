package telemetry

import (
	"cmp"
	"maps"
	"slices"

	"gridpost/hub/internal/db"
)

// bucketMillis is the length of time that one row of summaries stands for. Ten minutes keep a month of a
// sensor that reports every second below 5,000 rows, and a sensor that reports every few
// minutes from having more summaries than readings.
const bucketMillis = 10 * 60 * 1000

type bucket struct{ series, number int64 }

// summary is a row of the table summaries.
type summary struct {
	stored, n      int64
	sum, low, high float64
	last           int64
}

// summaries collects what readings add to the summaries.
type summaries map[bucket]*summary

func (all summaries) add(v stored) {
	key := bucket{v.series, v.at / bucketMillis}
	s := all[key]
	if s == nil {
		s = &summary{}
		all[key] = s
	}
	s.stored++
	if v.bad != 0 || v.text != "" {
		return
	}
	if s.n == 0 {
		s.low, s.high = v.value, v.value
	}
	s.n++
	s.sum += v.value
	s.low, s.high, s.last = min(s.low, v.value), max(s.high, v.value), max(s.last, v.at)
}

// save adds to the summaries what was received at a time, in milliseconds; 0: not known.
func (all summaries) save(t *db.Tx, received int64) error {
	keys := slices.SortedFunc(maps.Keys(all), func(a, b bucket) int {
		return cmp.Or(cmp.Compare(a.series, b.series), cmp.Compare(a.number, b.number))
	})
	rows := make([][]any, len(keys))
	for i, key := range keys {
		s := all[key]
		rows[i] = []any{key.series, key.number, s.stored, s.n, s.sum, s.low, s.high, s.last, received}
	}
	err := insert(t, `INSERT INTO summaries(series, bucket, stored, n, sum, low, high, last_at, received)`,
		`ON CONFLICT(series, bucket) DO UPDATE SET stored = summaries.stored + excluded.stored, n = summaries.n + excluded.n,
			sum = summaries.sum + excluded.sum,
			low = CASE WHEN excluded.n = 0 THEN summaries.low WHEN summaries.n = 0 OR excluded.low < summaries.low THEN excluded.low ELSE summaries.low END,
			high = CASE WHEN excluded.n = 0 THEN summaries.high WHEN summaries.n = 0 OR excluded.high > summaries.high THEN excluded.high ELSE summaries.high END,
			last_at = CASE WHEN excluded.last_at > summaries.last_at THEN excluded.last_at ELSE summaries.last_at END,
			received = CASE WHEN excluded.received > summaries.received THEN excluded.received ELSE summaries.received END`, rows, nil)
	return wrap(err, "saving summaries")
}
