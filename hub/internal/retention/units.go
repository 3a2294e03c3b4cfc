package retention

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Age is how long something is kept, in a configuration: "30d", "12h", "2y" (of 365 days) or "keep".
type Age time.Duration

const dayLength = 24 * time.Hour

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Age) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "keep" {
		*a = 0
		return nil
	}
	for unit, length := range map[string]time.Duration{"h": time.Hour, "d": dayLength, "y": 365 * dayLength} {
		number, ok := strings.CutSuffix(s, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 31)
		if err == nil && n > 0 && n <= uint64(100*365*dayLength/length) {
			*a = Age(time.Duration(n) * length)
			return nil
		}
	}
	return fmt.Errorf(`expected an age such as 12h, 30d or 2y (at most 100y), or "keep", not %q`, s)
}

// MarshalText implements encoding.TextMarshaler.
func (a Age) MarshalText() ([]byte, error) {
	switch d := time.Duration(a); {
	case d == 0:
		return []byte("keep"), nil
	case d%dayLength == 0:
		return fmt.Appendf(nil, "%dd", d/dayLength), nil
	default:
		return fmt.Appendf(nil, "%dh", d/time.Hour), nil
	}
}

// Size is a number of bytes, in a configuration: "500MB", "50GB", "2TB" (powers of 1000), or "unlimited".
type Size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Size) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "unlimited" {
		*b = 0
		return nil
	}
	for unit, length := range map[string]uint64{"MB": 1e6, "GB": 1e9, "TB": 1e12} {
		number, ok := strings.CutSuffix(s, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 31)
		if err == nil && n > 0 && n <= 1e18/length {
			*b = Size(n * length)
			return nil
		}
	}
	return fmt.Errorf(`expected a size such as 500MB, 50GB or 2TB, or "unlimited", not %q`, s)
}

// MarshalText implements encoding.TextMarshaler.
func (b Size) MarshalText() ([]byte, error) {
	if b == 0 {
		return []byte("unlimited"), nil
	}
	return fmt.Appendf(nil, "%dMB", int64(b)/1e6), nil
}
