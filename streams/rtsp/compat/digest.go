package compat

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// challenge is one way in which a camera lets clients log in (RFC 7235, section 4.1).
type challenge struct {
	scheme     string            // in lower case
	proxy      bool              // it came with 407, from a proxy before the camera
	parameters map[string]string // names in lower case; values as they stand, without quotes
}

// maxChallenges bounds the challenges of one response.
const maxChallenges = 16

// parseChallenges parses the values of WWW-Authenticate. One value may hold several challenges; values may lack their
// quotes, or the closing one.
func parseChallenges(values []string) []challenge {
	var list []challenge
	for _, s := range values {
		for s = strings.TrimLeft(s, " \t,"); s != "" && len(list) <= maxChallenges; s = strings.TrimLeft(s, " \t,") {
			end := strings.IndexAny(s, " \t,=")
			if end < 0 {
				end = len(s)
			}
			word, rest := s[:end], strings.TrimLeft(s[end:], " \t")
			if !strings.HasPrefix(rest, "=") {
				list = append(list, challenge{scheme: strings.ToLower(word), parameters: map[string]string{}})
				s = rest
				continue
			}
			var value string
			value, s = parseValue(strings.TrimLeft(rest[1:], " \t"))
			if len(list) == 0 {
				// Some cameras leave the scheme out.
				list = append(list, challenge{scheme: "digest", parameters: map[string]string{}})
			}
			p := list[len(list)-1].parameters
			if _, ok := p[strings.ToLower(word)]; !ok {
				p[strings.ToLower(word)] = value
			}
		}
	}
	return list[:min(len(list), maxChallenges)]
}

// parseValue returns the value at the beginning of s, without quotes, and the rest.
func parseValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ",")
		return strings.TrimSpace(value), rest
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[1:i], s[i+1:]
		}
	}
	return s[1:], ""
}

// algorithms by their strength, and their hashes (RFC 7616, section 6.1).
var algorithms = [...]struct {
	name string
	hash func(string) string
}{
	{"MD5", func(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }},
	{"SHA-256", func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) }},
	{"SHA-512-256", func(s string) string { sum := sha512.Sum512_256([]byte(s)); return hex.EncodeToString(sum[:]) }},
}

// strength returns how good a challenge is; 0: it is not supported.
func (c challenge) strength() int {
	switch c.scheme {
	case "basic":
		return 1
	case "digest":
		if _, ok := c.qop(); !ok {
			return 0
		}
		if _, ok := c.parameters["nonce"]; !ok {
			return 0
		}
		i, session := c.algorithm()
		if i < 0 {
			return 0
		}
		if session {
			return 2 + 2*i // rarely tested by makers of cameras: after the plain form
		}
		return 3 + 2*i
	}
	return 0
}

// algorithm returns the index in algorithms, -1 if it is unknown, and whether it is a -sess variant.
func (c challenge) algorithm() (index int, session bool) {
	name := strings.ToUpper(c.parameters["algorithm"])
	if name == "" {
		return 0, false
	}
	name, session = strings.CutSuffix(name, "-SESS")
	if name == "SHA256" {
		name = "SHA-256"
	}
	for i, a := range algorithms {
		if a.name == name {
			return i, session
		}
	}
	return -1, session
}

// qop returns the quality of protection to use, "" for that of RFC 2069, or false if none is supported.
func (c challenge) qop() (string, bool) {
	value := c.parameters["qop"]
	if strings.TrimSpace(value) == "" {
		return "", true
	}
	offered := strings.FieldsFunc(strings.ToLower(value), func(r rune) bool { return r == ',' || r == ' ' })
	for _, q := range []string{"auth", "auth-int"} {
		if slices.Contains(offered, q) {
			return q, true
		}
	}
	return "", false
}

func (c challenge) stale() bool { return strings.EqualFold(c.parameters["stale"], "true") }

// name is what people see: such as "Digest SHA-999".
func (c challenge) name() string {
	s := c.scheme
	if a := c.parameters["algorithm"]; a != "" {
		s += " " + a
	}
	if q := c.parameters["qop"]; q != "" {
		s += " qop=" + q
	}
	return printable(s, maxRemark)
}

// strongest returns the best challenge that is supported.
func strongest(list []challenge) (best challenge, ok bool) {
	for _, c := range list {
		if c.strength() > best.strength() {
			best, ok = c, true
		}
	}
	return best, ok
}

// login answers a challenge: for each request with one header.
type login struct {
	challenge
	user, password string
	cnonce         string
	count          uint32 // requests so far: nc
}

func newLogin(c challenge, user, password string) *login {
	return &login{challenge: c, user: user, password: password, cnonce: strings.ToLower(rand.Text()[:16])}
}

// same reports whether a challenge is the one that l answers.
func (l *login) same(c challenge) bool {
	return l.scheme == c.scheme && l.parameters["nonce"] == c.parameters["nonce"] && l.parameters["realm"] == c.parameters["realm"] &&
		l.parameters["algorithm"] == c.parameters["algorithm"]
}

// header returns the name of the header that the answer stands in.
func (c challenge) header() string {
	if c.proxy {
		return "Proxy-Authorization"
	}
	return "Authorization"
}

// challengesOf returns the challenges of a 401 or 407.
func challengesOf(code int, m *message) []challenge {
	if code != 407 {
		return parseChallenges(m.values("WWW-Authenticate"))
	}
	list := parseChallenges(m.values("Proxy-Authenticate"))
	for i := range list {
		list[i].proxy = true
	}
	return list
}

// authorization returns the value of the Authorization header of a request. uri must be the URL of the request as it is
// sent, because cameras compare the two.
func (l *login) authorization(method, uri, body string) string {
	if l.scheme == "basic" {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(l.user+":"+l.password))
	}
	i, session := l.algorithm()
	hash := algorithms[i].hash
	qop, _ := l.qop()
	nonce := l.parameters["nonce"]
	l.count++
	nc := fmt.Sprintf("%08x", l.count)

	ha1 := hash(l.user + ":" + l.parameters["realm"] + ":" + l.password)
	if session {
		ha1 = hash(ha1 + ":" + nonce + ":" + l.cnonce)
	}
	ha2 := hash(method + ":" + uri)
	if qop == "auth-int" {
		ha2 = hash(method + ":" + uri + ":" + hash(body))
	}
	answer := hash(ha1 + ":" + nonce + ":" + ha2)
	if qop != "" {
		answer = hash(strings.Join([]string{ha1, nonce, nc, l.cnonce, qop, ha2}, ":"))
	}

	var b strings.Builder
	fmt.Fprintf(&b, `Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s"`,
		strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(l.user), l.parameters["realm"], nonce, uri, answer)
	if a := l.parameters["algorithm"]; a != "" {
		b.WriteString(", algorithm=" + a)
	}
	if opaque, ok := l.parameters["opaque"]; ok {
		fmt.Fprintf(&b, `, opaque="%s"`, opaque)
	}
	if qop != "" || session {
		fmt.Fprintf(&b, `, cnonce="%s"`, l.cnonce)
	}
	if qop != "" {
		fmt.Fprintf(&b, ", qop=%s, nc=%s", qop, nc)
	}
	return b.String()
}
