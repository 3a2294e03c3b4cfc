package webrtc

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSplitCandidates(t *testing.T) {
	const (
		udp = "a=candidate:1 1 udp 2130706431 192.0.2.1 8002 typ host\r\n"
		tcp = "a=candidate:2 1 TCP 1671430143 192.0.2.1 8002 typ host tcptype passive\r\n"
	)
	for name, test := range map[string]struct {
		answer, want string
		later        []string
	}{
		"both":     {"v=0\r\n" + tcp + udp + "a=end-of-candidates\r\n", "v=0\r\n" + udp + "a=end-of-candidates\r\n", []string{strings.TrimSpace(tcp)[2:]}},
		"only UDP": {"v=0\r\n" + udp, "v=0\r\n" + udp, nil},
		"only TCP": {"v=0\r\n" + tcp, "v=0\r\n" + tcp, nil}, // there is nothing to try before it
		"none":     {"v=0\r\n", "v=0\r\n", nil},
		"garbage":  {"a=candidate:\r\na=candidate:1 1\r\n", "a=candidate:\r\na=candidate:1 1\r\n", nil},
	} {
		got, later := splitCandidates(test.answer)
		if got != test.want || !slices.Equal(later, test.later) {
			t.Errorf("%s: %q and %q", name, got, later)
		}
	}
}

func TestHeadStart(t *testing.T) {
	for trip, want := range map[time.Duration]time.Duration{
		0: headStartLeast, 60 * time.Millisecond: 60 * time.Millisecond, time.Minute: headStartMost,
	} {
		if got := headStart(trip); got != want {
			t.Errorf("%v after a trip of %v", got, trip)
		}
	}
}

// TestTCPWhereUDPIsDead: nobody answers at the UDP candidates, and the TCP candidates, which come later, carry what a
// publisher sends and a viewer receives.
func TestTCPWhereUDPIsDead(t *testing.T) {
	h := newHub(t)
	port := regexp.MustCompile(`(?im)^(a=candidate:\S+ \d+ udp \d+ \S+) \d+ `)
	h.edit = func(answer string) string { return port.ReplaceAllString(answer, "$1 9 ") } // the discard service (RFC 863)
	c := newCamera(50, 2000)
	for range 60 {
		c.publishFrame()
	}
	ctx, cancel := context.WithCancel(context.Background())
	published := h.publish(ctx, c.stream)
	first := Frame{}
	if _, err := h.play(ctx, PlayOptions{}, func(f Frame) bool { first = f; return false }); err != nil {
		t.Error(err)
	}
	if !first.Keyframe || !first.Complete {
		t.Errorf("the first frame is %+v", first)
	}
	cancel()
	if err := <-published; err != nil {
		t.Error(err)
	}
}
