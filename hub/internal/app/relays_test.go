package app

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestRelayOf(t *testing.T) {
	if got := (Config{}).relayOf("gate-7"); got != "" {
		t.Errorf("without relays: %q", got)
	}
	three := Config{Relays: []string{"https://a.example", "https://b.example", "https://c.example"}}
	two := Config{Relays: []string{"https://c.example", "https://a.example"}} // in another order
	edges, moved := map[string]int{}, 0
	for i := range 300 {
		edge := fmt.Sprintf("gate-%d", i)
		at := three.relayOf(edge)
		edges[at]++
		switch now := two.relayOf(edge); {
		case now == at:
		case at != "https://b.example":
			t.Errorf("%s moves from %s to %s", edge, at, now)
		default:
			moved++
		}
	}
	for _, r := range three.Relays {
		if edges[r] < 60 || edges[r] > 140 {
			t.Errorf("%s has %d of 300 edges", r, edges[r])
		}
	}
	if moved != edges["https://b.example"] {
		t.Errorf("%d edges have moved of %d", moved, edges["https://b.example"])
	}
}

func TestOriginsWithRelays(t *testing.T) {
	c := Config{Origins: []string{"https://maps.example"}, PublicURL: "https://Desk.example/gridpost"}
	if got := c.apiOrigins(); !slices.Equal(got, c.Origins) {
		t.Errorf("without relays: %q", got)
	}
	c.Relays = []string{"https://relay.example"}
	for range 2 {
		if got := c.apiOrigins(); !slices.Equal(got, []string{"https://maps.example", "https://desk.example"}) {
			t.Errorf("with relays: %q", got)
		}
		c.Origins = c.apiOrigins()
	}
}

func TestTheHubIsNoRelayOfItself(t *testing.T) {
	c := Config{PublicURL: "https://desk.example/gridpost", Relays: []string{"https://desk.example"}}
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), "relays: https://desk.example is this hub") {
		t.Error(err)
	}
	for range maxRelays {
		c.Relays = append(c.Relays, fmt.Sprintf("https://relay-%d.example", len(c.Relays)))
	}
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), "relays: expected at most 16") {
		t.Error(err)
	}
}
