package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
	if dir := os.Getenv(drainDir); dir != "" {
		if err := drainForChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
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
		if err := save(ctx, s, inc); err != nil {
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

func save(ctx context.Context, s *Store, all ...detection.Incident) error {
	return s.SaveIncidents(ctx, all)
}

func outbox(t *testing.T, s *Store, lane api.Lane) []api.Event {
	t.Helper()
	read := s.Alerts
	if lane == api.LaneTelemetry {
		read = s.Telemetry
	}
	events, err := read(context.Background(), 500, 4<<20)
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
		if err = save(ctx, s, inc); err != nil {
			break
		}
		saved = append(saved, inc.ID)
	}
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "saving incidents: the disk is full") {
		t.Fatalf("a full disk is reported as %v", err)
	}
	if len(saved) == 0 {
		t.Fatal("nothing was saved at all")
	}
	events, err := s.Alerts(ctx, 5000, 64<<20)
	must(t, err)
	if len(events) != len(saved) {
		t.Fatalf("%d events for %d saved incidents", len(events), len(saved))
	}
	// The hub's confirmation makes room again.
	must(t, s.AlertsDelivered(ctx, events[len(events)-1].Seq, nil))
	must(t, save(ctx, s, incident(9999)))
	left := outbox(t, s, api.LaneAlerts)
	if len(left) != 1 || left[0].Seq <= events[len(events)-1].Seq {
		t.Fatalf("after the confirmation: %+v", left)
	}
	all, err := s.OpenIncidents(ctx)
	must(t, err)
	if len(all) != len(saved)+1 {
		t.Errorf("%d incidents are saved, want %d", len(all), len(saved)+1)
	}
}

func reading(i int) devices.Reading {
	return devices.Reading{Device: "river", Time: time.Date(2026, 3, 1, 0, 0, i, 0, time.UTC), Value: float64(i), Unit: "m", Quality: devices.Good}
}

// TestTexts: readings that are texts are stored and sent as such, each once, also of one time.
func TestTexts(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	first, second, number := reading(1), reading(1), reading(1)
	first.Text, first.Value = "pump 1", 0
	second.Text, second.Value = "pump 2", 0
	must(t, s.SaveReadings(t.Context(), []devices.Reading{first, second, number}))
	must(t, s.SaveReadings(t.Context(), []devices.Reading{second, first, number}))
	got, lost := drain(t, s)
	for _, r := range []devices.Reading{first, second, number} {
		if _, ok := got[r]; !ok {
			t.Errorf("%+v did not arrive", r)
		}
	}
	if len(got) != 3 || lost != 0 {
		t.Errorf("%d readings arrived and gaps name %d, want 3 and none: %+v", len(got), lost, got)
	}
}

func snapshot(t *testing.T, s *Store, inc detection.Incident, size int) api.Evidence {
	t.Helper()
	meta, err := s.SaveEvidence(context.Background(), api.Evidence{Incident: inc.ID, Name: "snapshot.jpg", ContentType: "image/jpeg", Time: inc.Opened}, []byte(strings.Repeat("x", size)))
	must(t, err)
	return meta
}

func TestEvidence(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), EvidenceBytes: 100})
	ctx := t.Context()
	inc := incident(1)
	must(t, save(ctx, s, inc))
	meta := snapshot(t, s, inc, 60)
	if meta.Size != 60 || len(meta.SHA256) != 64 {
		t.Errorf("announced as %+v", meta)
	}
	if w, err := s.WaitingEvidence(ctx, 1, nil); len(w) != 0 || err != nil {
		t.Errorf("evidence goes before its announcement was confirmed: %v, %v", w, err)
	}
	events := outbox(t, s, api.LaneAlerts)
	must(t, s.AlertsDelivered(ctx, events[1].Seq, nil))
	w, err := s.WaitingEvidence(ctx, 1, nil)
	if err != nil || len(w) != 1 || w[0].SHA256 != meta.SHA256 {
		t.Fatalf("waiting evidence: %+v, %v", w, err)
	}
	if w, err := s.WaitingEvidence(ctx, 1, func(api.Evidence) bool { return true }); err != nil || len(w) != 0 {
		t.Errorf("skipped evidence: %+v, %v", w, err)
	}
	other := api.Evidence{Incident: inc.ID, Name: "clip.mp4", Time: inc.Opened}
	if _, err := s.SaveEvidence(ctx, other, make([]byte, 60)); !errors.Is(err, ErrFull) {
		t.Errorf("evidence that waits for the hub was replaced: %v", err)
	}
	if g := gapsOf(t, s, api.LaneAlerts); len(g) != 1 || g[0].Kind != api.GapEvidence || g[0].Reason != reasonFull {
		t.Errorf("refused evidence is reported as %+v", g)
	}
	must(t, s.EvidenceDelivered(ctx, api.Evidence{Incident: inc.ID, Name: meta.Name, SHA256: "of an older file"}))
	if w, err := s.WaitingEvidence(ctx, 1, nil); err != nil || len(w) != 1 {
		t.Errorf("a confirmation of an older file counts for the newer: %v, %v", w, err)
	}
	must(t, s.EvidenceDelivered(ctx, meta))
	if _, err := s.SaveEvidence(ctx, other, make([]byte, 60)); err != nil {
		t.Errorf("delivered evidence did not make room: %v", err)
	}
	if _, err := s.OpenEvidence(meta); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of the delivered evidence: %v", err)
	}
	must(t, s.EvidenceLost(ctx, other, "file_missing"))
	if g := gapsOf(t, s, api.LaneAlerts); len(g) != 2 {
		t.Errorf("gaps: %+v", g)
	}
	if _, err := s.SaveEvidence(ctx, api.Evidence{Incident: "../x", Name: "y"}, nil); err == nil {
		t.Error("a path was accepted as an incident")
	}
}

func TestAClockThatIsNotTrustedRemovesNothingThatWaits(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	s := open(t, Options{Dir: t.TempDir(), Now: func() time.Time { return now }})
	s.machine.fixed = func() moment { return moment{clock: api.ClockUnsynchronized} }
	ctx := t.Context()
	inc := incident(1)
	must(t, save(ctx, s, inc))
	snapshot(t, s, inc, 10)
	must(t, s.SaveReadings(ctx, []devices.Reading{reading(1), reading(2)}))
	now = now.AddDate(20, 0, 0)
	must(t, s.Maintain(ctx))
	got, lost := drain(t, s)
	if len(got) != 2 || lost != 0 {
		t.Errorf("%d readings arrived, gaps name %d", len(got), lost)
	}
	f, err := s.OpenEvidence(api.Evidence{Incident: inc.ID, Name: "snapshot.jpg"})
	if err != nil {
		t.Fatal(err)
	}
	must(t, f.Close())
}

func TestEventsSayHowOldTheyAre(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir})
	must(t, err)
	at := moment{boot: "first", bootMS: 1000, clock: api.ClockUnsynchronized}
	s.machine.fixed = func() moment { return at }
	inc := incident(1)
	must(t, save(t.Context(), s, inc))
	at.bootMS = 61_000
	e := outbox(t, s, api.LaneAlerts)[0]
	if e.AgeMS == nil || *e.AgeMS != 60_000 || e.Clock != api.ClockUnsynchronized {
		t.Errorf("a minute later: age %v, clock %q", e.AgeMS, e.Clock)
	}
	// What the hub has lost is sent again: it did not happen just now.
	must(t, s.Enqueue(t.Context(), []string{inc.ID}))
	if e := outbox(t, s, api.LaneAlerts)[0]; e.AgeMS != nil {
		t.Errorf("sent again: age %v", *e.AgeMS)
	}
	must(t, s.Close())
	s = open(t, Options{Dir: dir})
	s.machine.fixed = func() moment { return moment{boot: "second", bootMS: 5000} }
	if e := outbox(t, s, api.LaneAlerts)[0]; e.AgeMS != nil || e.Clock != api.ClockUnsynchronized {
		t.Errorf("after the machine has restarted: age %v, clock %q", *e.AgeMS, e.Clock)
	}
}

func TestUnreadableRowsAreSetAside(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	ctx := t.Context()
	a, b := incident(1), incident(2)
	must(t, save(ctx, s, a, b))
	must(t, s.incidents.write(ctx, func(t *tx) error {
		if _, err := t.exec(`UPDATE incidents SET data = '{"id":' WHERE id = ?`, a.ID); err != nil {
			return err
		}
		_, err := t.exec(`UPDATE outbox SET data = '{"id":' WHERE incident = ?`, a.ID)
		return err
	}))
	all, err := s.OpenIncidents(ctx)
	must(t, err)
	if len(all) != 1 || all[0].ID != b.ID {
		t.Errorf("open incidents: %+v", all)
	}
	if p := s.Problems(); len(p) != 1 || p[0].Code != "incident_unreadable" || p[0].Params["incident"] != a.ID {
		t.Errorf("problems: %+v", p)
	}
	if got := versions(t, s); len(got) != 1 {
		t.Errorf("%d alerts can be sent, want one", len(got))
	}
	if g := gapsOf(t, s, api.LaneAlerts); len(g) != 1 || g[0].Count != 1 {
		t.Errorf("gaps: %+v", g)
	}
	var aside int
	must(t, s.incidents.read(ctx, func(q querier) error { return q.QueryRowContext(ctx, `SELECT count(*) FROM set_aside`).Scan(&aside) }))
	if aside != 2 {
		t.Errorf("%d rows were set aside, want the incident and its alert", aside)
	}
}
