package announce

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/alerts"
	"gridpost/hub/internal/store/incidents"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// town is a hub's database with one target.
type town struct {
	t *testing.T
	d *db.DB
	r *incidents.Repository
	n int
}

func newTown(t *testing.T) *town {
	t.Helper()
	d := dbtest.Open(t, db.SQLite, db.Options{Name: "hub", Schema: schema.Hub(), Logger: slog.New(slog.DiscardHandler)})
	if err := alerts.New(d, alerts.Options{}).Add(t.Context(), "test", alerts.Webhook{ID: "w", URL: "https://w.example", Secrets: []string{notify.NewSecret()}}); err != nil {
		t.Fatal(err)
	}
	return &town{t: t, d: d, r: Incidents(d)}
}

// alert applies what the edge gate-7 says of its incident inc.
func (w *town) alert(state detection.IncidentState) {
	w.t.Helper()
	w.n++
	now := time.Now()
	a := incidents.Alert{Title: "motion in the yard", Occurred: now, Changed: now, Incident: detection.Incident{
		ID: "inc", Device: "yard", Rule: "motion", Kind: detection.Zone, Severity: detection.Minor, State: state, Version: w.n, Opened: now, Updated: now,
	}}
	if err := w.d.Update(w.t.Context(), "test", func(tx *db.Tx) error { return w.r.ApplyAlert(tx, "gate-7", "north", a) }); err != nil {
		w.t.Fatal(err)
	}
}

// close and reopen are what a person does.
func (w *town) close()  { w.edit(incidents.Closed, incidents.FactClosed) }
func (w *town) reopen() { w.edit(incidents.Open, incidents.FactReopened) }

func (w *town) edit(state incidents.State, fact incidents.FactKind) {
	w.t.Helper()
	_, err := w.r.Edit(w.t.Context(), incidents.Edit{Who: "wang", ID: "inc", Scope: scope.All(), Apply: func(inc *incidents.Incident) (*incidents.Fact, error) {
		inc.State = state
		return &incidents.Fact{Kind: fact}, nil
	}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// deliveries returns all deliveries to the target.
func (w *town) deliveries() []notify.Delivery {
	w.t.Helper()
	q, err := alerts.New(w.d, alerts.Options{}).Acquire(w.t.Context(), "w", time.Minute)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []notify.Delivery
	for {
		due, _, err := q.Due(w.t.Context(), time.Now().Add(time.Second), 100)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(due) == 0 {
			return all
		}
		for _, d := range due {
			all = append(all, d)
			if err := q.Record(w.t.Context(), []notify.Outcome{{Delivery: d.ID, Target: "w", Incident: "inc", Attempt: 1, At: time.Now(), State: notify.Delivered}}); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// TestClearedIsNotClosed: the end of a condition and what a person does are two things; format 1 goes on to call
// the first of them closed, and the other one a change.
func TestClearedIsNotClosed(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(w *town)
		want string // kind/kind in format 1
	}{
		"cleared, then closed": {func(w *town) { w.alert(detection.Closed); w.close() }, "opened/opened cleared/closed closed/changed"},
		"closed, then cleared": {func(w *town) { w.close(); w.alert(detection.Closed) }, "opened/opened closed/closed cleared/changed"},
		"cleared only":         {func(w *town) { w.alert(detection.Closed) }, "opened/opened cleared/closed"},
		"cleared, closed, reopened, closed": {
			func(w *town) { w.alert(detection.Closed); w.close(); w.reopen(); w.close() },
			"opened/opened cleared/closed closed/changed changed/changed closed/changed",
		},
		"cleared, resumed, cleared": {
			func(w *town) { w.alert(detection.Closed); w.alert(detection.Open); w.alert(detection.Closed) },
			"opened/opened cleared/closed changed/changed cleared/closed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t)
			w.alert(detection.Open)
			c.do(w)
			var got []string
			for _, d := range w.deliveries() {
				got = append(got, fmt.Sprintf("%s/%s", d.Alert.Kind, d.Alert.Kind1))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%v, want %s", got, c.want)
			}
		})
	}
}

// TestEventIsValidByItsSchema: what leaves the hub is valid by the schema that the hub serves, and the schema refuses
// an event without what it promises.
func TestEventIsValidByItsSchema(t *testing.T) {
	w := newTown(t)
	w.alert(detection.Open)
	err := w.d.Update(t.Context(), "test", func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO evidence(incident, name, edge, device, content_type, size, sha256, at, complete) VALUES ('inc', 'a b.jpg', 'gate-7', 'yard', 'image/jpeg', 7, 'ab', 1, 1)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.alert(detection.Closed)
	all := w.deliveries()
	data, url, err := Presenter(func() string { return "https://desk.example/hub" })(all[len(all)-1].Alert.Data)
	if err != nil || url != "https://desk.example/hub"+SchemaPath {
		t.Fatalf("%s, %v", url, err)
	}
	for _, want := range []string{
		`"link":"https://desk.example/hub/incidents/inc"`, `"url":"https://desk.example/hub/api/v1/evidence/inc/a%20b.jpg"`, `"where":"yard, gate-7, north"`,
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is not in %s", want, data)
		}
	}
	if wrong := validate(t, data); len(wrong) != 0 {
		t.Errorf("%v", wrong)
	}
	var event map[string]any
	if err := json.Unmarshal(data, &event); err != nil {
		t.Fatal(err)
	}
	event["later"] = "of a later version"
	delete(event, "link")
	event["severity"] = "awful"
	bad, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	if wrong := validate(t, bad); len(wrong) != 2 {
		t.Errorf("an event without a link and with another severity: %v", wrong)
	}
}

// validate validates data by the served schema, read from its JSON.
func validate(t *testing.T, data []byte) (wrong []string) {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	// huma resolves references in a registry: that of the same types, which must be what is served.
	var served struct {
		Ref         string                     `json:"$ref"`
		Definitions map[string]json.RawMessage `json:"$defs"`
	}
	if err := json.Unmarshal(text, &served); err != nil {
		t.Fatal(err)
	}
	registry, root := schemaRegistry()
	for name, s := range registry.Map() {
		one, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(compact(t, one), compact(t, served.Definitions[name])) {
			t.Errorf("%s is served otherwise", name)
		}
	}
	if served.Ref != root.Ref {
		t.Errorf("the root is %s, want %s", served.Ref, root.Ref)
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	res := &huma.ValidateResult{}
	huma.Validate(registry, root, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, value, res)
	for _, err := range res.Errors {
		wrong = append(wrong, err.Error())
	}
	return wrong
}

func compact(t *testing.T, text []byte) []byte {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
