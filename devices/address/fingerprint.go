package address

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// ParseFingerprint parses the SHA-256 of a certificate in hexadecimal, with or without colons or blanks, and returns its
// canonical form: 64 lower-case digits.
func ParseFingerprint(s string) (string, error) {
	plain := strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(s))
	if b, err := hex.DecodeString(plain); err != nil || len(b) != sha256.Size {
		return "", &Error{"the SHA-256 of a certificate, 64 hexadecimal digits with or without colons", "something else"}
	}
	return plain, nil
}

// FormatFingerprint writes a canonical fingerprint as other programs show it: AB:CD:...
func FormatFingerprint(s string) string {
	var b strings.Builder
	for i, r := range strings.ToUpper(s) {
		if i > 0 && i%2 == 0 {
			b.WriteByte(':')
		}
		b.WriteRune(r)
	}
	return b.String()
}
