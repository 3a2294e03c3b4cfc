package incidents

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/db"
)

// Alert is an incident as its edge describes it, with what ingest adds.
type Alert struct {
	Incident detection.Incident // its times are by the edge's clock
	Title    string
	Names    Names

	Occurred time.Time // when it opened, by the hub's clock; zero: not known
	Changed  time.Time // when this alert was made, by the hub's clock; zero: not known
	Ended    time.Time // when its condition ended, by the hub's clock; zero: it holds, or not known

	Clock   api.ClockGrade // of the edge's clock
	Clamped bool           // the edge's clock was so wrong that its times were replaced
	Place   *devices.Place // of the device; nil: not known
}

const (
	// maxPlaced bounds the incidents that a new inventory gives a place: more than a device has open.
	maxPlaced = 100

	// maxRenamed bounds the incidents that take over new names: more than an edge has open. Others keep the
	// names that they have.
	maxRenamed = 500

	// maxMissing bounds the incidents that are asked for in one answer.
	maxMissing = 10_000

	// lookup is how many IDs one query looks for.
	lookup = 5000

	// plausible is how long before its receipt an incident may have occurred.
	plausible = 400 * 24 * time.Hour
)

// Reasons of the facts that the hub adds by itself.
const (
	reasonClock      = "edge_clock_wrong"
	reasonLostMemory = "edge_lost_memory"
	reasonKnowsAgain = "edge_knows_again"
)

// bounded returns a time that a wrong clock cannot put into the future; fallback when it is not known.
func bounded(at, fallback, now time.Time) time.Time {
	if at.IsZero() {
		at = fallback
	}
	if at.After(now) {
		return now
	}
	return at
}

// note returns the data of an alert's fact; nil if there is nothing to note.
func (a Alert) note() *AlertData {
	d := AlertData{Value: a.Incident.Value}
	if a.Clamped {
		d.Reason = reasonClock
	}
	if d == (AlertData{}) {
		return nil
	}
	return &d
}

func (a Alert) fact(kind FactKind, edge string, at time.Time) Fact {
	f := Fact{Kind: kind, Who: "edge " + edge, Text: a.Title, OccurredAt: at}
	if data := a.note(); data != nil {
		f.Data = encode(data)
	}
	return f
}

// ApplyAlert opens or changes an incident. An alert that is not newer than what is known changes
// nothing, because a new epoch may send again what the last one sent. But a condition that has ended has
// ended: that is applied whatever the version, because an edge that was restored from an older copy counts
// anew. It returns ErrForeign for an incident of another edge.
func (r *Repository) ApplyAlert(tx *db.Tx, edge, site string, a Alert) error {
	in := a.Incident
	before, err := lockRow(tx, in.ID)
	if errors.Is(err, db.ErrNotFound) {
		return r.openIncident(tx, edge, site, a)
	}
	if err != nil {
		return err
	}
	if before.Edge != edge {
		return ErrForeign
	}
	over := before.Condition == detection.Open && in.State == detection.Closed
	if in.Version <= before.edgeVersion && !over {
		return nil
	}
	after := before
	if before.Condition == detection.Closed && in.State == detection.Open {
		resume(&after)
	}
	fill(&after, in)
	after.edgeVersion, after.endedBy = max(before.edgeVersion, in.Version), ""
	kind, f := AlertChanged, a.fact(FactChanged, edge, bounded(a.Changed, in.Updated, tx.Now()))
	if over {
		f = a.fact(FactOver, edge, a.ended(after.Incident, tx.Now()))
		kind = AlertCleared
		end(&after, f.OccurredAt)
		if err := endInGroup(tx, after.Incident); err != nil {
			return err
		}
	}
	return r.save(tx, before, &after, kind, f)
}

// ended returns when the condition of an incident ended, by the hub's clock: not before it occurred.
func (a Alert) ended(inc Incident, now time.Time) time.Time {
	at := bounded(a.Ended, now, now)
	if at.Before(inc.OccurredAt) {
		return inc.OccurredAt
	}
	return at
}

// end notes that the condition of an incident has ended.
func end(inc *row, at time.Time) {
	inc.Condition, inc.EndedAt = detection.Closed, pointer(at)
	if inc.ClosedAt == nil {
		inc.ClosedAt = pointer(at)
	}
}

// resume makes the condition of an incident hold again. What people closed stays closed.
func resume(inc *row) {
	inc.Condition, inc.endedBy, inc.EndedAt = detection.Open, "", nil
	if inc.State != Closed {
		inc.ClosedAt = nil
	}
}

// fill takes over what the edge says. What people did stays.
func fill(inc *row, in detection.Incident) {
	inc.Severity = in.Severity
	inc.Class, inc.Value, inc.Limit, inc.Unit, inc.Count = in.Class, in.Value, in.Limit, in.Unit, in.Count
	if in.Box != nil {
		inc.Box = []float64{in.Box.X, in.Box.Y, in.Box.W, in.Box.H}
	}
}

func (r *Repository) openIncident(tx *db.Tx, edge, site string, a Alert) error {
	in := a.Incident
	inc := row{edgeVersion: in.Version, Incident: Incident{
		ID: in.ID, Edge: edge, Device: in.Device, Rule: in.Rule, Kind: string(in.Kind), Title: a.Title, Names: a.Names, Site: site,
		State: Open, Condition: detection.Open, Source: FromEdge, OpenedAt: in.Opened, Clock: string(a.Clock), Place: a.Place,
		OccurredAt: bounded(a.Occurred, in.Opened, tx.Now()),
	}}
	if inc.OccurredAt.Before(tx.Now().Add(-plausible)) {
		inc.OccurredAt = tx.Now() // only a wrong clock says so
	}
	fill(&inc, in)
	facts := []Fact{a.fact(FactOpened, edge, inc.OccurredAt)}
	var err error
	if inc.Group, err = assignGroup(tx, inc.Incident); err != nil {
		return err
	}
	if in.State == detection.Closed {
		at := a.ended(inc.Incident, tx.Now())
		end(&inc, at)
		facts = append(facts, Fact{Kind: FactOver, Who: "edge " + edge, Text: a.Title, OccurredAt: at})
		if err := endInGroup(tx, inc.Incident); err != nil {
			return err
		}
	}
	if err := r.create(tx, &inc, facts...); err != nil {
		if errors.Is(err, db.ErrConflict) {
			return ErrForeign // another edge has opened it just now
		}
		return err
	}
	if _, err := tx.Exec(`UPDATE evidence SET device = ? WHERE incident = ? AND edge = ?`, inc.Device, inc.ID, edge); err != nil {
		return fmt.Errorf("noting the device of the evidence of %s: %w", inc.ID, err)
	}
	return nil
}

// SetCondition ends the condition of an incident that its edge no longer knows, or resumes it. An
// incident that is not the edge's is left alone.
func (r *Repository) SetCondition(tx *db.Tx, edge, id string, condition detection.IncidentState) error {
	before, err := lockRow(tx, id)
	if errors.Is(err, db.ErrNotFound) || err == nil && (before.Edge != edge || before.Condition == condition) {
		return nil
	}
	if err != nil {
		return err
	}
	after := before
	f := Fact{Kind: FactChanged, Who: "edge " + edge, Text: "its edge knows of it again", Data: encode(ReasonData{reasonKnowsAgain})}
	kind := AlertChanged
	if condition == detection.Open {
		resume(&after)
	} else {
		f.Kind, f.Text, f.Data = FactOver, "its edge has lost its memory of it", encode(ReasonData{reasonLostMemory})
		after.endedBy = reasonLostMemory
		kind = AlertCleared
		end(&after, tx.Now())
		if err := endInGroup(tx, after.Incident); err != nil {
			return err
		}
	}
	return r.save(tx, before, &after, kind, f)
}

// SetPlace gives a device's place to its incidents that are not closed and have none, because they
// came before the inventory.
func (r *Repository) SetPlace(tx *db.Tx, edge, device string, p devices.Place) error {
	ids, err := db.Collect(db.ScanText)(tx.Rows(`SELECT id FROM incidents WHERE edge = ? AND device = ? AND place IS NULL AND state != 'closed'
		ORDER BY id LIMIT ?`, edge, device, maxPlaced))
	if err != nil {
		return fmt.Errorf("looking for incidents of %s/%s without a place: %w", edge, device, err)
	}
	for _, id := range ids {
		before, err := lockRow(tx, id)
		if err != nil {
			return fmt.Errorf("reading incident %s: %w", id, err)
		}
		after := before
		after.Place = &p
		if err := r.save(tx, before, &after, ""); err != nil {
			return err
		}
	}
	return nil
}

// Rename gives the edge's newest incidents that are not closed the names, and the titles of them, that describe
// returns. Those that have them are left alone.
func (r *Repository) Rename(tx *db.Tx, edge string, describe func(Incident) (Names, string, error)) error {
	ids, err := db.Collect(db.ScanText)(tx.Rows(`SELECT id FROM incidents WHERE edge = ? AND state IN ('open', 'acknowledged') ORDER BY number DESC LIMIT ?`,
		edge, maxRenamed))
	if err != nil {
		return fmt.Errorf("looking for the incidents of %s that are not closed: %w", edge, err)
	}
	slices.Sort(ids) // locked in the order of their IDs, as everywhere
	for _, id := range ids {
		before, err := lockRow(tx, id)
		if err != nil {
			return fmt.Errorf("reading incident %s: %w", id, err)
		}
		after := before
		if after.Names, after.Title, err = describe(before.Incident); err != nil {
			return err
		}
		if after.Names == before.Names {
			continue
		}
		if err := r.save(tx, before, &after, ""); err != nil {
			return err
		}
	}
	return nil
}

// CompareOpen compares what an edge has open with what the hub knows: end are incidents that are open at
// the hub and not on the edge; resume are those that the hub has ended although the edge has them open, in
// the same version. It takes two queries, whatever the number of incidents.
func (r *Repository) CompareOpen(reader db.Reader, edge string, open []api.IncidentRef) (end, resume []string, err error) {
	known := make(map[string]int, len(open))
	for _, ref := range open {
		known[ref.ID] = ref.Version
	}
	ids, err := db.Collect(db.ScanText)(reader.Rows(`SELECT id FROM incidents WHERE edge = ? AND condition = 'open' ORDER BY id`, edge))
	if err != nil {
		return nil, nil, fmt.Errorf("listing the open incidents of edge %s: %w", edge, err)
	}
	for _, id := range ids {
		if _, ok := known[id]; !ok {
			end = append(end, id)
		}
	}
	ended, err := db.Collect(func(scan func(...any) error) (ref api.IncidentRef, err error) {
		err = scan(&ref.ID, &ref.Version)
		return ref, err
	})(reader.Rows(`SELECT id, edge_version FROM incidents WHERE edge = ? AND ended_by != '' ORDER BY id`, edge))
	if err != nil {
		return nil, nil, fmt.Errorf("listing the incidents of edge %s that the hub ended: %w", edge, err)
	}
	for _, ref := range ended {
		// Of another version, an alert is on its way that decides.
		if version, ok := known[ref.ID]; ok && version == ref.Version {
			resume = append(resume, ref.ID)
		}
	}
	return end, resume, nil
}

// Missing returns the incidents of refs that the hub lacks, or has in an older version or with less
// evidence. Incidents of other edges are left out.
func (r *Repository) Missing(reader db.Reader, edge string, refs []api.IncidentRef) ([]string, error) {
	missing := []string{}
	for len(refs) > 0 && len(missing) < maxMissing {
		part := refs[:min(len(refs), lookup)]
		refs = refs[len(part):]
		have, err := r.known(reader, part)
		if err != nil {
			return nil, err
		}
		for _, ref := range part {
			k, ok := have[ref.ID]
			if !ok || k.edge == edge && (k.version < ref.Version || k.files < ref.Evidence) {
				missing = append(missing, ref.ID)
			}
		}
	}
	return missing[:min(len(missing), maxMissing)], nil
}

// knownIncident is what Missing compares.
type knownIncident struct {
	id, edge       string
	version, files int
}

func (r *Repository) known(reader db.Reader, refs []api.IncidentRef) (map[string]knownIncident, error) {
	ids := make([]string, len(refs))
	for i, ref := range refs {
		ids[i] = ref.ID
	}
	all, err := db.Collect(func(scan func(...any) error) (k knownIncident, err error) {
		err = scan(&k.id, &k.edge, &k.version, &k.files)
		return k, err
	})(reader.Rows(`SELECT i.id, i.edge, i.edge_version, (SELECT count(*) FROM evidence v WHERE v.incident = i.id AND v.complete = 1)
		FROM incidents i WHERE i.id `+db.InList(r.db.Engine()), db.JSONList(ids)))
	if err != nil {
		return nil, fmt.Errorf("looking for incidents: %w", err)
	}
	m := make(map[string]knownIncident, len(all))
	for _, k := range all {
		m[k.id] = k
	}
	return m, nil
}
