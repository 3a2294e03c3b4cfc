package firmwareconfig

import (
	"errors"
	"net/url"
	"strings"

	"gridpost/devices"
	"gridpost/devices/address"

	"go.yaml.in/yaml/v3"
)

// url returns what reads an address with one of the functions of package address. Problems show
// nothing of the address but its scheme.
func addressOf[T any](dst *T, parse func(string) (T, error)) func(value) {
	return func(v value) {
		s, ok := v.expandURL()
		if !ok || s == "" {
			return
		}
		a, err := parse(s)
		var wrong *address.Error
		switch {
		case err == nil:
			*dst = a
		case errors.As(err, &wrong):
			v.Fail(wrong.Expected, wrong.Found)
		default:
			v.fail("%s", err)
		}
	}
}

// expandURL fills in the environment in a URL: percent-encoded in its user and password, which
// are told apart from the rest before anything is filled in, and as it is everywhere else.
func (v value) expandURL() (string, bool) {
	if v.node.Kind != yaml.ScalarNode {
		v.fail("expected a URL, found %s", v.kindOnly())
		return "", false
	}
	raw := v.node.Value
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return v.Text()
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	at := strings.LastIndex(authority, "@")
	if at < 0 {
		return v.Text()
	}
	user, ok1 := v.substitute(rest[:at], escapeUserinfo)
	tail, ok2 := v.substitute(rest[at:], func(s string) string { return s })
	return scheme + "://" + user + tail, ok1 && ok2
}

// escapeUserinfo percent-encodes everything but unreserved characters (RFC 3986, section 2.3).
func escapeUserinfo(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// listen reads an address to listen on, host:port; port 0 lets the system choose.
func (v value) listen(dst *string) {
	s, ok := v.Text()
	if !ok || s == "" {
		return
	}
	err := address.CheckListen(s)
	var wrong *address.Error
	if errors.As(err, &wrong) {
		v.Fail(wrong.Expected, wrong.Found)
		return
	}
	*dst = s
}

// topic reads an MQTT topic filter.
func (v value) topic(dst *string) {
	s, ok := v.Text()
	if !ok {
		return
	}
	if err := devices.CheckFilter(s); err != nil {
		v.fail("expected an MQTT topic such as sensors/river, with + for one level and # at the end for the rest, found %s: %s", v.found(), err)
		return
	}
	*dst = s
}
