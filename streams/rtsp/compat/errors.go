package compat

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Reasons why a connection to a camera ended that the library cannot know. They come out of Conn.Read, or of
// Session.DialContext.
var (
	// ErrHTTP: a web server answered.
	ErrHTTP = errors.New("a web server answers, not RTSP")

	// ErrNeedsTLS: the camera answered with a TLS record; the address has to begin with rtsps://.
	ErrNeedsTLS = errors.New("the camera expects TLS (rtsps)")

	// ErrNoTLS: the camera did not answer a TLS handshake with TLS; the address has to begin with rtsp://.
	ErrNoTLS = errors.New("the camera does not speak TLS at this port")

	// ErrHeaderTooLarge: a response has a header of more than maxHeader bytes.
	ErrHeaderTooLarge = errors.New("the header of a response is too large")

	// ErrTooManyRedirects: the camera sent more than maxRedirects redirections in a row.
	ErrTooManyRedirects = errors.New("too many redirections")

	// ErrDowngrade: the camera redirected a TLS connection to one without.
	ErrDowngrade = errors.New("the camera redirects from TLS to a connection without")

	// ErrSessionEnded: the camera has sent TEARDOWN or REDIRECT.
	ErrSessionEnded = errors.New("the camera ended the session")
)

// DescriptionTooLargeError reports a description of more than maxDescription bytes.
type DescriptionTooLargeError struct{ Size int64 }

func (e *DescriptionTooLargeError) Error() string {
	return fmt.Sprintf("the description has %d bytes, more than %d", e.Size, maxDescription)
}

// NoVideoError reports a description without video that Gridpost can use. Offered names the codecs of its video.
type NoVideoError struct{ Offered []string }

func (e *NoVideoError) Error() string {
	if len(e.Offered) == 0 {
		return "the description has no video"
	}
	return "the description has no video that is supported, but " + strings.Join(e.Offered, ", ")
}

// NotRTSPError reports bytes that are no RTSP.
type NotRTSPError struct{ First string } // the beginning, printable

func (e *NotRTSPError) Error() string { return fmt.Sprintf("what arrives is no RTSP: %q", e.First) }

// LoginMethodError reports a camera that asks for login methods none of which is supported.
type LoginMethodError struct{ Methods []string } // printable

func (e *LoginMethodError) Error() string {
	if len(e.Methods) == 0 {
		return "the camera refuses without naming a log-in method"
	}
	return "the camera asks for a log-in method that is not supported: " + strings.Join(e.Methods, ", ")
}

// LoginWaitError reports that a log-in was not tried, because the camera refused the same one a short time ago.
type LoginWaitError struct{ Until time.Time }

func (e *LoginWaitError) Error() string {
	return "the camera refused this user name and password; waiting, because cameras lock accounts"
}

// CertificateError reports a camera whose certificate is neither trusted nor the one that the site document names.
type CertificateError struct {
	Fingerprint string // SHA-256 of the camera's certificate, as address.FormatFingerprint writes it
	Changed     bool   // the site document names another one
	Err         error  // why it is not trusted; nil if Changed
}

func (e *CertificateError) Error() string {
	if e.Changed {
		return "the camera's certificate is another one than expected, its fingerprint is " + e.Fingerprint
	}
	return "the camera's certificate is not trusted, its fingerprint is " + e.Fingerprint + ": " + e.Err.Error()
}

func (e *CertificateError) Unwrap() error { return e.Err }

// isOwn reports whether this package has made an error, and not the network.
func isOwn(err error) bool {
	var (
		large       *DescriptionTooLargeError
		noVideo     *NoVideoError
		notRTSP     *NotRTSPError
		method      *LoginMethodError
		wait        *LoginWaitError
		certificate *CertificateError
	)
	return errors.Is(err, ErrHTTP) || errors.Is(err, ErrNeedsTLS) || errors.Is(err, ErrNoTLS) || errors.Is(err, ErrHeaderTooLarge) ||
		errors.Is(err, ErrTooManyRedirects) || errors.Is(err, ErrDowngrade) || errors.Is(err, ErrSessionEnded) ||
		errors.As(err, &large) || errors.As(err, &noVideo) || errors.As(err, &notRTSP) || errors.As(err, &method) ||
		errors.As(err, &wait) || errors.As(err, &certificate)
}

// printable makes a camera's text safe for logs and screens: valid UTF-8 without control characters and braces, which
// mark parameters in causes; at most limit bytes.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar || r == '{' || r == '}' {
			return '?'
		}
		return r
	}, s[:min(len(s), 4*limit)])
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}
