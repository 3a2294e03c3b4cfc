package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"gridpost/edge/e2e/rig"
)

// ask posts an empty batch to the hub's edge port with a certificate, believing any hub: what
// is tested is the hub's side. It returns the status, or the error of a refused handshake.
func ask(ctx context.Context, h *rig.Hub, certificate *tls.Certificate) (int, error) {
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
	if certificate != nil {
		// Whatever authorities the hub names: an intruder does not ask.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.EdgeURL()+"/edge/v1/events", bytes.NewBufferString(`{"epoch":"01a208c0-0000-7000-8000-000000000000","sent":"2026-01-01T00:00:00Z","events":[]}`))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}

func certificate(t *testing.T, s *rig.Site) *tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(s.Identity(), "cert.pem"), filepath.Join(s.Identity(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

func refused(status int, err error) bool {
	return err != nil || status == http.StatusUnauthorized || status == http.StatusForbidden
}

// Another hub's edge of the same name, and nobody at all, are not let in. The right one is.
func TestForeignCertificateIsRefused(t *testing.T) {
	own, other := startHub(t), startHub(t)
	sensors := map[string][]rig.Map{"river": {flood()}}
	mine := startSite(t, own, rig.SiteOptions{Name: "gate-7", Sensors: sensors})
	foreign := startSite(t, other, rig.SiteOptions{Name: "gate-7", Sensors: sensors})

	if status, err := ask(t.Context(), own, certificate(t, mine)); err != nil || status != http.StatusOK {
		t.Errorf("the hub's own edge got %d, %v", status, err)
	}
	if status, err := ask(t.Context(), own, certificate(t, foreign)); !refused(status, err) {
		t.Errorf("another hub's edge got %d", status)
	}
	if status, err := ask(t.Context(), own, nil); !refused(status, err) {
		t.Errorf("without a certificate the hub answered %d", status)
	}
}

// A revoked edge is refused from the next request on, and what it opens stays on the edge until
// it is enrolled again.
func TestRevokedEdgeIsRefused(t *testing.T) {
	h := startHub(t)
	s := startSite(t, h, rig.SiteOptions{Name: "gate-7", Sensors: map[string][]rig.Map{"river": {flood()}}})
	river := sensor(t, s, "river")
	wave := func() {
		t.Helper()
		for _, level := range []float64{0.5, 3, 0.5} {
			if err := river.Publish(t.Context(), level); err != nil {
				t.Fatal(err)
			}
		}
	}
	wave()
	waitIncidents(t, h, 1)
	old := certificate(t, s)

	if _, err := h.Command(t.Context(), "", "edge", "revoke", "gate-7"); err != nil {
		t.Fatal(err)
	}
	if status, err := ask(t.Context(), h, old); !refused(status, err) {
		t.Errorf("a revoked edge got %d", status)
	}
	wave()
	// The edge has tried, and been refused, when the hub has counted a refusal more.
	waitDenied(t, h, 2)
	if all, err := h.Incidents(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("after the revocation the hub has %d incidents: %v", len(all), err)
	}

	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := h.Enrol(t.Context(), "gate-7", s.Data()); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	waitIncidents(t, h, 2)
	if status, err := ask(t.Context(), h, old); !refused(status, err) {
		t.Errorf("the old certificate got %d after the edge was enrolled again", status)
	}
}

// waitDenied waits until the hub has refused so many requests on its edge port.
func waitDenied(t *testing.T, h *rig.Hub, want int) {
	t.Helper()
	err := rig.Until(t.Context(), 60*time.Second, "the edge to be refused", func(ctx context.Context) error {
		denied, err := h.Metric(ctx, "gridpost_hub_edge_requests_denied_total")
		if err != nil {
			return err
		}
		if denied < float64(want) {
			return errors.Join(rig.ErrNotYet, fmt.Errorf("%v refusals", denied))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
