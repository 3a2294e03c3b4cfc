package firmwareconfig

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"gridpost/devices"

	"go.yaml.in/yaml/v3"
)

// urlForm is what a URL has to look like.
type urlForm struct {
	schemes []string
	bare    bool // scheme, host and port only: no user, path, query or fragment
}

func (f urlForm) example() string {
	s := f.schemes[0] + "://host:port"
	if !f.bare {
		s = f.schemes[0] + "://user:password@host/path"
	}
	return s
}

// url reads a URL. Its messages show nothing of it but its scheme: the rest, and the errors of
// url.Parse with it, may hold a password in any place where it does not belong.
func (v value) url(dst *string, form urlForm) {
	s, ok := v.expandURL()
	if !ok || s == "" {
		return
	}
	if !strings.Contains(s, "://") {
		v.fail("expected a URL such as %s, found something without ://", form.example())
		return
	}
	u, err := url.Parse(s)
	if err != nil {
		v.fail("expected a URL such as %s, found something that is none (special characters in a password need %%-encoding, or come from ${NAME})", form.example())
		return
	}
	known := false
	for _, scheme := range form.schemes {
		known = known || u.Scheme == scheme
	}
	switch {
	case !known:
		v.fail("expected a URL that begins with %s://, found %s://", strings.Join(form.schemes, ":// or "), u.Scheme)
	case u.Hostname() == "":
		v.fail("expected a URL such as %s, found one without a host", form.example())
	case !validPort(u.Port(), 1) && u.Port() != "":
		v.fail("expected a port from 1 to 65535 in the URL, found another")
	case form.bare && u.User != nil:
		v.fail("expected a URL such as %s, found one with a user name in it", form.example())
	case form.bare && (strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != ""):
		v.fail("expected a URL such as %s, found one with more after the host", form.example())
	default:
		*dst = s
	}
}

// expandURL puts the environment into a URL: percent-encoded into its user and password, which
// are told apart from the rest before anything is put in, and as it is everywhere else.
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
	host, port, err := net.SplitHostPort(s)
	if err != nil || !validPort(port, 0) || strings.ContainsAny(host, "/@ ") {
		v.fail("expected an address such as 0.0.0.0:1883, found %s", v.found())
		return
	}
	*dst = s
}

func validPort(s string, least int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= least && n <= 65535
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
