package incidents

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
)

// Get returns one incident with its evidence, its timeline and its reports.
func (r *Repository) Get(ctx context.Context, s scope.Scope, id string) (Incident, error) {
	reader := r.db.Read(ctx)
	inc, err := Read(reader, id)
	if err == nil && !s.Allows(inc.Site) {
		err = db.ErrNotFound
	}
	one := []Incident{inc}
	if err == nil {
		err = addMutes(reader, r.db.Now(), one)
	}
	if err != nil {
		return Incident{}, fmt.Errorf("reading incident %s: %w", id, err)
	}
	return one[0], nil
}

// Closed returns those of the incidents that are closed or do not exist, in no order.
func (r *Repository) Closed(ctx context.Context, ids []string) ([]string, error) {
	open, err := db.Collect(db.ScanText)(r.db.Read(ctx).Rows(`SELECT i.id FROM incidents i WHERE i.state != 'closed' AND i.id `+
		db.InList(r.db.Engine()), db.JSONList(ids)))
	if err != nil {
		return nil, fmt.Errorf("reading which incidents are closed: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(open, id) }), nil
}

// Read is Get for a transaction, of any site and without MutedUntil.
func Read(reader db.Reader, id string) (Incident, error) {
	found, err := scanRow(reader.One(`SELECT `+columns+` FROM incidents i WHERE i.id = ?`, id))
	if err != nil {
		return Incident{}, err
	}
	inc := found.Incident
	if inc.Evidence, err = evidenceOf(reader, inc.ID, inc.Edge); err != nil {
		return Incident{}, err
	}
	if inc.Facts, err = factsOf(reader, id); err != nil {
		return Incident{}, err
	}
	inc.Reports, err = reportsOf(reader, id)
	return inc, err
}

const fileColumns = `v.incident, v.name, v.edge, v.content_type, v.size, v.sha256, v.at, v.complete, v.clip`

func scanFile(scan func(...any) error) (File, error) {
	var f File
	var at, complete int64
	var clip string
	if err := scan(&f.Incident, &f.Name, &f.Edge, &f.ContentType, &f.Size, &f.SHA256, &at, &complete, &clip); err != nil {
		return f, err
	}
	f.Time, f.Complete = db.FromMillis(at), complete != 0
	if clip == "" {
		return f, nil
	}
	return f, json.Unmarshal([]byte(clip), &f.Clip)
}

// evidenceOf lists the files of an incident. Another edge may have announced some before the incident
// was opened; those are not shown.
func evidenceOf(r db.Reader, incident, edge string) ([]File, error) {
	all, err := db.Collect(scanFile)(r.Rows(`SELECT `+fileColumns+` FROM evidence v WHERE v.incident = ? AND v.edge = ? ORDER BY v.name`, incident, edge))
	if err != nil {
		return nil, fmt.Errorf("listing the evidence of %s: %w", incident, err)
	}
	return all, nil
}

// addEvidence reads the files of a page of incidents with one query.
func addEvidence(r db.Reader, e db.Engine, page []Incident) error {
	if len(page) == 0 {
		return nil
	}
	ids, at := make([]string, len(page)), make(map[string]int, len(page))
	for i, inc := range page {
		ids[i], at[inc.ID] = inc.ID, i
	}
	all, err := db.Collect(scanFile)(r.Rows(`SELECT `+fileColumns+` FROM evidence v WHERE v.incident `+db.InList(e)+` ORDER BY v.incident, v.name`, db.JSONList(ids)))
	if err != nil {
		return fmt.Errorf("listing evidence: %w", err)
	}
	for _, f := range all {
		if inc := &page[at[f.Incident]]; inc.Edge == f.Edge {
			inc.Evidence = append(inc.Evidence, f)
		}
	}
	return nil
}
