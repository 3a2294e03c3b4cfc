package webrtc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

// certificateFor is how long new sessions get the same certificate. It is valid for four weeks by the wall clock.
const certificateFor = 24 * time.Hour

// certificates has the DTLS certificate of new sessions. Peers know it by its fingerprint alone (RFC 8122), so that all
// sessions of a day share one; to make one takes almost a millisecond of processor time.
// It is safe for concurrent use.
type certificates struct {
	mu      sync.Mutex
	current *webrtc.Certificate
	made    time.Time // by the wall clock
}

// at returns the certificate for a session that begins at now.
func (c *certificates) at(now time.Time) (webrtc.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now = now.Round(0) // the wall clock, which may have been set
	if age := now.Sub(c.made); c.current != nil && age >= 0 && age < certificateFor {
		return *c.current, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return webrtc.Certificate{}, fmt.Errorf("making a key: %w", err)
	}
	made, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return webrtc.Certificate{}, fmt.Errorf("making a certificate: %w", err)
	}
	c.current, c.made = made, now
	return *made, nil
}
