package publish

import (
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
	hub := strings.TrimSuffix(p.o.Hub.URL(), "/")
	t := &target{url: hub + "/whip/" + p.o.Edge + "/" + k.camera, header: http.Header{}}
	if k.stream != "" {
		t.url += "?stream=" + k.stream
	}
	if c.Credential != "" {
		t.header.Set("Authorization", "Bearer "+c.Credential)
	}
	if c.URL != "" {
		at, err := url.Parse(c.URL)
		if err != nil {
			return nil, fmt.Errorf("reading the URL of the command: %w", err)
		}
		own, err := url.Parse(hub)
		if err != nil {
			return nil, fmt.Errorf("reading the URL of the hub: %w", err)
		}
		t.url = c.URL
		if at.Scheme != own.Scheme || at.Host != own.Host {
			if at.Scheme != "https" || at.Host == "" {
				return nil, fmt.Errorf("the relay %s has no HTTPS", at.Redacted())
			}
			t.client = p.outside
			return t, nil
		}
	}
	client, err := p.o.Hub.Client()
	t.client = client
	return t, err
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
