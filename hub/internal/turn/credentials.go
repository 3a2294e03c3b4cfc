package turn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// life is how long credentials are valid: longer than any view.
const life = 30 * time.Minute

// ICEServer is a server with the credentials for it.
type ICEServer struct{ URL, Username, Credential string }

// Credentials gives out short-lived credentials, as TURN servers with a shared secret understand them
// (draft-uberti-behave-turn-rest-00, the long-term credentials of RFC 8489 section 9.2): the user name begins with the
// time of expiry, and the password is an HMAC of it.
type Credentials struct {
	Secret string

	// URLs of servers outside the hub, such as turn:turn.example:3478?transport=tcp. Empty: the hub's own server, at Port.
	URLs   []string
	Port   uint16
	Public []netip.Addr // addresses of the hub's own server; empty: clients reach it under the name that they use for the hub
}

// Servers returns the servers, with credentials for one client. host is how the client names the hub: the Host of its
// request.
func (c Credentials) Servers(host string, now time.Time) []ICEServer {
	name := strconv.FormatInt(now.Add(life).Unix(), 10) + ":" + rand.Text()
	mac := hmac.New(sha1.New, []byte(c.Secret))
	mac.Write([]byte(name))
	password := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	var all []ICEServer
	for _, url := range c.urls(host) {
		all = append(all, ICEServer{URL: url, Username: name, Credential: password})
	}
	return all
}

func (c Credentials) urls(host string) []string {
	if len(c.URLs) > 0 {
		return c.URLs
	}
	var hosts []string
	for _, a := range c.Public {
		hosts = append(hosts, a.String())
	}
	if len(hosts) == 0 {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if host = strings.Trim(host, "[]"); host == "" || strings.ContainsAny(host, "<>\",; ") {
			return nil
		}
		hosts = []string{host}
	}
	var all []string
	for _, h := range hosts {
		at := "turn:" + net.JoinHostPort(h, strconv.Itoa(int(c.Port)))
		all = append(all, at+"?transport=udp", at+"?transport=tcp")
	}
	return all
}
