package h26x_test

import (
	"bytes"
	"testing"

	"gridpost/streams/h26x"
)

func TestSplitStartCodes(t *testing.T) {
	for _, c := range []struct{ nalus, want []string }{
		{nil, nil},
		{[]string{"a", "b\x00\x00"}, []string{"a", "b\x00\x00"}},
		{[]string{"a", "b\x00\x00\x01c\x00\x00\x00\x01d"}, []string{"a", "b", "c", "d"}},
		{[]string{"\x00\x00\x01a", "b"}, []string{"a", "b"}},
		{[]string{"\x00\x00\x01", "\x00\x00\x00\x01\x00\x00\x01"}, nil},
	} {
		var nalus [][]byte
		for _, n := range c.nalus {
			nalus = append(nalus, []byte(n))
		}
		got := h26x.SplitStartCodes(nalus)
		if len(got) != len(c.want) {
			t.Errorf("%q became %q, want %q", c.nalus, got, c.want)
			continue
		}
		for i := range got {
			if string(got[i]) != c.want[i] {
				t.Errorf("%q became %q, want %q", c.nalus, got, c.want)
			}
		}
	}
	many := bytes.Repeat([]byte("\x00\x00\x01a"), 1000)
	if got := h26x.SplitStartCodes([][]byte{many}); len(got) != 1 {
		t.Errorf("%d NALUs of one", len(got))
	}
}
