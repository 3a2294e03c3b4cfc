package telemetry

import (
	"strings"

	"gridpost/hub/internal/db"
)

// rowSteps are the numbers of rows that one statement inserts. There are few of them, because each makes a
// text that is prepared once.
func rowSteps() []int { return []int{64, 8, 1} }

// insert runs an INSERT for many rows with as few statements as possible. head ends before VALUES, tail
// follows the rows. returned reads a row of a RETURNING clause; it may be nil.
func insert(t *db.Tx, head, tail string, rows [][]any, returned func(scan func(...any) error) error) error {
	for _, step := range rowSteps() {
		for len(rows) >= step {
			if err := insertStep(t, head, tail, rows[:step], returned); err != nil {
				return err
			}
			rows = rows[step:]
		}
	}
	return nil
}

func insertStep(t *db.Tx, head, tail string, rows [][]any, returned func(scan func(...any) error) error) error {
	text := head + " VALUES " + tuples(len(rows), len(rows[0])) + " " + tail
	args := make([]any, 0, len(rows)*len(rows[0]))
	for _, row := range rows {
		args = append(args, row...)
	}
	if returned == nil {
		_, err := t.Exec(text, args...)
		return err
	}
	_, err := db.Collect(func(scan func(...any) error) (struct{}, error) { return struct{}{}, returned(scan) })(t.Rows(text, args...))
	return err
}

// tuples returns n tuples of width placeholders.
func tuples(n, width int) string {
	tuple := "(?" + strings.Repeat(", ?", width-1) + ")"
	return tuple + strings.Repeat(", "+tuple, n-1)
}

// padded repeats the last element until the length is a power of two, so that lists of different
// lengths share a few texts.
func padded[T any](all []T) []T {
	n := 1
	for n < len(all) {
		n *= 2
	}
	out := make([]T, n)
	for i := range out {
		out[i] = all[min(i, len(all)-1)]
	}
	return out
}
