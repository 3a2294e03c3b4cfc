package rtsptest

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// Auth is the login of a camera. It checks what a client sends as strictly as RFC 7616 allows.
type Auth struct {
	User, Password string

	Realm     string // default "camera"
	Algorithm string // "", "MD5" or "SHA-256" (for digest), or "Basic"
	Qop       string // "", or "auth": the client must then send cnonce and a rising nc
	Opaque    string // the client must return it

	// Challenges are the WWW-Authenticate lines of a 401, with {nonce} for the current nonce; default: one that
	// follows from the fields above.
	Challenges []string

	// Requests is how many requests a nonce is good for; 0: any number. A request with an older nonce gets a 401 with
	// a new one and, if Stale, with stale=true.
	Requests int
	Stale    bool

	// NewRealm changes the realm with each nonce.
	NewRealm bool

	// FirstCount demands nc=00000001 with every request, against RFC 7616.
	FirstCount bool

	// EmptyNonce makes the nonce of every challenge empty.
	EmptyNonce bool

	// FixedNonce is the nonce of every challenge; default: a new one each time.
	FixedNonce string

	// Locked refuses every request, as a camera does whose account is locked.
	Locked bool
}

// nonceState counts the requests that were admitted with the current nonce of a connection.
type nonceState struct {
	used int
	nc   uint64
}

func (a *Auth) nonce(c *Conn) string {
	if a.EmptyNonce {
		return ""
	}
	if a.FixedNonce != "" {
		return a.FixedNonce
	}
	return fmt.Sprintf("nonce%dof%p", c.Nonces, c)
}

func (a *Auth) realm(c *Conn) string {
	realm := a.Realm
	if realm == "" {
		realm = "camera"
	}
	if a.NewRealm {
		realm += strconv.Itoa(c.Nonces)
	}
	return realm
}

// admit checks a request and makes answer a 401 if it is not allowed.
func (a *Auth) admit(c *Conn, r *Request, answer *Answer) bool {
	reason := a.check(c, r)
	if reason == "" {
		return true
	}
	answer.Status = "RTSP/1.0 401 Unauthorized"
	answer.Header = append(answer.Header, "X-Reason: "+reason)
	stale := ""
	if reason == "old nonce" && a.Stale {
		stale = ",stale=true"
	}
	c.Nonces++
	c.nonce = nonceState{}
	for _, challenge := range a.challenges(c) {
		answer.Header = append(answer.Header, "WWW-Authenticate: "+strings.ReplaceAll(challenge, "{nonce}", a.nonce(c))+stale)
	}
	return false
}

func (a *Auth) challenges(c *Conn) []string {
	if a.Challenges != nil {
		return a.Challenges
	}
	if a.Algorithm == "Basic" {
		return []string{`Basic realm="` + a.realm(c) + `"`}
	}
	s := `Digest realm="` + a.realm(c) + `", nonce="{nonce}"`
	if a.Algorithm != "" {
		s += ", algorithm=" + a.Algorithm
	}
	if a.Qop != "" {
		s += `, qop="` + a.Qop + `"`
	}
	if a.Opaque != "" {
		s += `, opaque="` + a.Opaque + `"`
	}
	return []string{s}
}

// check returns why a request is refused, "" if it is not.
func (a *Auth) check(c *Conn, r *Request) string {
	header := r.Header.Get("Authorization")
	switch {
	case a.Locked:
		return "locked"
	case header == "":
		return "no login"
	case len(r.Header.Values("Authorization")) > 1:
		return "two logins"
	}
	scheme, rest, _ := strings.Cut(header, " ")
	if scheme == "Basic" {
		if a.Algorithm != "Basic" || rest != base64.StdEncoding.EncodeToString([]byte(a.User+":"+a.Password)) {
			return "wrong login"
		}
		return ""
	}
	if scheme != "Digest" || a.Algorithm == "Basic" {
		return "wrong scheme"
	}
	return a.checkDigest(c, r, fields(rest))
}

func (a *Auth) checkDigest(c *Conn, r *Request, f map[string]string) string {
	if f["nonce"] != a.nonce(c) {
		return "old nonce"
	}
	if a.Requests > 0 && c.nonce.used >= a.Requests {
		return "old nonce"
	}
	hash := func(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }
	if strings.EqualFold(strings.TrimSuffix(a.Algorithm, "-sess"), "SHA-256") {
		hash = func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
	}
	if !strings.EqualFold(f["algorithm"], a.Algorithm) {
		return "wrong algorithm"
	}
	if f["uri"] != r.URL || f["username"] != a.User || f["realm"] != a.realm(c) || f["opaque"] != a.Opaque {
		return "wrong field"
	}
	ha1 := hash(a.User + ":" + a.realm(c) + ":" + a.Password)
	if strings.HasSuffix(strings.ToLower(a.Algorithm), "-sess") {
		ha1 = hash(ha1 + ":" + f["nonce"] + ":" + f["cnonce"])
	}
	ha2 := hash(r.Method + ":" + r.URL)
	want := hash(ha1 + ":" + f["nonce"] + ":" + ha2)
	if a.Qop != "" {
		nc, err := strconv.ParseUint(f["nc"], 16, 32)
		if err != nil || len(f["nc"]) != 8 || nc != c.nonce.nc+1 && !a.FirstCount || nc != 1 && a.FirstCount || f["cnonce"] == "" || f["qop"] != "auth" {
			return "wrong nc"
		}
		want = hash(strings.Join([]string{ha1, f["nonce"], f["nc"], f["cnonce"], "auth", ha2}, ":"))
	} else if f["qop"] != "" {
		return "qop that was not offered"
	}
	if f["response"] != want {
		return "wrong response"
	}
	c.nonce.used++
	c.nonce.nc++
	return ""
}

// fields returns the parameters of a Digest header. Commas inside quotes do not separate.
func fields(s string) map[string]string {
	m := map[string]string{}
	for len(s) > 0 {
		key, rest, ok := strings.Cut(s, "=")
		if !ok {
			break
		}
		value := ""
		if strings.HasPrefix(rest, `"`) {
			var b strings.Builder
			i := 1
			for ; i < len(rest) && rest[i] != '"'; i++ {
				if rest[i] == '\\' && i+1 < len(rest) {
					i++
				}
				b.WriteByte(rest[i])
			}
			value, s = b.String(), rest[min(i+1, len(rest)):]
			_, s, _ = strings.Cut(s, ",")
		} else {
			value, s, _ = strings.Cut(rest, ",")
		}
		m[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
	}
	return m
}
