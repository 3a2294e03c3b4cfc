// Package address parses the addresses that a site document names: of RTSP streams, of MQTT
// brokers, of the hub, and of ports to listen on.
//
// Each has one function. The check of a document and the running edge both work with its result,
// so that an address that was accepted cannot be refused later. Errors say what was expected and
// what was found, and never show any part of an address but its scheme: a password may stand
// where it does not belong. The package must not import other packages of Gridpost.
package address

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// MaxLength bounds an address in bytes.
const MaxLength = 4096

// Error says why a text is not an address.
type Error struct {
	Expected string // such as "a URL such as https://host:port"
	Found    string // such as "one without a host"
}

// Error implements error.
func (e *Error) Error() string { return "expected " + e.Expected + ", found " + e.Found }

// Stream is the address of an RTSP stream. The zero value is no address.
type Stream struct{ url *url.URL }

// ParseStream parses an address such as rtsp://user:password@host:554/path?query. Special
// characters in user and password are percent-encoded (RFC 3986, section 3.2.1).
func ParseStream(s string) (Stream, error) {
	u, err := parse(s, form{schemes: []string{"rtsp", "rtsps"}, example: "rtsp://user:password@host/path"})
	if err != nil {
		return Stream{}, err
	}
	return Stream{u}, nil
}

// IsZero reports whether s is no address.
func (s Stream) IsZero() bool { return s.url == nil }

// URL returns a copy of the address with user and password, or nil.
func (s Stream) URL() *url.URL {
	if s.url == nil {
		return nil
	}
	u := *s.url
	return &u
}

// String returns the address for logs: without user, password, path and query, any of which may
// be secret.
func (s Stream) String() string {
	if s.url == nil {
		return ""
	}
	return (&url.URL{Scheme: s.url.Scheme, Host: s.url.Host}).String()
}

// Broker is the address of an MQTT broker. The zero value is no address.
type Broker struct {
	Host string // host:port
	Name string // the host alone: the name that the broker's certificate must be for
	TLS  bool
}

// ParseBroker parses mqtt://host[:1883] and mqtts://host[:8883].
func ParseBroker(s string) (Broker, error) {
	u, err := parse(s, form{schemes: []string{"mqtt", "mqtts"}, example: "mqtt://host:port", bare: true})
	if err != nil {
		return Broker{}, err
	}
	b := Broker{Name: u.Hostname(), TLS: u.Scheme == "mqtts"}
	port := u.Port()
	switch {
	case port != "":
	case b.TLS:
		port = "8883"
	default:
		port = "1883"
	}
	b.Host = net.JoinHostPort(b.Name, port)
	return b, nil
}

// ParseHub parses the address of a hub's edge port, https://host[:port], and returns it without a
// slash at its end.
func ParseHub(s string) (string, error) {
	u, err := parse(s, form{schemes: []string{"https"}, example: "https://host:port", bare: true})
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String(), nil
}

// CheckListen returns what is wrong with an address to listen on, host:port or :port. Port 0 lets
// the system choose.
func CheckListen(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || !validPort(port, 0) || strings.ContainsAny(host, "/@ ") || len(s) > MaxLength {
		return &Error{"an address such as 0.0.0.0:1883", ""}
	}
	return nil
}

// form is what a URL has to look like.
type form struct {
	schemes []string
	example string
	bare    bool // scheme, host and port only: no user, path, query or fragment
}

func parse(s string, f form) (*url.URL, error) {
	expected := "a URL such as " + f.example
	if !strings.Contains(s, "://") {
		return nil, &Error{expected, "something without ://"}
	}
	if len(s) > MaxLength {
		return nil, &Error{"a URL of at most " + strconv.Itoa(MaxLength) + " bytes", "more"}
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, &Error{expected, "something that is none (special characters in a password need %-encoding, or come from ${NAME})"}
	}
	switch {
	case !slices.Contains(f.schemes, u.Scheme):
		return nil, &Error{"a URL that begins with " + strings.Join(f.schemes, ":// or ") + "://", u.Scheme + "://"}
	case u.Hostname() == "" || u.Opaque != "":
		return nil, &Error{expected, "one without a host"}
	case !validHost(u.Hostname()):
		return nil, &Error{expected, "one whose host is neither a name nor an address"}
	case u.Port() != "" && !validPort(u.Port(), 1):
		return nil, &Error{"a port from 1 to 65535 in the URL", "another"}
	case strings.Contains(s, "#"):
		// RTSP has no fragments (RFC 7826, section 4.2); in a password # is written %23.
		return nil, &Error{expected, "one with a # in it (in a password it is written %23)"}
	case f.bare && u.User != nil:
		return nil, &Error{expected, "one with a user name in it"}
	case f.bare && (strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery):
		return nil, &Error{expected, "one with more after the host"}
	}
	return u, nil
}

// validHost reports whether a host can stand before a port.
func validHost(s string) bool {
	host, _, err := net.SplitHostPort(net.JoinHostPort(s, "1"))
	return err == nil && host == s && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

func validPort(s string, least int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= least && n <= 65535
}
