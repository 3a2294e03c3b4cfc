package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
)

// writerDir makes a process of this test binary write incidents into a store for ever.
const writerDir = "GRIDPOST_TEST_WRITER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		writeForEver(dir)
	}
	goleak.VerifyTestMain(m)
}

func writeForEver(dir string) {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		inc := incident(i)
		if err := s.SaveIncident(ctx, inc); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := s.SaveReadings(ctx, []devices.Reading{{Device: "river", Time: inc.Opened, Value: float64(i), Quality: devices.Good}}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(inc.ID)
	}
}

func incident(i int) detection.Incident {
	at := time.Date(2026, 3, 1, 12, 0, 0, i*int(time.Millisecond), time.UTC)
	return detection.Incident{
		ID: uuid.Must(uuid.NewV7()).String(), Device: "yard", Rule: "gate", Kind: detection.Line, Severity: detection.Minor,
		State: detection.Open, Opened: at, Updated: at, Version: 1, Count: 1,
	}
}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func outbox(t *testing.T, s *Store, lane api.Lane) []api.Event {
	t.Helper()
	events, err := s.Outbox(context.Background(), lane, 500, 4<<20)
	must(t, err)
	return events
}

func TestKillLosesNothingCommitted(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var said []string
	for sc := bufio.NewScanner(out); len(said) < 60 && sc.Scan(); {
		said = append(said, sc.Text())
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // "signal: killed" is what is wanted
	if len(said) < 60 {
		t.Fatalf("the writer said only %d lines", len(said))
	}

	s := open(t, Options{Dir: dir})
	kept := map[string]bool{}
	last := uint64(0)
	for _, e := range outbox(t, s, api.LaneAlerts) {
		var inc detection.Incident
		must(t, json.Unmarshal(e.Data, &inc))
		kept[inc.ID] = true
		if e.Seq <= last {
			t.Errorf("number %d after %d", e.Seq, last)
		}
		last = e.Seq
	}
	for _, id := range said {
		if !kept[id] {
			t.Errorf("incident %s was saved and is lost", id)
		}
	}
	n := 0
	for _, e := range outbox(t, s, api.LaneTelemetry) {
		var r []devices.Reading
		must(t, json.Unmarshal(e.Data, &r))
		n += len(r)
	}
	if n < len(said) {
		t.Errorf("%d readings of %d are left", n, len(said))
	}
}

func TestFullDiskKeepsWhatWasSaved(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, incidentPages: 60})
	ctx := t.Context()
	var saved []string
	var err error
	for i := range 5000 {
		inc := incident(i)
		if err = s.SaveIncident(ctx, inc); err != nil {
			break
		}
		saved = append(saved, inc.ID)
	}
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "saving an incident: the disk is full") {
		t.Fatalf("a full disk is told as %v", err)
	}
	if len(saved) == 0 {
		t.Fatal("nothing was saved at all")
	}
	events, err := s.Outbox(ctx, api.LaneAlerts, 5000, 64<<20)
	must(t, err)
	if len(events) != len(saved) {
		t.Fatalf("%d events for %d saved incidents", len(events), len(saved))
	}
	// The hub's acknowledgement makes room again.
	must(t, s.Acked(ctx, api.Ack{Committed: map[api.Lane]uint64{api.LaneAlerts: events[len(events)-1].Seq}}))
	must(t, s.SaveIncident(ctx, incident(9999)))
	left := outbox(t, s, api.LaneAlerts)
	if len(left) != 1 || left[0].Seq != events[len(events)-1].Seq+1 {
		t.Fatalf("after the acknowledgement: %+v", left)
	}
	all, err := s.OpenIncidents(ctx)
	must(t, err)
	if len(all) != len(saved)+1 {
		t.Errorf("%d incidents are kept, want %d", len(all), len(saved)+1)
	}
}

func TestTelemetryStaysInItsBound(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), TelemetryBytes: 100 * pageSize})
	ctx := t.Context()
	at := time.Now()
	batch := make([]devices.Reading, 200)
	for i := range 100 {
		for j := range batch {
			batch[j] = devices.Reading{Device: "river", Time: at.Add(time.Duration(i*200+j) * time.Second), Value: float64(i*200 + j), Quality: devices.Good}
		}
		must(t, s.SaveReadings(ctx, batch))
	}
	var n int
	var newest float64
	must(t, s.telemetry.QueryRowContext(ctx, `SELECT count(*), max(value) FROM readings`).Scan(&n, &newest))
	if n == 20000 || newest != 19999 {
		t.Errorf("%d readings are left, the newest is %v", n, newest)
	}
}

func TestLanesHaveTheirOwnOrder(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	ctx := t.Context()
	a, b := incident(1), incident(2)
	must(t, s.SaveIncident(ctx, a))
	must(t, s.SaveStatus(ctx, devices.Status{Device: "yard", State: devices.Offline, Cause: devices.Cause{Text: "no pictures"}, Since: a.Opened}))
	must(t, s.SaveIncident(ctx, b))
	must(t, s.SaveStatus(ctx, devices.Status{Device: "yard", State: devices.Online, Since: b.Opened}))
	must(t, s.SaveReadings(ctx, []devices.Reading{{Device: "river", Time: a.Opened, Value: 1, Quality: devices.Good}}))

	alerts := outbox(t, s, api.LaneAlerts)
	if len(alerts) != 2 || alerts[0].Seq != 1 || alerts[1].Seq != 2 {
		t.Errorf("alerts: %+v", alerts)
	}
	state := outbox(t, s, api.LaneState)
	if len(state) != 1 || state[0].Seq != 2 || !strings.Contains(string(state[0].Data), `"online"`) {
		t.Errorf("only the newest state of a device should wait: %+v", state)
	}
	first := outbox(t, s, api.LaneTelemetry)
	must(t, s.SaveReadings(ctx, []devices.Reading{{Device: "river", Time: b.Opened, Value: 2, Quality: devices.Good}}))
	second := outbox(t, s, api.LaneTelemetry)
	if len(first) != 1 || len(second) != 2 || string(second[0].Data) != string(first[0].Data) || second[0].Seq != first[0].Seq {
		t.Errorf("an event changed between two readings of the outbox: %+v, then %+v", first, second)
	}
	must(t, s.Acked(ctx, api.Ack{Committed: map[api.Lane]uint64{api.LaneTelemetry: second[1].Seq, api.LaneAlerts: 1}}))
	if left := outbox(t, s, api.LaneTelemetry); len(left) != 0 {
		t.Errorf("telemetry after its acknowledgement: %+v", left)
	}
	if left := outbox(t, s, api.LaneAlerts); len(left) != 1 || left[0].Seq != 2 {
		t.Errorf("alerts after an acknowledgement of the first: %+v", left)
	}
	if left := outbox(t, s, api.LaneState); len(left) != 1 {
		t.Errorf("state after another lane's acknowledgement: %+v", left)
	}
	select {
	case <-s.Wake():
	default:
		t.Error("no signal after saving")
	}
}

func TestAlertsMakeWayButNeverTheFirstAndLast(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	ctx := t.Context()
	inc := incident(1)
	for v := 1; v <= 10; v++ {
		inc.Version = v
		if v == 10 {
			inc.State = detection.Closed
		}
		must(t, s.SaveIncident(ctx, inc))
		if v == 6 {
			must(t, s.SaveIncident(ctx, inc)) // the same version again is no alert
			if got := outbox(t, s, api.LaneAlerts); len(got) != 2 {
				t.Fatalf("after six versions %d alerts wait, want the first and the sixth", len(got))
			}
		}
	}
	var versions []int
	for _, e := range outbox(t, s, api.LaneAlerts) {
		var got detection.Incident
		must(t, json.Unmarshal(e.Data, &got))
		versions = append(versions, got.Version)
	}
	if fmt.Sprint(versions) != "[1 10]" {
		t.Errorf("versions %v wait, want opening and closing", versions)
	}
	if still, err := s.OpenIncidents(ctx); err != nil || len(still) != 0 {
		t.Errorf("open incidents: %v, %v", still, err)
	}
}

func TestNumbersAreNeverUsedTwice(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir})
	must(t, err)
	ctx := t.Context()
	must(t, s.SaveReadings(ctx, []devices.Reading{{Device: "river", Time: time.Now(), Quality: devices.Good}}))
	before := outbox(t, s, api.LaneTelemetry)
	epoch := s.Epoch()
	must(t, s.Close())
	// A power cut may take all of telemetry.db's last rows.
	for _, tail := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(dir, "telemetry.db"+tail)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	s = open(t, Options{Dir: dir})
	must(t, s.SaveReadings(ctx, []devices.Reading{{Device: "river", Time: time.Now(), Quality: devices.Good}}))
	after := outbox(t, s, api.LaneTelemetry)
	if after[0].Seq <= before[0].Seq || s.Epoch() != epoch {
		t.Errorf("number %d after %d in epoch %s after %s", after[0].Seq, before[0].Seq, s.Epoch(), epoch)
	}
}

func TestOlderCopyStartsANewEpoch(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	ctx := t.Context()
	must(t, s.SaveIncident(ctx, incident(1)))
	epoch := s.Epoch()
	must(t, s.Acked(ctx, api.Ack{Committed: map[api.Lane]uint64{api.LaneAlerts: 7}}))
	if s.Epoch() == epoch {
		t.Error("the hub knows seven alerts of this epoch, the store one, and the epoch goes on")
	}
	if len(outbox(t, s, api.LaneAlerts)) != 1 {
		t.Error("the alert is gone, and the hub has not got it")
	}
}

func TestDamagedFileIsSetAside(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "telemetry.db"), []byte(strings.Repeat("not a database ", 1000)), 0o600))
	s := open(t, Options{Dir: dir})
	if p := s.Problems(); len(p) != 1 || !strings.Contains(p[0].Text, "telemetry.db was damaged") {
		t.Errorf("problems: %v", p)
	}
	must(t, s.SaveReadings(t.Context(), []devices.Reading{{Device: "river", Time: time.Now(), Quality: devices.Good}}))
}

func TestEvidence(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), EvidenceBytes: 100})
	ctx := t.Context()
	inc := incident(1)
	must(t, s.SaveIncident(ctx, inc))
	meta, err := s.SaveEvidence(ctx, api.Evidence{Incident: inc.ID, Name: "snapshot.jpg", ContentType: "image/jpeg", Time: inc.Opened}, []byte(strings.Repeat("x", 60)))
	must(t, err)
	if meta.Size != 60 || len(meta.SHA256) != 64 {
		t.Errorf("announced as %+v", meta)
	}
	if _, ok, err := s.NextEvidence(ctx); ok || err != nil {
		t.Errorf("evidence goes before its announcement was committed: %v", err)
	}
	must(t, s.Acked(ctx, api.Ack{Committed: map[api.Lane]uint64{api.LaneAlerts: 2}}))
	next, ok, err := s.NextEvidence(ctx)
	if err != nil || !ok || next.SHA256 != meta.SHA256 || next.Name != "snapshot.jpg" {
		t.Fatalf("next evidence: %+v, %v, %v", next, ok, err)
	}
	other := api.Evidence{Incident: inc.ID, Name: "clip.mp4", Time: inc.Opened}
	if _, err := s.SaveEvidence(ctx, other, make([]byte, 60)); !errors.Is(err, ErrFull) {
		t.Errorf("evidence that waits for the hub was replaced: %v", err)
	}
	must(t, s.EvidenceDone(ctx, next))
	if _, err := s.SaveEvidence(ctx, other, make([]byte, 60)); err != nil {
		t.Errorf("uploaded evidence did not make room: %v", err)
	}
	if _, err := s.OpenEvidence(next); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of the uploaded evidence: %v", err)
	}
	if _, err := s.SaveEvidence(ctx, api.Evidence{Incident: "../x", Name: "y"}, nil); err == nil {
		t.Error("a path was taken for an incident")
	}
}

func TestThinning(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	s := open(t, Options{Dir: t.TempDir(), Now: func() time.Time { return now }})
	ctx := t.Context()
	count := func() (n int) {
		must(t, s.telemetry.QueryRowContext(ctx, `SELECT count(*) FROM readings`).Scan(&n))
		return n
	}
	var batch []devices.Reading
	for i := range 600 { // ten minutes two days ago, and ten minutes just now
		batch = append(batch,
			devices.Reading{Device: "river", Time: now.Add(-48*time.Hour + time.Duration(i)*time.Second), Value: float64(i), Quality: devices.Good},
			devices.Reading{Device: "river", Time: now.Add(-time.Duration(i) * time.Second), Value: float64(i), Quality: devices.Good})
	}
	batch = append(batch, devices.Reading{Device: "old", Time: time.Unix(0, 0), Quality: devices.Good})
	must(t, s.SaveReadings(ctx, batch))
	must(t, s.Maintain(ctx))
	if n := count(); n != 610 {
		t.Errorf("%d readings are left, want 600 new ones and ten old ones", n)
	}
	must(t, s.Maintain(ctx))
	if n := count(); n != 610 {
		t.Errorf("a second round left %d", n)
	}
	inc := incident(1)
	inc.State, inc.Version = detection.Closed, 2
	inc.Updated = now.Add(-31 * 24 * time.Hour)
	must(t, s.SaveIncident(ctx, inc))
	must(t, s.Maintain(ctx))
	if len(outbox(t, s, api.LaneAlerts)) != 1 {
		t.Error("an old incident that the hub has not got was forgotten")
	}
	w := s.Waiting()
	if w[api.LaneAlerts] != 1 || w[api.LaneTelemetry] != 610 {
		t.Errorf("waiting: %v", w)
	}
}
