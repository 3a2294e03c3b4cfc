package format

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// spPayload is a payload of Sparkplug B (Eclipse Sparkplug 3.0, section 6.4).
type spPayload struct {
	time    time.Time // zero: none
	metrics []spMetric
	seq     uint64 // 0 when it is left out, as encoders of proto3 do with 0
}

// spMetric is one metric. Its value is one of a document, or absent.
type spMetric struct {
	name       string
	alias      uint64
	hasAlias   bool
	time       time.Time
	datatype   uint64
	historical bool
	null       bool
	bad        bool // its property Quality is not good
	unit       string

	// The value as it is on the wire: what it means depends on the data type, which only a birth has.
	bits  uint64
	kind  int // field number of the value; 0: none
	bytes []byte
}

// Bounds of a payload.
const (
	maxMetrics    = 10_000
	maxMetricName = 512 // bytes
	maxProperties = 64
)

var errMetrics = errors.New("a payload of Sparkplug has too many metrics, or too long a name")

func parseSparkplug(data []byte) (spPayload, error) {
	var p spPayload
	err := fields(data, func(f field) error {
		switch f.number {
		case 1:
			p.time = spTime(f.value)
		case 2:
			m, err := parseMetric(f.data)
			if err != nil {
				return err
			}
			if len(p.metrics) >= maxMetrics {
				return errMetrics
			}
			p.metrics = append(p.metrics, m)
		case 3:
			p.seq = f.value
		}
		return nil
	})
	return p, err
}

func parseMetric(data []byte) (spMetric, error) {
	var m spMetric
	err := fields(data, func(f field) error {
		switch f.number {
		case 1:
			if len(f.data) > maxMetricName || !utf8.Valid(f.data) {
				return errMetrics
			}
			m.name = string(f.data)
		case 2:
			m.alias, m.hasAlias = f.value, true
		case 3:
			m.time = spTime(f.value)
		case 4:
			m.datatype = f.value
		case 5:
			m.historical = f.value != 0
		case 7:
			m.null = f.value != 0
		case 9:
			return m.properties(f.data)
		case 10, 11, 12, 13, 14, 15:
			m.kind, m.bits, m.bytes = f.number, f.value, f.data
		}
		return nil
	})
	return m, err
}

// properties reads those properties of a metric that matter: Quality, and the unit by its usual names.
func (m *spMetric) properties(data []byte) error {
	var keys []string
	n := 0
	return fields(data, func(f field) error {
		switch f.number {
		case 1:
			if len(keys) >= maxProperties || len(f.data) > maxMetricName {
				return errMetrics
			}
			keys = append(keys, string(f.data))
		case 2:
			n++
			if n > len(keys) {
				return nil // keys come first, one for each value
			}
			return m.property(keys[n-1], f.data)
		}
		return nil
	})
}

func (m *spMetric) property(key string, data []byte) error {
	return fields(data, func(f field) error {
		switch {
		case key == "Quality" && (f.number == 3 || f.number == 4):
			m.bad = f.value != 192 // 0: bad, 500: stale (section 6.4.6)
		case (key == "engUnit" || key == "Engineering Units" || key == "units") && f.number == 8:
			m.unit = string(f.data)
		}
		return nil
	})
}

// spTime reads milliseconds since 1970.
func spTime(ms uint64) time.Time {
	if ms == 0 || ms > math.MaxInt64/1_000_000 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC() //nolint:gosec // checked above
}

// Data types whose values are signed, and stored as unsigned (section 6.4.16).
const (
	spInt8  = 1
	spInt16 = 2
	spInt32 = 3
	spInt64 = 4
)

// value returns the value as a document has it. ok is false for kinds of metrics that are no single
// value, such as data sets.
func (m *spMetric) value(datatype uint64) (v any, ok bool) {
	if m.null {
		return nil, true
	}
	signed := datatype >= spInt8 && datatype <= spInt64
	if m.kind == 10 || m.kind == 11 {
		// Some clients extend the sign to the width of the field, and others only to that of the type.
		switch datatype {
		case spInt8:
			return json.Number(strconv.FormatInt(int64(int8(m.bits)), 10)), true //nolint:gosec // two's complement
		case spInt16:
			return json.Number(strconv.FormatInt(int64(int16(m.bits)), 10)), true //nolint:gosec // two's complement
		case spInt32:
			return json.Number(strconv.FormatInt(int64(int32(m.bits)), 10)), true //nolint:gosec // two's complement
		}
	}
	switch m.kind {
	case 10: // int_value
		if signed {
			return json.Number(strconv.FormatInt(int64(int32(m.bits)), 10)), true //nolint:gosec // two's complement
		}
		return json.Number(strconv.FormatUint(m.bits&math.MaxUint32, 10)), true
	case 11: // long_value
		if signed {
			return json.Number(strconv.FormatInt(int64(m.bits), 10)), true //nolint:gosec // two's complement
		}
		return json.Number(strconv.FormatUint(m.bits, 10)), true
	case 12: // float_value
		return decimal(float64(math.Float32frombits(uint32(m.bits))), 32), true //nolint:gosec // an I32
	case 13: // double_value
		return decimal(math.Float64frombits(m.bits), 64), true
	case 14: // boolean_value
		return m.bits != 0, true
	case 15: // string_value
		return string(m.bytes), utf8.Valid(m.bytes) && len(m.bytes) <= maxMetricName
	}
	return nil, false
}

// decimal returns a number, or nil for one that JSON does not have.
func decimal(f float64, bits int) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, bits))
}
