package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"gridpost/detection"
	"gridpost/hub/api"
	"gridpost/hub/internal/notify"
)

// ErrSuperseded says that a request is not of the epoch that greeted last.
var ErrSuperseded = errors.New("another epoch of the edge has greeted the hub since")

const (
	// keepEpochs is how many epochs of an edge are remembered. A delayed request of one that has
	// been forgotten is taken for a new epoch; the edge's present one then greets again.
	keepEpochs = 32

	// maxMissing bounds the incidents that are asked for in one answer.
	maxMissing = 10_000
)

// lostMemory is the reason for which the hub ends an incident that its edge no longer knows.
const lostMemory = "edge_lost_memory"

// pending is what a greeting changes. It waits for the next request of the epoch, which proves that
// the edge has got the answer: a greeting that was delayed on its way changes nothing.
type pending struct {
	End    []string `json:"end,omitempty"`    // incidents that the edge no longer knows
	Resume []string `json:"resume,omitempty"` // incidents that the hub ended, and that the edge knows after all
}

// fence lets only the present epoch of an edge through. A greeting of a new one makes it the
// present one; so does any request of an edge that does not greet (protocol 1).
func (t *tx) fence(b Batch) error {
	var present string
	if err := t.one(`SELECT epoch FROM edges WHERE name = ?`, b.Edge)(&present); err != nil {
		return fmt.Errorf("reading the epoch of edge %s: %w", b.Edge, err)
	}
	if b.Epoch == present {
		return nil
	}
	if b.Protocol >= 2 {
		var one int
		err := t.one(`SELECT 1 FROM epochs WHERE edge = ? AND epoch = ?`, b.Edge, b.Epoch)(&one)
		if err == nil || errors.Is(err, ErrNotFound) && b.Hello == nil {
			return ErrSuperseded
		}
		if !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("looking for an epoch of edge %s: %w", b.Edge, err)
		}
	}
	return t.beginEpoch(b.Edge, b.Epoch)
}

func (t *tx) beginEpoch(edge, epoch string) error {
	if _, err := t.exec(`UPDATE edges SET epoch = ? WHERE name = ?`, epoch, edge); err != nil {
		return fmt.Errorf("beginning an epoch of edge %s: %w", edge, err)
	}
	if _, err := t.exec(`INSERT INTO epochs(edge, epoch, began_at) VALUES (?, ?, ?)
		ON CONFLICT(edge, epoch) DO UPDATE SET began_at = excluded.began_at`, edge, epoch, millis(t.now)); err != nil {
		return fmt.Errorf("beginning an epoch of edge %s: %w", edge, err)
	}
	if _, err := t.exec(`DELETE FROM epochs WHERE edge = ?1 AND epoch != ?2 AND epoch NOT IN
		(SELECT epoch FROM epochs WHERE edge = ?1 ORDER BY began_at DESC LIMIT ?3)`, edge, epoch, keepEpochs); err != nil {
		return fmt.Errorf("forgetting old epochs of edge %s: %w", edge, err)
	}
	return nil
}

// greet notes what a greeting will change. An edge that cannot tell what is open changes nothing.
func (t *tx) greet(b Batch) error {
	var p pending
	if b.Hello.Open != nil {
		var err error
		if p, err = t.compare(b.Edge, b.Hello.Open); err != nil {
			return err
		}
	}
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("writing down a greeting: %w", err)
	}
	if len(p.End)+len(p.Resume) == 0 {
		text = nil
	}
	if _, err := t.exec(`UPDATE epochs SET pending = ? WHERE edge = ? AND epoch = ?`, string(text), b.Edge, b.Epoch); err != nil {
		return fmt.Errorf("writing down a greeting of edge %s: %w", b.Edge, err)
	}
	return nil
}

// compare finds the incidents that are open at the hub and not on the edge, and those that the hub
// has ended although the edge has them open.
func (t *tx) compare(edge string, open []api.IncidentRef) (p pending, err error) {
	known := make(map[string]int, len(open))
	for _, ref := range open {
		known[ref.ID] = ref.Version
	}
	ids, err := collect(scanText)(t.rows(`SELECT id FROM incidents WHERE edge = ? AND condition = 'open' ORDER BY id`, edge))
	if err != nil {
		return p, fmt.Errorf("listing the open incidents of edge %s: %w", edge, err)
	}
	for _, id := range ids {
		if _, ok := known[id]; !ok {
			p.End = append(p.End, id)
		}
	}
	for _, ref := range open {
		var version int
		err := t.one(`SELECT edge_version FROM incidents WHERE id = ? AND edge = ? AND ended_by != ''`, ref.ID, edge)(&version)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return p, fmt.Errorf("reading incident %s: %w", ref.ID, err)
		case version == ref.Version: // of another version, an alert is on its way that decides
			p.Resume = append(p.Resume, ref.ID)
		}
	}
	return p, nil
}

// confirm carries out what the epoch's greeting changes.
func (t *tx) confirm(b Batch) error {
	var text string
	err := t.one(`SELECT pending FROM epochs WHERE edge = ? AND epoch = ?`, b.Edge, b.Epoch)(&text)
	if errors.Is(err, ErrNotFound) || err == nil && text == "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the greeting of edge %s: %w", b.Edge, err)
	}
	var p pending
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return fmt.Errorf("reading the greeting of edge %s: %w", b.Edge, err)
	}
	for _, id := range p.End {
		if err := t.setCondition(b.Edge, id, detection.Closed); err != nil {
			return err
		}
	}
	for _, id := range p.Resume {
		if err := t.setCondition(b.Edge, id, detection.Open); err != nil {
			return err
		}
	}
	if _, err := t.exec(`UPDATE epochs SET pending = '' WHERE edge = ? AND epoch = ?`, b.Edge, b.Epoch); err != nil {
		return fmt.Errorf("noting the greeting of edge %s: %w", b.Edge, err)
	}
	return nil
}

// setCondition ends the condition of an incident that its edge no longer knows, or resumes it.
func (t *tx) setCondition(edge, id string, condition detection.IncidentState) error {
	inc, side, err := t.incident(id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if inc.Edge != edge || inc.Condition == condition {
		return nil
	}
	wasOver := inc.ClosedAt != nil
	entry := api.TimelineEntry{At: t.now, Who: "edge " + edge}
	kind := notify.Changed
	reason := lostMemory
	inc.Condition = condition
	if condition == detection.Closed {
		side.endedBy = lostMemory
		entry.Kind, entry.Text = "over", "its edge has lost its memory of it"
		if !wasOver {
			at := t.now
			inc.ClosedAt, kind = &at, notify.Closed
		}
	} else {
		reason = "edge_knows_again"
		entry.Kind, entry.Text = "changed", "its edge knows of it again"
		resume(&inc, &side)
	}
	if entry.Data, err = json.Marshal(map[string]string{"reason": reason}); err != nil {
		return fmt.Errorf("ending incident %s: %w", id, err)
	}
	inc.Version++
	inc.UpdatedAt = t.now
	if err := t.put(&inc, side); err != nil {
		return err
	}
	if err := t.entry(id, entry); err != nil {
		return err
	}
	return t.tell(&inc, kind)
}

// Missing returns the incidents of refs that the hub lacks, or has in an older version or with
// less evidence. Incidents of other edges are left out.
func (s *Store) Missing(ctx context.Context, edge string, refs []api.IncidentRef) ([]string, error) {
	missing := []string{}
	for _, ref := range refs {
		if len(missing) == maxMissing {
			break
		}
		var owner string
		var version, files int
		err := found(s.read.QueryRowContext(ctx, `SELECT edge, edge_version,
			(SELECT count(*) FROM evidence v WHERE v.incident = i.id AND v.complete = 1) FROM incidents i WHERE id = ?`, ref.ID))(&owner, &version, &files)
		switch {
		case errors.Is(err, ErrNotFound):
			missing = append(missing, ref.ID)
		case err != nil:
			return nil, fmt.Errorf("looking for incident %s: %w", ref.ID, err)
		case owner == edge && (version < ref.Version || files < ref.Evidence):
			missing = append(missing, ref.ID)
		}
	}
	return missing, nil
}

// CheckEpoch returns ErrSuperseded unless the epoch is the edge's present one.
func (s *Store) CheckEpoch(ctx context.Context, edge, epoch string) error {
	var present string
	if err := found(s.read.QueryRowContext(ctx, `SELECT epoch FROM edges WHERE name = ?`, edge))(&present); err != nil {
		return fmt.Errorf("reading the epoch of edge %s: %w", edge, err)
	}
	if present != epoch {
		return ErrSuperseded
	}
	return nil
}
