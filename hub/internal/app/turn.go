package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/turn"
)

// TurnConfig is a TURN server for viewers that do not reach MediaListen: the hub's own, or one outside.
type TurnConfig struct {
	Listen string   `yaml:"listen"` // host:port of the hub's own server, over UDP and TCP; empty: none
	URLs   []string `yaml:"urls"`   // of a server outside, such as turn:turn.example:3478?transport=tcp; empty: none

	// Secret is shared with the server outside. For the hub's own server it is needed only where several hubs are behind
	// one name; otherwise each start makes one.
	Secret string `yaml:"secret"`
}

// problems returns what is wrong, by key.
func (c TurnConfig) problems(wrong func(key, format string, args ...any)) {
	if c.Listen != "" {
		_, port, err := net.SplitHostPort(c.Listen)
		if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 0 || n > 65535 {
			wrong("turn.listen", "expected host:port, such as :3478, not %q", c.Listen)
		}
	}
	for _, u := range c.URLs {
		scheme, rest, ok := strings.Cut(u, ":")
		if !ok || scheme != "turn" && scheme != "turns" || rest == "" || strings.ContainsAny(u, " <>\",;") {
			wrong("turn.urls", "expected a URL such as turn:turn.example:3478?transport=tcp, not %q", u)
		}
	}
	switch {
	case c.Listen != "" && len(c.URLs) > 0:
		wrong("turn", "expected either listen or urls")
	case len(c.URLs) > 0 && c.Secret == "":
		wrong("turn.secret", "expected the secret that is shared with the server of urls")
	}
}

// openTurn binds the hub's own TURN server if there is one, and returns what viewers are told; nil: nothing.
func (h *hub) openTurn() (func(host string) []relay.ICEServer, error) {
	c := h.config.Turn
	credentials := turn.Credentials{Secret: c.Secret, URLs: c.URLs}
	if credentials.Secret == "" {
		credentials.Secret = rand.Text()
	}
	switch {
	case c.Listen != "":
		media, err := netip.ParseAddrPort(h.engine.Addr())
		if err != nil {
			return nil, fmt.Errorf("reading the media port's address: %w", err)
		}
		for _, a := range h.config.PublicAddresses {
			ip, err := netip.ParseAddr(a)
			if err != nil {
				return nil, fmt.Errorf("reading public_addresses: %w", err)
			}
			credentials.Public = append(credentials.Public, ip)
		}
		h.turn, err = turn.New(turn.Options{Listen: c.Listen, Media: media, Public: credentials.Public, Secret: credentials.Secret, Logger: h.log})
		if err != nil {
			return nil, err
		}
		credentials.Port = h.turn.Addr().Port()
	case len(c.URLs) == 0:
		return nil, nil
	}
	return func(host string) []relay.ICEServer {
		var all []relay.ICEServer
		for _, s := range credentials.Servers(host, time.Now()) {
			all = append(all, relay.ICEServer(s))
		}
		return all
	}, nil
}

// relayTurn runs the hub's own TURN server, if there is one.
func (h *hub) relayTurn(ctx context.Context) error {
	if h.turn == nil {
		<-ctx.Done()
		return nil
	}
	return h.turn.Run(ctx)
}
