package decode

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gridpost/devices"
	"gridpost/devices/payload"
)

// Problem is what is wrong with what a sensor sent: it was not understood and has become no reading, or
// its time could not be used.
type Problem struct {
	Device string
	Cause  devices.Cause
}

// refusal is the error of a value that cannot be read, by a code.
type refusal struct {
	code   string
	params []string // as devices.NewCause takes them; their values may be what a device sent
	kind   error    // errNoValue, or nil
}

func refuse(code string, params ...string) error { return &refusal{code: code, params: params} }

// errNoValue says that a document has nothing at the path of a sensor's value.
var errNoValue = errors.New("there is no value")

func absent(p Path) error {
	return &refusal{code: "value_absent", params: []string{"path", p.String()}, kind: errNoValue}
}

// Error implements error.
func (r *refusal) Error() string { return r.Cause().Text }

// Cause returns the code and its parameters, in a form that can be shown.
func (r *refusal) Cause() devices.Cause {
	const maxParam = 60 // runes
	params := slices.Clone(r.params)
	for i := 1; i < len(params); i += 2 {
		params[i] = cut(printable(hideSecrets(params[i])), maxParam)
	}
	return devices.NewCause(r.code, params...)
}

func (r *refusal) Unwrap() error { return r.kind }

// warning is what is wrong with a message that was understood. The zero value is nothing.
type warning struct {
	cause      func() devices.Cause // nil: nothing
	wrongClock bool                 // the message has the time of its arrival for it
}

func wrongClock(cause func() devices.Cause) warning { return warning{cause: cause, wrongClock: true} }

// notUnderstood returns the cause of a refused message.
func notUnderstood(data []byte, err error) devices.Cause {
	const maxReason = 160 // runes
	cause := devices.NewCause("reading_not_understood", "excerpt", excerpt(string(data)))
	var coded interface{ Cause() devices.Cause }
	var syntax *payload.SyntaxError
	switch {
	case errors.As(err, &coded) && coded.Cause().Text == err.Error(): // it says all
		return cause.Because(coded.Cause())
	case errors.As(err, &syntax) && syntax.Error() == err.Error():
		return cause.Because(devices.NewCause("payload_not_json", "at", strconv.Itoa(syntax.At)))
	}
	return cause.With("reason", cut(printable(hideSecrets(err.Error())), maxReason))
}

// maxExcerpt bounds an excerpt, in runes.
const maxExcerpt = 80

// excerpt returns the beginning of a payload for a person to recognise: printable, without secrets.
func excerpt(text string) string {
	text = cut(text, 8*maxExcerpt)
	text = strings.ToValidUTF8(text, "\ufffd")
	text = strings.Join(strings.Fields(printable(hideSecrets(text))), " ")
	if short := cut(text, maxExcerpt-1); len(short) < len(text) {
		return short + "…"
	}
	return text
}

// hideSecrets replaces what looks like a password or a token.
func hideSecrets(text string) string {
	text = secretField.ReplaceAllString(text, "$1…")
	return secretURL.ReplaceAllString(text, "$1…@")
}

var (
	// A field whose name says that its value is secret, also when the value is cut off.
	secretField = regexp.MustCompile(`(?i)((?:pass|pwd|secret|token|api_?key|private_?key|auth|credential|psk|cookie|session)[\w-]*\\?["']?\s*[:=]\s*)(?:\\?"(?:[^"\\]|\\.)*\\?"?|'[^']*'?|[^\s,;}&]+)`)
	secretURL   = regexp.MustCompile(`(://)[^/\s"@]*@`)
)
