package compat

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// transportHeader is what is needed of a Transport header (RFC 2326, section 12.39).
type transportHeader struct {
	tcp, udp, multicast            bool // udp: it says so, or names ports
	interleaved, client, server    [2]int
	hasChannels, hasClient, hasUDP bool
	source                         string
}

// parseTransport parses a Transport header. Commas separate like semicolons, because some cameras write them so.
func parseTransport(s string) transportHeader {
	var t transportHeader
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r == ';' || r == ',' }) {
		key, value, _ := strings.Cut(strings.TrimSpace(f), "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch key = strings.ToUpper(strings.TrimSpace(key)); {
		case strings.HasPrefix(key, "RTP/"):
			t.tcp = t.tcp || strings.HasSuffix(key, "/TCP")
			t.udp = t.udp || strings.HasSuffix(key, "/UDP")
		case key == "MULTICAST":
			t.multicast = true
		case key == "INTERLEAVED":
			t.interleaved, t.hasChannels = parsePair(value, 254)
		case key == "CLIENT_PORT":
			t.client, t.hasClient = parsePair(value, 65534)
		case key == "SERVER_PORT":
			t.server, t.hasUDP = parsePair(value, 65534)
		case key == "SOURCE" && net.ParseIP(value) != nil:
			t.source = value
		}
	}
	return t
}

// parsePair parses "4-5", or "4" for the same. The second number counts only if it is not below the first.
func parsePair(s string, largest int) ([2]int, bool) {
	digits := leadingDigits(s)
	first, err := strconv.Atoi(digits)
	if err != nil || first > largest {
		return [2]int{}, false
	}
	pair := [2]int{first, first + 1}
	if rest, ok := strings.CutPrefix(strings.TrimSpace(s[strings.Index(s, digits)+len(digits):]), "-"); ok {
		if second, err := strconv.Atoi(leadingDigits(rest)); err == nil && second > first && second <= largest+1 {
			pair[1] = second
		}
	}
	return pair, true
}

// transport returns the Transport header for the library's response to SETUP: what the camera answered, completed by what
// was requested.
func (c *Conn) transport(requested string, m *message) string {
	want := parseTransport(requested)
	answer, ok := m.get("Transport")
	got := parseTransport(answer)
	if !ok {
		c.session.remark("SETUP", "the response has no Transport header, what was requested is assumed")
	}
	tcp := want.hasChannels
	switch {
	case got.tcp || got.hasChannels:
		tcp = true
	case got.udp || got.hasUDP:
		tcp = false
	}
	if tcp {
		return "RTP/AVP/TCP;unicast" + c.interleaved(want, got)
	}
	s := "RTP/AVP;unicast"
	if got.multicast {
		s = "RTP/AVP;multicast" // which the library refuses
	}
	if want.hasClient {
		s += fmt.Sprintf(";client_port=%d-%d", want.client[0], want.client[1])
	}
	if got.hasUDP {
		s += fmt.Sprintf(";server_port=%d-%d", got.server[0], got.server[1])
	}
	if got.source != "" {
		s += ";source=" + got.source
	}
	return s
}

// interleaved returns the channels of a track for the library: those that it requested. Those of the camera are mapped to
// them, unless they are missing or another track has them.
func (c *Conn) interleaved(want, got transportHeader) string {
	if !want.hasChannels { // the library has requested UDP, and says that the camera wants TCP
		return fmt.Sprintf(";interleaved=%d-%d", got.interleaved[0], got.interleaved[0]+1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := func(first int) bool {
		_, rtp := c.named[byte(first)]
		_, rtcp := c.named[byte(first+1)]
		return rtp || rtcp
	}
	first := want.interleaved[0]
	if got.hasChannels && !taken(got.interleaved[0]) {
		first = got.interleaved[0]
	}
	if taken(first) {
		return ""
	}
	for i := range 2 {
		from, to := byte(first+i), byte(want.interleaved[0]+i)
		c.channels[from], c.named[from] = to, to
		if _, ok := c.named[to]; !ok {
			c.channels[to] = to // some cameras name other channels than they send on: those that were requested
		}
	}
	return fmt.Sprintf(";interleaved=%d-%d", want.interleaved[0], want.interleaved[0]+1)
}

// toCamera returns an interleaved frame of the library with the channel that the camera has named for it.
func (c *Conn) toCamera(frame []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for named, channel := range c.named {
		if channel == frame[1] && named != channel {
			frame = slices.Clone(frame)
			frame[1] = named
			break
		}
	}
	return frame
}
