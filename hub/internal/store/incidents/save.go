package incidents

import (
	"context"
	"fmt"
	"slices"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/audit"
)

// create adds an incident with its first facts and publishes it.
func (r *Repository) create(tx *db.Tx, inc *row, facts ...Fact) error {
	inc.Version, inc.ReceivedAt, inc.UpdatedAt = 1, tx.Now(), tx.Now()
	if err := insert(tx, inc); err != nil {
		return err
	}
	for _, f := range facts {
		if err := addFact(tx, inc.ID, f); err != nil {
			return err
		}
	}
	if err := index(tx, *inc); err != nil {
		return err
	}
	return r.publish(tx, nil, *inc, AlertOpened)
}

// save writes a changed incident as its next version, with the facts of the change, and publishes it.
// before is the incident as lockRow returned it in this transaction.
func (r *Repository) save(tx *db.Tx, before row, after *row, kind AlertKind, facts ...Fact) error {
	after.Version, after.UpdatedAt = before.Version+1, tx.Now()
	if err := update(tx, after); err != nil {
		return err
	}
	reindex := filterChanged(before.Incident, after.Incident)
	for _, f := range facts {
		if err := addFact(tx, after.ID, f); err != nil {
			return err
		}
		reindex = reindex || searchable(f)
	}
	if reindex {
		if err := index(tx, *after); err != nil {
			return err
		}
	}
	return r.publish(tx, &before, *after, kind)
}

// publish announces an incident on the change feed. The counters and the alert follow when the feed is
// written: from then to the commit one transaction runs at a time, so rows that many transactions change
// cannot deadlock.
func (r *Repository) publish(tx *db.Tx, before *row, after row, kind AlertKind) error {
	inc := after.Incident
	var err error
	if inc.Evidence, err = evidenceOf(tx.Reader, inc.ID, inc.Edge); err != nil {
		return err
	}
	inc.Facts, inc.Reports, inc.MutedUntil = nil, nil, nil
	one := []Incident{inc}
	if err := addMutes(tx.Reader, tx.Now(), one); err != nil {
		return err
	}
	inc = one[0]
	if inc.State == Closed && before != nil && before.State != Closed {
		tx.Notify(db.Access, "") // views of it end
	}
	tx.Publish(ChangeKind, inc.Site, inc.ID, r.hooks.Present(inc), func(tx *db.Tx, seq int64) error {
		if err := countChange(tx, before, after); err != nil {
			return err
		}
		if kind == "" {
			return nil
		}
		return r.hooks.Alert(tx, seq, kind, inc)
	})
	return nil
}

// RenameAssignee lets incidents that are not closed follow their assignee, who has another name. What people
// did stays under the name that they had.
func (r *Repository) RenameAssignee(tx *db.Tx, name, next string) error {
	ids, err := db.Collect(db.ScanText)(tx.Rows(`SELECT id FROM incidents WHERE assignee = ? AND assignee != '' AND state != 'closed' ORDER BY id`, name))
	if err != nil {
		return fmt.Errorf("looking for the incidents of %s: %w", name, err)
	}
	for _, id := range ids {
		before, err := lockRow(tx, id)
		if err != nil {
			return fmt.Errorf("reading incident %s: %w", id, err)
		}
		if before.Assignee != name {
			continue // assigned to somebody else meanwhile
		}
		after := before
		after.Assignee = next
		if err := r.save(tx, before, &after, ""); err != nil {
			return err
		}
	}
	return nil
}

// Edit is what a person does to one incident.
type Edit struct {
	Who      string
	ID       string
	Scope    scope.Scope
	Versions []int // that the person has seen, one of which the incident must have; nil: any version

	// Apply changes the incident in place and returns the fact of it; nil: nothing is to be done. It may
	// be called more than once.
	Apply func(inc *Incident) (*Fact, error)
}

func (e Edit) expects(version int) bool {
	return e.Versions == nil || slices.Contains(e.Versions, version)
}

// Edit carries out an edit in one transaction with its fact, its entry in the audit log and in the
// change feed, and its alert. It returns the incident as it is then. It returns db.ErrNotFound, a
// *VersionError, or what Apply returns.
func (r *Repository) Edit(ctx context.Context, e Edit) (Incident, error) {
	err := r.db.Update(ctx, "incident_edit", func(tx *db.Tx) error {
		before, err := lockVisible(tx, e.Scope, e.ID)
		if err != nil {
			return err
		}
		if !e.expects(before.Version) {
			return &VersionError{Current: before.Version}
		}
		after := before
		f, err := e.Apply(&after.Incident)
		if err != nil || f == nil {
			return err
		}
		f.Who = e.Who
		kind := AlertChanged
		if before.State != Closed && after.State == Closed {
			kind = AlertClosed
		}
		if err := r.save(tx, before, &after, kind, *f); err != nil {
			return err
		}
		audit.Append(tx, e.Who, "incident "+string(f.Kind), e.ID, f.Text)
		return nil
	})
	if err != nil {
		return Incident{}, fmt.Errorf("editing incident %s: %w", e.ID, err)
	}
	return r.Get(ctx, e.Scope, e.ID)
}

// lockVisible is lockRow for what a scope allows.
func lockVisible(tx *db.Tx, s scope.Scope, id string) (row, error) {
	inc, err := lockRow(tx, id)
	if err == nil && !s.Allows(inc.Site) {
		err = db.ErrNotFound
	}
	return inc, err
}
