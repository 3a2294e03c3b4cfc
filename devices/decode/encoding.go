package decode

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"

	"gridpost/devices/payload"
)

// Encoding is what is in the texts of a document.
type Encoding string

// Encodings. The zero value is none.
const (
	JSONString Encoding = "json_string" // JSON
	Hex        Encoding = "hex"
	Base64     Encoding = "base64" // of either alphabet, padded or not
)

// bytes returns what a text encodes.
func (e Encoding) bytes(text string) ([]byte, error) {
	if e == Hex {
		text = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(text)), "0x")
		b, err := hex.DecodeString(strings.NewReplacer(" ", "", ":", "", "-", "").Replace(text))
		if err != nil {
			return nil, refuse("value_not_encoded", "encoding", string(Hex))
		}
		return b, nil
	}
	text = strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "").Replace(strings.TrimSpace(text))
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, refuse("value_not_encoded", "encoding", string(Base64))
	}
	return b, nil
}

// open returns the document that a text encodes. A path that leads into a text goes on in it.
func (e Encoding) open(text string) (any, bool) {
	content := text
	if e == Hex || e == Base64 {
		b, err := e.bytes(text)
		if err != nil {
			return nil, false
		}
		content = string(b)
	}
	if e == "" {
		return nil, false
	}
	v, err := payload.Parse([]byte(content))
	return v, err == nil
}

// Bytes is a number in the bytes that a text encodes. The zero value is none.
type Bytes struct {
	At     int    // of its first byte, from 0
	Length int    // in bytes, 1 to 8; 4 or 8 of a float
	Little bool   // the lowest byte is first
	As     string // Unsigned, Signed or Float
}

// Kinds of numbers in bytes.
const (
	Unsigned = "unsigned"
	Signed   = "signed"
	Float    = "float" // IEEE 754
)

// number returns the number in b as it would be written.
func (s Bytes) number(b []byte) (string, error) {
	if s.At < 0 || s.Length < 1 || s.Length > 8 || len(b)-s.At < s.Length {
		return "", refuse("value_too_short", "count", strconv.Itoa(len(b)), "first", strconv.Itoa(s.At), "last", strconv.Itoa(s.At+s.Length-1))
	}
	var all [8]byte
	part := b[s.At : s.At+s.Length]
	if s.Little {
		for i, c := range part {
			all[7-i] = c
		}
	} else {
		copy(all[8-s.Length:], part)
	}
	n := binary.BigEndian.Uint64(all[:])
	switch {
	case s.As == Float && s.Length == 4:
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(n))), 'g', -1, 32), nil
	case s.As == Float:
		return strconv.FormatFloat(math.Float64frombits(n), 'g', -1, 64), nil
	case s.As == Signed:
		unused := 64 - 8*s.Length
		return strconv.FormatInt(int64(n<<unused)>>unused, 10), nil
	}
	return strconv.FormatUint(n, 10), nil
}
