package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"gridpost/hub/internal/problem"
)

// httpView is a response that goes on; the end of the test closes it.
type httpView struct {
	StatusCode int
	Header     http.Header
	Body       io.Reader
}

// watchHTTP plays over HTTP until cancel is called or the response ends.
func (f *fixture) watchHTTP(server, who string) (view httpView, cancel func()) {
	f.t.Helper()
	ctx, stop := context.WithCancel(f.t.Context())
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/live/gate-7/yard?incident=7", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	q.Header.Set("Who", who)
	response, err := http.DefaultClient.Do(q)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { stop(); _ = response.Body.Close() })
	return httpView{response.StatusCode, response.Header, response.Body}, stop
}

// readBoxes reads whole boxes until there are n of the type mdat.
func readBoxes(r io.Reader, n int) (all []byte, err error) {
	for n > 0 {
		header := make([]byte, 8)
		if _, err := io.ReadFull(r, header); err != nil {
			return all, err
		}
		body := make([]byte, binary.BigEndian.Uint32(header)-8)
		if _, err := io.ReadFull(r, body); err != nil {
			return all, err
		}
		all = append(append(all, header...), body...)
		if string(header[4:]) == "mdat" {
			n--
		}
	}
	return all, nil
}

// TestFragmentedMP4 plays over HTTP under a lease that ends with the client, by DELETE, or by the time limit, each with
// its cause.
func TestFragmentedMP4(t *testing.T) {
	f := newFixture(t, Options{})
	response, cancel := f.watchHTTP(f.server.URL, "anna")
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || got != `video/mp4; codecs="avc1.640028"` {
		t.Fatalf("%d %s", response.StatusCode, got)
	}
	video, err := readBoxes(response.Body, 30)
	if err != nil {
		t.Fatal(err)
	}
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(video)); err != nil {
		t.Fatal(err)
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(video); err != nil || len(parts) != 30 || parts[0].Tracks[0].Samples[0].IsNonSyncSample {
		t.Fatalf("%d fragments, %v", len(parts), err)
	}
	for i, p := range parts[1:] {
		if p.Tracks[0].BaseTime <= parts[i].Tracks[0].BaseTime {
			t.Errorf("fragment %d is not after the one before", i+1)
		}
	}
	if l := f.leases.begun(); len(l) != 1 || l[0].User != "anna" || l[0].Incident != "7" || l[0].Device != "yard" {
		t.Errorf("leases %+v", l)
	}
	at := response.Header.Get("Location")
	f.request("GET", at, "", "", 204, "Who", "anna")
	f.request("GET", at, "", "", 404, "Who", "ben")
	f.request("PATCH", at, typeFragment, "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n", 400, "Who", "anna", "If-Match", "*")
	cancel()
	if why := f.ended(); why.Code != "video_viewer_closed" {
		t.Errorf("the client is gone: %v", why)
	}

	response, _ = f.watchHTTP(f.server.URL, "anna")
	f.request("DELETE", response.Header.Get("Location"), "", "", 200, "Who", "anna")
	if _, err := io.ReadAll(response.Body); err != nil {
		t.Error(err)
	}
	if why := f.ended(); why.Code != "video_viewer_ended" {
		t.Errorf("DELETE: %v", why)
	}
	f.eventually("no viewer is left", func() bool { return f.relay.Stats().Viewers == 0 })
	if s := f.relay.Stats(); s.Views != 2 || s.BytesOut == 0 {
		t.Errorf("%+v", s)
	}
}

// TestFragmentedMP4Ends at the time limit; its resource has the cause.
func TestFragmentedMP4Ends(t *testing.T) {
	f := newFixture(t, Options{MaxViewTime: 300 * time.Millisecond})
	response, _ := f.watchHTTP(f.server.URL, "anna")
	if _, err := io.ReadAll(response.Body); err != nil {
		t.Error(err)
	}
	detail := f.problem(f.request("GET", response.Header.Get("Location"), "", "", 410, "Who", "anna"))
	if !strings.Contains(detail, "time limit") {
		t.Error(detail)
	}
}

// TestFragmentedMP4Access: the session ends when the access that it stands on ends.
func TestFragmentedMP4Access(t *testing.T) {
	f := newFixture(t, Options{})
	access, revoke := context.WithCancelCause(t.Context())
	released := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		f.relay.ServeFMP4(w, q, "gate-7", "yard", "/whep/gate-7/yard", Viewer{User: "anna", Reason: "test", Access: access, Release: func() { close(released) }})
	}))
	defer server.Close()
	response, _ := f.watchHTTP(server.URL, "anna")
	if _, err := readBoxes(response.Body, 3); err != nil {
		t.Fatal(err)
	}
	revoke(problem.New("hub_stopping"))
	if _, err := io.ReadAll(response.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if why := f.ended(); why.Code != "hub_stopping" {
		t.Errorf("ended because of %v", why)
	}
	<-released
}

// TestFragmentedMP4Refused: errors before the first frame are problem documents.
func TestFragmentedMP4Refused(t *testing.T) {
	f := newFixture(t, Options{StartTimeout: 200 * time.Millisecond})
	f.edge.silent = true
	if detail := f.problem(f.request("GET", "/live/gate-7/yard?reason=test", "", "", 503, "Who", "anna")); !strings.Contains(detail, "has not begun to send") {
		t.Error(detail)
	}
	f.request("HEAD", "/live/gate-7/yard?reason=test", "", "", 204, "Who", "anna")
	if l := f.leases.begun(); len(l) != 0 {
		t.Errorf("leases %+v", l)
	}
}
