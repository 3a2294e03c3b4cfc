package webrtc

import (
	"testing"
	"time"
)

// TestCertificates: sessions of a day share a certificate, and a clock that was set leads to a new one.
func TestCertificates(t *testing.T) {
	var c certificates
	now := time.Now()
	last, err := c.at(now)
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		after time.Duration
		same  bool
	}{{0, true}, {23 * time.Hour, true}, {2 * time.Hour, false}, {time.Hour, true}, {-3 * time.Hour, false}, {60 * 24 * time.Hour, false}, {time.Minute, true}} {
		now = now.Add(step.after)
		next, err := c.at(now)
		if err != nil {
			t.Fatal(err)
		}
		if same := next.Equals(last); same != step.same {
			t.Errorf("step %d: the same certificate: %t", i, same)
		}
		last = next
	}
}
