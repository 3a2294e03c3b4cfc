package incidents

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/audit"
)

// Report is what a person or another system reported. It opens an incident or joins one.
type Report struct {
	ID       string
	Incident string // that it opened or joined
	Who      string
	Title    string
	Text     string
	Kind     string
	Severity detection.Severity
	Place    *devices.Place

	OccurredAt time.Time
	RecordedAt time.Time
}

const reportColumns = `id, incident, who, title, text, kind, severity, place, occurred_at, recorded_at`

func scanReport(scan func(...any) error) (Report, error) {
	var rep Report
	var occurred, recorded int64
	var place sql.NullString
	err := scan(&rep.ID, &rep.Incident, &rep.Who, &rep.Title, &rep.Text, &rep.Kind, &rep.Severity, &place, &occurred, &recorded)
	if err != nil {
		return rep, err
	}
	rep.OccurredAt, rep.RecordedAt = db.FromMillis(occurred), db.FromMillis(recorded)
	if rep.Place, err = readPlace(place); err != nil {
		return rep, fmt.Errorf("reading the place of report %s: %w", rep.ID, err)
	}
	return rep, nil
}

// maxReports bounds the reports that are shown with an incident; the newest are left out.
const maxReports = 200

func reportsOf(r db.Reader, incident string) ([]Report, error) {
	all, err := db.Collect(scanReport)(r.Rows(`SELECT `+reportColumns+` FROM reports WHERE incident = ? ORDER BY recorded_at, id LIMIT ?`, incident, maxReports))
	if err != nil {
		return nil, fmt.Errorf("listing the reports of %s: %w", incident, err)
	}
	return all, nil
}

// fact is a report in the timeline of its incident.
func (rep Report) fact() Fact {
	text := rep.Text
	if rep.Incident != rep.ID && text == "" {
		text = rep.Title // the incident has a title of its own
	}
	f := Fact{Kind: FactReported, Who: rep.Who, Text: text, OccurredAt: rep.OccurredAt}
	return *f.WithData(ReportData{Report: rep.ID})
}

// NewReport is a report that is to be added.
type NewReport struct {
	Report // ID is the same for a report that is sent again; Incident is set by AddReport
	Scope  scope.Scope
	Join   string                   // the incident that it joins; empty: it opens one of its own ID
	Site   string                   // of the incident that it opens; empty: of no site
	Taken  bool                     // the incident that it opens is acknowledged by and assigned to the reporter
	Allow  func(inc Incident) error // says whether it may join an incident
}

// AddReport adds a report and returns the ID of the incident that it opened or joined. A report that was
// added before changes nothing. It returns db.ErrNotFound if there is no incident to join, or what Allow
// returns.
func (r *Repository) AddReport(ctx context.Context, n NewReport) (incident string, err error) {
	err = r.db.Update(ctx, "report", func(tx *db.Tx) error {
		rep := n.Report
		rep.RecordedAt = tx.Now()
		rep.OccurredAt = bounded(rep.OccurredAt, tx.Now(), tx.Now())
		rep.Incident = n.Join
		var before row
		if n.Join == "" {
			rep.Incident = rep.ID
		} else if before, err = lockVisible(tx, n.Scope, n.Join); err != nil {
			return err
		}
		fresh, known, err := addReport(tx, rep)
		if err != nil || !fresh {
			incident = known
			return err
		}
		incident = rep.Incident
		if n.Join == "" {
			return r.openReport(tx, rep, n)
		}
		if err := n.Allow(before.Incident); err != nil {
			return err
		}
		after := before
		if err := r.save(tx, before, &after, AlertChanged, rep.fact()); err != nil {
			return err
		}
		audit.Append(tx, rep.Who, "report join", incident, rep.Title)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("adding a report: %w", err)
	}
	return incident, nil
}

// addReport inserts a report. It returns the incident of the one that has its ID already.
func addReport(tx *db.Tx, rep Report) (fresh bool, incident string, err error) {
	place, err := jsonOrNull(rep.Place)
	if err != nil {
		return false, "", fmt.Errorf("encoding the place of a report: %w", err)
	}
	err = tx.Affected(`INSERT INTO reports(`+reportColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO NOTHING`,
		rep.ID, rep.Incident, rep.Who, rep.Title, rep.Text, rep.Kind, string(rep.Severity), place, db.Millis(rep.OccurredAt), db.Millis(rep.RecordedAt))
	if errors.Is(err, db.ErrNotFound) {
		return false, incident, tx.One(`SELECT incident FROM reports WHERE id = ?`, rep.ID)(&incident)
	}
	return err == nil, "", err
}

// openReport opens an incident for a report. Its alert says "opened" also when the reporter has taken it.
func (r *Repository) openReport(tx *db.Tx, rep Report, n NewReport) error {
	inc := row{Incident: Incident{
		ID: rep.ID, Kind: rep.Kind, Title: rep.Title, Severity: rep.Severity, State: Open, Condition: detection.Open, Source: FromReport,
		Site: n.Site, Group: rep.ID, OpenedAt: rep.OccurredAt, OccurredAt: rep.OccurredAt, Place: rep.Place, Count: 1,
	}}
	facts := []Fact{rep.fact()}
	if n.Taken {
		inc.State, inc.StateBy, inc.Assignee = Acknowledged, rep.Who, rep.Who
		facts = append(facts, Fact{Kind: FactAssigned, Who: rep.Who, Text: rep.Who})
	}
	if err := r.create(tx, &inc, facts...); err != nil {
		return err
	}
	audit.Append(tx, rep.Who, "report", rep.ID, rep.Title)
	if n.Taken {
		audit.Append(tx, rep.Who, "incident "+string(FactAssigned), rep.ID, rep.Who)
	}
	return nil
}

// Join moves the reports of an incident to another one and closes it. close changes the incident that
// is joined, as Edit.Apply does; allow says whether the other one takes reports.
type Join struct {
	Edit
	Into  string
	Allow func(into Incident) error
}

// Join carries out a join in one transaction. It returns the incident that was closed.
func (r *Repository) Join(ctx context.Context, j Join) (Incident, error) {
	err := r.db.Update(ctx, "incident_join", func(tx *db.Tx) error {
		first, second := j.ID, j.Into
		if first > second { // one order of locks, so that two joins cannot deadlock
			first, second = second, first
		}
		locked := map[string]row{}
		for _, id := range []string{first, second} {
			inc, err := lockVisible(tx, j.Scope, id)
			if err != nil {
				return err
			}
			locked[id] = inc
		}
		return r.join(tx, j, locked[j.ID], locked[j.Into])
	})
	if err != nil {
		return Incident{}, fmt.Errorf("joining incident %s to %s: %w", j.ID, j.Into, err)
	}
	return r.Get(ctx, j.Scope, j.ID)
}

func (r *Repository) join(tx *db.Tx, j Join, from, into row) error {
	if !j.expects(from.Version) {
		return &VersionError{Current: from.Version}
	}
	after := from
	f, err := j.Apply(&after.Incident)
	if err != nil || f == nil {
		return err
	}
	if err := j.Allow(into.Incident); err != nil {
		return err
	}
	f.Who, f.Data = j.Who, encode(JoinData{Into: j.Into})
	kind := AlertChanged
	if from.State != Closed && after.State == Closed {
		kind = AlertClosed
	}
	reports, err := reportsOf(tx.Reader, from.ID)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE reports SET incident = ? WHERE incident = ?`, into.ID, from.ID); err != nil {
		return fmt.Errorf("moving reports: %w", err)
	}
	if err := r.save(tx, from, &after, kind, *f); err != nil {
		return err
	}
	facts := make([]Fact, len(reports))
	for i, rep := range reports {
		rep.Incident = into.ID
		facts[i] = rep.fact()
	}
	joined := into
	if err := r.save(tx, into, &joined, AlertChanged, facts...); err != nil {
		return err
	}
	audit.Append(tx, j.Who, "incident joined", from.ID, into.ID)
	return nil
}
