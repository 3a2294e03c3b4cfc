package db

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// Collect makes a list of all rows, each read by scan. The list is never nil.
func Collect[T any](scan func(func(...any) error) (T, error)) func(*sql.Rows, error) ([]T, error) {
	return func(rows *sql.Rows, err error) (all []T, _ error) {
		if err != nil {
			return nil, err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells what matters
		all = []T{}
		for rows.Next() {
			v, err := scan(rows.Scan)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
		return all, rows.Err()
	}
}

// ScanText reads rows of one text column, for Collect.
func ScanText(scan func(...any) error) (s string, err error) {
	err = scan(&s)
	return s, err
}

// Millis returns a time as it is stored: milliseconds since 1970, UTC.
func Millis(t time.Time) int64 { return t.UnixMilli() }

// FromMillis is the inverse of Millis.
func FromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// NullMillis is Millis with NULL for the zero time.
func NullMillis(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// TimePtr returns a stored time, nil for NULL.
func TimePtr(ms sql.NullInt64) *time.Time {
	if !ms.Valid {
		return nil
	}
	t := FromMillis(ms.Int64)
	return &t
}

// InList returns a condition on a text column that is true for the elements of a list, which is the value of
// its one placeholder: a JSONList. Lists of all lengths share one statement.
func InList(e Engine) string {
	if e == Postgres {
		return `= ANY (ARRAY(SELECT json_array_elements_text(CAST(? AS json))))`
	}
	return `IN (SELECT value FROM json_each(?))`
}

// JSONList returns a list for InList.
func JSONList(elements []string) string {
	text, err := json.Marshal(elements)
	if err != nil {
		panic(fmt.Sprintf("db: encoding a list: %v", err)) // strings cannot fail to encode
	}
	return string(text)
}
