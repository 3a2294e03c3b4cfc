package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
)

const someIncident = "0190f000-0000-7000-8000-000000000001"

func newEvent(t testing.TB, lane api.Lane, seq uint64, kind api.Kind, data any) api.Event {
	t.Helper()
	text, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return api.Event{Lane: lane, Seq: seq, Kind: kind, Time: time.Now(), Data: text}
}

func incident(id string) detection.Incident {
	now := time.Now()
	return detection.Incident{
		ID: id, Device: "yard", Rule: "yard", Kind: detection.Zone, Severity: detection.Moderate, State: detection.Open,
		Opened: now, Updated: now, Version: 1, Class: detection.Motion, Box: &detection.Box{X: 0.1, Y: 0.2, W: 0.3, H: 0.4}, Count: 1,
	}
}

func (p *port) post(t *testing.T, c *http.Client, epoch string, events ...api.Event) api.Ack {
	t.Helper()
	var ack api.Ack
	if res := p.call(t, c, "POST", "/edge/v1/events", api.Batch{Epoch: epoch, Sent: time.Now(), Events: events}, &ack); res.StatusCode != http.StatusOK {
		t.Fatalf("events: %s", res.Status)
	}
	return ack
}

func TestEventsAreAppliedOnceAndPoisonIsPassedOver(t *testing.T) {
	p := newPort(t)
	c := p.enrol(t, "gate-7")
	poison := api.Event{Lane: api.LaneAlerts, Seq: 2, Kind: api.KindIncident, Data: json.RawMessage(`{"id":17}`)}
	strange := newEvent(t, api.LaneAlerts, 3, "weather", "rain")
	foul := incident("../../etc/passwd")
	batch := []api.Event{
		newEvent(t, api.LaneAlerts, 1, api.KindIncident, incident(someIncident)), poison, strange,
		newEvent(t, api.LaneAlerts, 4, api.KindIncident, foul),
		newEvent(t, "gossip", 1, api.KindHealth, api.Health{}),
		newEvent(t, api.LaneAlerts, 5, api.KindIncident, incident("0190f000-0000-7000-8000-000000000002")),
	}
	for round := range 2 {
		ack := p.post(t, c, "a", batch...)
		if ack.Committed[api.LaneAlerts] != 5 {
			t.Errorf("round %d: committed %v", round, ack.Committed)
		}
		if want := []int{4, 1}[round]; len(ack.Refused) != want {
			t.Errorf("round %d: refused %+v", round, ack.Refused)
		}
	}
	inc, err := p.incidents.Get(t.Context(), scope.All(), someIncident)
	if err != nil || inc.Title != "Motion in zone "+inc.Rule || inc.Version != 1 || len(inc.Box) != 4 {
		t.Errorf("%+v, %v", inc, err)
	}
}

// TestTextsAreBounded: a reading that is a text arrives as it is, and an edge cannot fill the hub with one.
func TestTextsAreBounded(t *testing.T) {
	p := newPort(t)
	c := p.enrol(t, "gate-7")
	at := time.Now().Truncate(time.Second)
	p.post(t, c, "a", newEvent(t, api.LaneTelemetry, 1, api.KindReadings, []devices.Reading{
		{Device: "pump", Time: at, Text: "水泵 2", Quality: devices.Good},
		{Device: "pump", Time: at.Add(-time.Second), Text: strings.Repeat("水", 5000), Quality: devices.Good},
	}))
	all, err := p.telemetry.Readings(t.Context(), scope.All(), "gate-7", "pump", at.Add(-time.Minute), at.Add(time.Minute), 10)
	if err != nil || len(all) != 2 || all[0].Text != strings.Repeat("水", devices.MaxText) || all[1].Text != "水泵 2" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestBodiesHaveLimits(t *testing.T) {
	p := newPort(t)
	c := p.enrol(t, "gate-7")
	for name, test := range map[string]struct {
		path string
		body []byte
		want int
	}{
		"a large batch":       {"/edge/v1/events", bytes.Repeat([]byte(" "), api.MaxBatchBytes+1), http.StatusRequestEntityTooLarge},
		"too many events":     {"/edge/v1/events", manyEvents(t), http.StatusRequestEntityTooLarge},
		"no JSON":             {"/edge/v1/events", []byte("{"), http.StatusBadRequest},
		"no epoch":            {"/edge/v1/events", []byte("{}"), http.StatusBadRequest},
		"a large request":     {"/edge/v1/renew", bytes.Repeat([]byte(" "), maxEnrol+1), http.StatusRequestEntityTooLarge},
		"rubbish for renewal": {"/edge/v1/renew", []byte(`{"csr":"x"}`), http.StatusBadRequest},
		"a large result":      {"/edge/v1/commands/1", bytes.Repeat([]byte(" "), maxResult+1), http.StatusRequestEntityTooLarge},
		"an unknown command":  {"/edge/v1/commands/1", []byte(`{"ok":true}`), http.StatusNotFound},
	} {
		if res := p.call(t, c, "POST", test.path, test.body, nil); res.StatusCode != test.want {
			t.Errorf("%s: %s, want %d", name, res.Status, test.want)
		}
	}
	if res := p.call(t, p.client(t, nil, ""), "POST", "/edge/v1/enrol", bytes.Repeat([]byte(" "), maxEnrol+1), nil); res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a large enrolment: %s", res.Status)
	}
}

func manyEvents(t *testing.T) []byte {
	t.Helper()
	text, err := json.Marshal(api.Batch{Epoch: "a", Events: make([]api.Event, api.MaxBatchEvents+1)})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// picture is bytes that are announced as a file of someIncident.
func (p *port) picture(t *testing.T, c *http.Client, size int, seq uint64) ([]byte, string) {
	t.Helper()
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(rand.Uint32())
	}
	sum := sha256.Sum256(body)
	name := "snapshot-" + strconv.FormatUint(seq, 10) + ".jpg"
	p.post(t, c, "a",
		newEvent(t, api.LaneAlerts, 2*seq-1, api.KindIncident, incident(someIncident)),
		newEvent(t, api.LaneAlerts, 2*seq, api.KindEvidence, api.Evidence{
			Incident: someIncident, Name: name, ContentType: "image/jpeg", Size: int64(size), SHA256: hex.EncodeToString(sum[:]), Time: time.Now(),
		}))
	return body, "/edge/v1/evidence/" + someIncident + "/" + name
}

func TestEvidenceIsResumed(t *testing.T) {
	p := newPort(t)
	c := p.enrol(t, "gate-7")
	body, path := p.picture(t, c, 300_000, 1)
	head := func() string { return p.call(t, c, "HEAD", path, nil, nil).Header.Get(headerOffset) }
	if got := head(); got != "0" {
		t.Fatalf("offset %q before anything has come", got)
	}
	// A piece that is cut short in the middle.
	r, w := io.Pipe()
	go func() {
		_, err := w.Write(body[:120_000])
		w.CloseWithError(errors.Join(err, errors.New("the line broke")))
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, p.URL+path, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(headerOffset, "0")
	if res, err := c.Do(req); err == nil {
		_ = res.Body.Close()
		t.Fatal("the broken piece was answered")
	}
	// The hub notices in its own time; until then the file is busy.
	deadline := time.Now().Add(10 * time.Second)
	offset := 0
	for offset == 0 && time.Now().Before(deadline) {
		if offset, err = strconv.Atoi(head()); err != nil {
			t.Fatal(err)
		}
	}
	if offset == 0 || offset > 120_000 {
		t.Fatalf("offset %d after a piece that broke off at 120,000", offset)
	}
	if res := p.call(t, c, "PATCH", path, body[:10], nil, headerOffset, "0"); res.StatusCode != http.StatusConflict || res.Header.Get(headerOffset) != strconv.Itoa(offset) {
		t.Errorf("from the wrong offset: %s, offset %s", res.Status, res.Header.Get(headerOffset))
	}
	res := p.call(t, c, "PATCH", path, body[offset:], nil, headerOffset, strconv.Itoa(offset))
	if res.StatusCode != http.StatusNoContent || res.Header.Get(headerComplete) != "?1" {
		t.Fatalf("the rest: %s %v", res.Status, res.Header)
	}
	got, err := os.ReadFile(filepath.Join(p.dir, "evidence", someIncident, "snapshot-1.jpg"))
	if err != nil || !bytes.Equal(got, body) {
		t.Fatalf("%d bytes on disk, %v", len(got), err)
	}
	if res := p.call(t, c, "PATCH", path, nil, nil, headerOffset, "300000"); res.StatusCode != http.StatusNoContent {
		t.Errorf("once more: %s", res.Status)
	}
	inc, err := p.incidents.Get(t.Context(), scope.All(), someIncident)
	if err != nil || len(inc.Evidence) != 1 || !inc.Evidence[0].Complete {
		t.Errorf("%+v, %v", inc.Evidence, err)
	}
}

func TestEvidenceWithAnotherHashBeginsAgain(t *testing.T) {
	p := newPort(t)
	c := p.enrol(t, "gate-7")
	body, path := p.picture(t, c, 1000, 1)
	wrong := bytes.Repeat([]byte{7}, len(body))
	res := p.call(t, c, "PATCH", path, wrong, nil, headerOffset, "0")
	if res.StatusCode != http.StatusUnprocessableEntity || res.Header.Get(headerOffset) != "0" {
		t.Fatalf("the wrong bytes: %s %v", res.Status, res.Header)
	}
	if _, err := p.incidents.File(t.Context(), scope.All(), someIncident, "snapshot-1.jpg"); err == nil {
		t.Error("the wrong bytes were published")
	}
	p.call(t, c, "PATCH", path, wrong[:500], nil, headerOffset, "0")
	if res := p.call(t, c, "PATCH", path, body[500:], nil, headerOffset, "500"); res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("half wrong: %s", res.Status)
	}
	if res := p.call(t, c, "PATCH", path, body, nil, headerOffset, "0"); res.StatusCode != http.StatusNoContent {
		t.Errorf("the right bytes: %s", res.Status)
	}
}

func TestEvidenceThatIsRefused(t *testing.T) {
	p := newPort(t)
	c, other := p.enrol(t, "gate-7"), p.enrol(t, "gate-8")
	body, path := p.picture(t, c, 2<<20, 1)
	if res := p.call(t, c, "PATCH", path, body, nil, headerOffset, "0"); res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a piece of 2 MiB: %s", res.Status)
	}
	if res := p.call(t, c, "HEAD", path, nil, nil); res.Header.Get(headerOffset) != "0" {
		t.Errorf("it left %s bytes", res.Header.Get(headerOffset))
	}
	if res := p.call(t, c, "PATCH", path, body[:10], nil); res.StatusCode != http.StatusBadRequest {
		t.Errorf("without an offset: %s", res.Status)
	}
	for _, bad := range []string{path, "/edge/v1/evidence/" + someIncident + "/other.jpg", "/edge/v1/evidence/" + someIncident + "/..%2f..%2fhub.db", "/edge/v1/evidence/x/y"} {
		if res := p.call(t, other, "PATCH", bad, body[:10], nil, headerOffset, "0"); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s by another edge: %s", bad, res.Status)
		}
	}
}

// TestEvidenceWaitsForRoom: while the disk has room for alerts only, a piece is refused so that the edge sends it
// later, and alerts are accepted.
func TestEvidenceWaitsForRoom(t *testing.T) {
	p := newPort(t)
	c := p.enrol(t, "gate-7")
	body, path := p.picture(t, c, 1000, 1)
	p.full.Store(true)
	if res := p.call(t, c, "PATCH", path, body, nil, headerOffset, "0"); res.StatusCode != http.StatusInsufficientStorage {
		t.Errorf("without room: %s", res.Status)
	}
	if ack := p.post(t, c, "a", newEvent(t, api.LaneAlerts, 9, api.KindIncident, incident("0190f000-0000-7000-8000-000000000009"))); ack.Committed[api.LaneAlerts] != 9 {
		t.Errorf("an alert was not accepted: %v", ack.Committed)
	}
	p.full.Store(false)
	if res := p.call(t, c, "PATCH", path, body, nil, headerOffset, "0"); res.StatusCode != http.StatusNoContent {
		t.Errorf("with room: %s", res.Status)
	}
}

// snapshot returns a file of an incident, and the event that announces it.
func snapshot(t *testing.T, seq uint64, name string, size int) (data []byte, e api.Event) {
	t.Helper()
	data = bytes.Repeat([]byte{byte(seq)}, size)
	sum := sha256.Sum256(data)
	return data, newEvent(t, api.LaneAlerts, seq, api.KindEvidence, api.Evidence{
		Incident: someIncident, Name: name, ContentType: "image/jpeg", Size: int64(size), SHA256: hex.EncodeToString(sum[:]), Time: time.Now(),
	})
}

// TestEvidenceQuota: an edge can neither announce nor store more evidence than its share, and other edges are not
// disturbed.
func TestEvidenceQuota(t *testing.T) {
	p := newPort(t)
	p.server.o.EvidenceQuota, p.server.o.maxPending = 1000, 3
	c := p.enrol(t, "gate-7")
	greedy, other := p.enrol(t, "gate-8"), newEvent(t, api.LaneAlerts, 1, api.KindIncident, incident(someIncident))
	if ack := p.post(t, c, "a", other); len(ack.Refused) != 0 {
		t.Fatalf("%+v", ack)
	}
	path := "/edge/v1/evidence/" + someIncident + "/"

	_, large := snapshot(t, 2, "large.jpg", 1001)
	first, fits := snapshot(t, 3, "first.jpg", 600)
	second, tooMuch := snapshot(t, 4, "second.jpg", 500)
	ack := p.post(t, c, "a", large, fits, tooMuch)
	if len(ack.Refused) != 2 || ack.Refused[0].Seq != 2 || ack.Refused[1].Seq != 4 || ack.Refused[0].Code != api.RefusedQuota {
		t.Fatalf("announcing too much: %+v", ack.Refused)
	}
	if res := p.call(t, c, "PATCH", path+"first.jpg", first, nil, "Upload-Offset", "0"); res.StatusCode != http.StatusNoContent {
		t.Fatalf("uploading: %s", res.Status)
	}
	// It is not pending any more, so the next one may be announced, but not stored.
	_, again := snapshot(t, 5, "second.jpg", 500)
	again.Data = tooMuch.Data
	if ack := p.post(t, c, "a", again); len(ack.Refused) != 0 {
		t.Fatalf("announcing after an upload: %+v", ack.Refused)
	}
	if res := p.call(t, c, "PATCH", path+"second.jpg", second, nil, "Upload-Offset", "0"); res.StatusCode != http.StatusInsufficientStorage {
		t.Errorf("storing too much: %s", res.Status)
	}

	// Older evidence is deleted when its incident is closed, and the upload goes on.
	closed := incident(someIncident)
	closed.State, closed.Version = detection.Closed, 2
	if ack := p.post(t, c, "a", newEvent(t, api.LaneAlerts, 6, api.KindIncident, closed)); len(ack.Refused) != 0 {
		t.Fatalf("%+v", ack.Refused)
	}
	if keys, err := p.incidents.DeleteEvidenceOver(t.Context(), 500, 10); err != nil || len(keys) != 0 {
		t.Errorf("evidence of an incident that no person has closed: %v, %v", keys, err)
	}
	if err := p.db.Update(t.Context(), "test", func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE incidents SET state = 'closed'`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if keys, err := p.incidents.DeleteEvidenceOver(t.Context(), 600, 10); err != nil || len(keys) != 0 {
		t.Errorf("an edge within its share: %v, %v", keys, err)
	}
	keys, err := p.incidents.DeleteEvidenceOver(t.Context(), 500, 1)
	if err != nil || len(keys) != 1 || keys[0].Name != "first.jpg" || keys[0].Size != 600 {
		t.Fatalf("%v, %v", keys, err)
	}
	p.pass(usageAge)
	if res := p.call(t, c, "PATCH", path+"second.jpg", second, nil, "Upload-Offset", "0"); res.StatusCode != http.StatusNoContent {
		t.Errorf("after older evidence was deleted: %s", res.Status)
	}

	// The number of files is bounded too; what was announced before is accepted again.
	foreign := "0190f000-0000-7000-8000-000000000008"
	events := []api.Event{newEvent(t, api.LaneAlerts, 1, api.KindIncident, incident(foreign))}
	for seq := uint64(2); seq <= 6; seq++ {
		_, e := snapshot(t, seq, strconv.FormatUint(seq, 10)+".jpg", 1)
		e.Data = bytes.ReplaceAll(e.Data, []byte(someIncident), []byte(foreign))
		events = append(events, e)
	}
	repeated := events[1]
	repeated.Seq = 7
	ack = p.post(t, greedy, "b", append(events, repeated)...)
	if len(ack.Refused) != 2 || ack.Refused[0].Seq != 5 || ack.Refused[1].Seq != 6 {
		t.Errorf("announcing too many: %+v", ack.Refused)
	}
}

// TestAbandonedUploads: uploads that do not end are deleted, with what has come of them.
func TestAbandonedUploads(t *testing.T) {
	p := newPort(t)
	c := p.enrol(t, "gate-7")
	whole, complete := snapshot(t, 2, "complete.jpg", 100)
	half, abandoned := snapshot(t, 3, "abandoned.jpg", 100)
	p.post(t, c, "a", newEvent(t, api.LaneAlerts, 1, api.KindIncident, incident(someIncident)), complete, abandoned)
	path := "/edge/v1/evidence/" + someIncident + "/"
	p.call(t, c, "PATCH", path+"complete.jpg", whole, nil, "Upload-Offset", "0")
	p.call(t, c, "PATCH", path+"abandoned.jpg", half[:50], nil, "Upload-Offset", "0")
	if keys, err := p.incidents.DeleteAbandonedBefore(t.Context(), p.clock().Add(-time.Hour), 10); err != nil || len(keys) != 0 {
		t.Errorf("too early: %v, %v", keys, err)
	}
	keys, err := p.incidents.DeleteAbandonedBefore(t.Context(), p.clock().Add(time.Hour), 10)
	if err != nil || len(keys) != 1 || keys[0].Name != "abandoned.jpg" || keys[0].Size != 0 {
		t.Fatalf("%v, %v", keys, err)
	}
	if res := p.call(t, c, "HEAD", path+"abandoned.jpg", nil, nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("the abandoned upload: %s", res.Status)
	}
	if res := p.call(t, c, "HEAD", path+"complete.jpg", nil, nil); res.Header.Get("Upload-Complete") != "?1" {
		t.Errorf("the complete file: %s", res.Status)
	}
	// The edge announces it again, and uploads it.
	_, again := snapshot(t, 4, "abandoned.jpg", 100)
	again.Data = abandoned.Data
	p.post(t, c, "a", again)
	if res := p.call(t, c, "PATCH", path+"abandoned.jpg", half, nil, "Upload-Offset", "0"); res.StatusCode != http.StatusNoContent || res.Header.Get("Upload-Complete") != "?1" {
		t.Errorf("uploading again: %s", res.Status)
	}
}
