package address

import (
	"strings"
	"testing"
)

func TestFingerprint(t *testing.T) {
	const canonical = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	colons := FormatFingerprint(canonical)
	if !strings.HasPrefix(colons, "00:11:22") || len(colons) != 95 {
		t.Errorf("%s is written %s", canonical, colons)
	}
	for _, good := range []string{canonical, strings.ToUpper(canonical), colons, strings.ReplaceAll(colons, ":", " ")} {
		if got, err := ParseFingerprint(good); err != nil || got != canonical {
			t.Errorf("%s: %s, %v", good, got, err)
		}
	}
	for _, bad := range []string{"", canonical[1:], canonical + "00", strings.Replace(canonical, "0", "g", 1)} {
		if got, err := ParseFingerprint(bad); err == nil {
			t.Errorf("%s is accepted as %s", bad, got)
		}
	}
}
