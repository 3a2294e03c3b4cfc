package publish

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gridpost/hub/api"
)

// target is where a publication is sent.
type target struct {
	url    string
	header http.Header  // with the credential, if there is one
	client *http.Client // the hub's for the hub itself: no other server gets to see the edge's certificate
}

// target returns where a command to publish sends a stream: to the hub, or to the relay that the command
// names. A relay elsewhere must have HTTPS and a certificate of a public authority.
func (p *Publisher) target(k key, c api.Command) (*target, error) {
	t := &target{header: http.Header{}}
	if err := checkCredential(c.Credential); err != nil {
		return nil, err
	}
	if c.Credential != "" {
		t.header.Set("Authorization", "Bearer "+c.Credential)
	}
	hub, err := url.Parse(p.o.Hub.URL())
	if err != nil {
		return nil, fmt.Errorf("reading the URL of the hub: %w", err)
	}
	if c.URL == "" {
		c.URL = whip + p.o.Edge + "/" + k.camera
		if k.stream != "" {
			c.URL += "?stream=" + k.stream
		}
	}
	at, own, err := resolve(hub, c.URL)
	if err != nil {
		return nil, err
	}
	t.url = at.String()
	if !own {
		t.client = p.outside
		return t, nil
	}
	t.client, err = p.o.Hub.Client()
	return t, err
}

// whip is the beginning of the paths at the hub to which an edge publishes: its certificate is not for others.
const whip = "/whip/"

// resolve returns the URL that a command names, and whether it is the hub's own.
func resolve(hub *url.URL, text string) (at *url.URL, own bool, err error) {
	if len(text) > api.MaxURL {
		return nil, false, fmt.Errorf("the URL of the command has more than %d bytes", api.MaxURL)
	}
	if at, err = url.Parse(text); err != nil {
		return nil, false, errors.New("reading the URL of the command: it is malformed") // the error has the URL, which may have a password
	}
	if at.User != nil || at.Fragment != "" {
		return nil, false, fmt.Errorf("the URL %s of the command has a user or a fragment", at.Redacted())
	}
	if at.Scheme == "" && at.Host == "" { // a path
		at = &url.URL{Scheme: hub.Scheme, Host: hub.Host, Path: strings.TrimSuffix(hub.Path, "/") + at.Path, RawQuery: at.RawQuery}
	}
	own = at.Scheme == hub.Scheme && at.Host == hub.Host
	switch {
	case own && !strings.HasPrefix(at.JoinPath().Path, strings.TrimSuffix(hub.Path, "/")+whip): // JoinPath resolves ".."
		return nil, false, fmt.Errorf("the path %s of the hub is not for publications", at.Path)
	case !own && (at.Scheme != "https" || at.Hostname() == ""):
		return nil, false, fmt.Errorf("the relay %s has no HTTPS", at.Redacted())
	}
	return at, own, nil
}

// checkCredential returns an error unless the credential of a command has the characters of a bearer token (RFC 6750,
// section 2.1) and is not too long.
func checkCredential(text string) error {
	if len(text) > api.MaxCredential {
		return fmt.Errorf("the credential of the command has more than %d bytes", api.MaxCredential)
	}
	for _, c := range []byte(text) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("-._~+/=", rune(c)) {
			return errors.New("the credential of the command is malformed")
		}
	}
	return nil
}

// newOutside returns the client for relays elsewhere. It follows no redirects, so that the credential stays
// with the server that the hub has named.
func newOutside() *http.Client {
	return &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
