package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// Sum is what a table holds: how many rows, and a checksum of them that does not depend on their order.
type Sum struct {
	Rows     int64  `json:"rows"`
	Checksum uint64 `json:"checksum,string"`
}

// add adds a row whose values are canonical.
func (s *Sum) add(buf *bytes.Buffer, row []any) {
	buf.Reset()
	for _, v := range row {
		appendValue(buf, v)
	}
	h := sha256.Sum256(buf.Bytes())
	s.Rows++
	s.Checksum += binary.BigEndian.Uint64(h[:])
}

func appendValue(buf *bytes.Buffer, v any) {
	var number [9]byte
	switch v := v.(type) {
	case nil:
		buf.WriteByte('0')
	case int64:
		number[0] = 'i'
		binary.BigEndian.PutUint64(number[1:], uint64(v))
		buf.Write(number[:])
	case float64:
		number[0] = 'f'
		binary.BigEndian.PutUint64(number[1:], math.Float64bits(v))
		buf.Write(number[:])
	case string:
		fmt.Fprintf(buf, "s%d:%s", len(v), v)
	case []byte:
		fmt.Fprintf(buf, "b%d:", len(v))
		buf.Write(v)
	}
}

// canonical returns a value in the form in which both engines have it.
func canonical(c column, v any) (any, error) {
	switch v := v.(type) {
	case nil, int64:
		return v, nil
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	case float64:
		return v + 0, nil // SQLite has no negative zero
	case string:
		return canonicalText(c, v)
	case []byte:
		if c.json {
			return canonicalText(c, string(v))
		}
		return append([]byte{}, v...), nil // empty is not null
	}
	return nil, fmt.Errorf("the column %s has a value of type %T", c.name, v)
}

// canonicalText returns what PostgreSQL can store of a text: UTF-8 without NUL.
func canonicalText(c column, s string) (any, error) {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if !c.json {
		return s, nil
	}
	// jsonb keeps neither spaces nor the order of keys.
	var v any
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("the column %s has JSON that cannot be read: %w", c.name, err)
	}
	out, err := json.Marshal(v)
	return string(out), err
}
