// Package totp implements time-based one-time passwords (RFC 6238) as authenticator apps use them: HMAC-SHA-1, steps of
// 30 s from the Unix epoch, six digits. All functions are pure, except that NewSecret reads random bytes.
package totp

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6238's default, the only hash that all authenticator apps know; HMAC does not need collision resistance
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

const (
	// Digits is the number of digits of a code.
	Digits = 6
	// Period is the duration of a step.
	Period = 30 * time.Second

	modulus      = 1_000_000 // 10 to the power of Digits
	secretLength = 20        // bytes: the length of the hash, which RFC 4226, section 4, R6 recommends
	window       = 1         // steps before and after the present one whose codes match (RFC 6238, section 5.2)
)

// NewSecret returns a new secret of 160 bits.
func NewSecret() []byte {
	secret := make([]byte, secretLength)
	rand.Read(secret) // it never fails, see its documentation
	return secret
}

// Step returns the number of the step of a time, at least 0.
func Step(at time.Time) int64 { return max(0, at.Unix()/int64(Period/time.Second)) }

// Code returns the code of a secret at a step (RFC 4226, section 5.3).
func Code(secret []byte, step int64) string {
	mac := hmac.New(sha1.New, secret)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step))) //nolint:gosec // steps are not negative
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	number := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", Digits, number%modulus)
}

// Match returns the step of a code that is valid at a time: that of the present step, or of the one before or after it
// because clocks differ. Steps up to used do not match, so that a code is accepted once only (RFC 6238, section 5.2).
// The comparison takes the same time for any code of the right length.
func Match(secret []byte, code string, at time.Time, used int64) (step int64, ok bool) {
	now := Step(at)
	for s := now - window; s <= now+window; s++ {
		if s < 0 {
			continue
		}
		if equal := subtle.ConstantTimeCompare([]byte(Code(secret, s)), []byte(code)) == 1; equal && s > used {
			return s, true
		}
	}
	return 0, false
}

// Text returns a secret as people type it: base32 without padding.
func Text(secret []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
}

// URI returns the otpauth URI of a secret, which authenticator apps read as a QR code. The app shows issuer and account.
// The form is that of https://github.com/google/google-authenticator/wiki/Key-Uri-Format.
func URI(issuer, account string, secret []byte) string {
	values := "secret=" + Text(secret) + "&issuer=" + url.PathEscape(issuer) + "&algorithm=SHA1&digits=" + strconv.Itoa(Digits) + "&period=" + strconv.Itoa(int(Period/time.Second))
	return "otpauth://totp/" + url.PathEscape(issuer) + ":" + url.PathEscape(account) + "?" + values
}
