package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/notify"
)

// announce notes a file that an edge will upload. What has been received of the same file
// stays; another file under the name of an incomplete one begins anew.
func (t *tx) announce(edge string, ev api.Evidence) error {
	var owner string
	switch err := t.one(`SELECT edge FROM incidents WHERE id = ?`, ev.Incident)(&owner); {
	case errors.Is(err, ErrNotFound): // its incident is still to come
	case err != nil:
		return err
	case owner != edge:
		return ErrForeign
	}
	switch err := t.one(`SELECT edge FROM evidence WHERE incident = ? AND name = ?`, ev.Incident, ev.Name)(&owner); {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return err
	case owner != edge:
		return ErrForeign
	}
	err := affected(t.exec(`INSERT INTO evidence(incident, name, edge, content_type, size, sha256, at) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT(incident, name) DO UPDATE SET content_type = excluded.content_type, size = excluded.size,
			sha256 = excluded.sha256, at = excluded.at, received = 0
		WHERE evidence.sha256 != excluded.sha256 AND evidence.complete = 0`,
		ev.Incident, ev.Name, edge, ev.ContentType, ev.Size, ev.SHA256, millis(ev.Time)))
	if errors.Is(err, ErrNotFound) {
		return nil // announced before
	}
	if err != nil {
		return fmt.Errorf("announcing evidence %s/%s: %w", ev.Incident, ev.Name, err)
	}
	inc, err := scanIncident(t.one(`SELECT `+incidentColumns+` FROM incidents WHERE id = ?`, ev.Incident))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	// The page shows that a picture is coming; nobody outside is told before it is there.
	if inc.Evidence, err = t.evidenceOf(inc.ID, edge); err != nil {
		return err
	}
	_, _, err = t.change(api.ChangeIncident, inc)
	return err
}

// Upload is a file of evidence and how much of it has come.
type Upload struct {
	api.Evidence
	Received int64
	Complete bool
}

// Upload returns what is known of an edge's file.
func (s *Store) Upload(ctx context.Context, edge, incident, name string) (Upload, error) {
	u := Upload{Evidence: api.Evidence{Incident: incident, Name: name}}
	var at int64
	err := found(s.read.QueryRowContext(ctx, `SELECT content_type, size, sha256, at, received, complete FROM evidence
		WHERE incident = ? AND name = ? AND edge = ?`, incident, name, edge))(
		&u.ContentType, &u.Size, &u.SHA256, &at, &u.Received, &u.Complete)
	u.Time = fromMillis(at)
	if err != nil {
		return u, fmt.Errorf("reading evidence %s/%s: %w", incident, name, err)
	}
	return u, nil
}

// Evidence returns one complete file of an incident, whatever edge it came from.
func (s *Store) Evidence(ctx context.Context, incident, name string) (api.EvidenceFile, error) {
	f, err := scanEvidence(found(s.read.QueryRowContext(ctx, `SELECT name, v.incident, content_type, size, sha256, at, complete
		FROM evidence v JOIN incidents i ON i.id = v.incident AND i.edge = v.edge
		WHERE v.incident = ? AND name = ? AND complete = 1`, incident, name)))
	if err != nil {
		return f, fmt.Errorf("reading evidence %s/%s: %w", incident, name, err)
	}
	return f, nil
}

// SetReceived notes how many bytes of a file are on the disk. It gives ErrConflict if another
// file has been announced under the name meanwhile.
func (s *Store) SetReceived(ctx context.Context, u Upload, received int64) error {
	return s.update(ctx, func(t *tx) error {
		err := affected(t.exec(`UPDATE evidence SET received = ? WHERE incident = ? AND name = ? AND sha256 = ? AND complete = 0`,
			received, u.Incident, u.Name, u.SHA256))
		if errors.Is(err, ErrNotFound) {
			err = ErrConflict
		}
		if err != nil {
			return fmt.Errorf("noting a piece of %s/%s: %w", u.Incident, u.Name, err)
		}
		return nil
	})
}

// CompleteEvidence publishes a file whose bytes have all come and are right.
func (s *Store) CompleteEvidence(ctx context.Context, edge string, u Upload) error {
	return s.update(ctx, func(t *tx) error {
		err := affected(t.exec(`UPDATE evidence SET received = size, complete = 1
			WHERE incident = ? AND name = ? AND edge = ? AND sha256 = ? AND complete = 0`, u.Incident, u.Name, edge, u.SHA256))
		if errors.Is(err, ErrNotFound) {
			return nil // done before
		}
		if err != nil {
			return fmt.Errorf("completing evidence %s/%s: %w", u.Incident, u.Name, err)
		}
		inc, err := scanIncident(t.one(`SELECT `+incidentColumns+` FROM incidents WHERE id = ? AND edge = ?`, u.Incident, edge))
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		data, err := json.Marshal(map[string]string{"name": u.Name, "sha256": u.SHA256})
		if err != nil {
			return fmt.Errorf("completing evidence %s/%s: %w", u.Incident, u.Name, err)
		}
		if err := t.entry(inc.ID, api.TimelineEntry{At: t.now, Kind: "evidence", Who: "edge " + edge, Text: u.Name, Data: data}); err != nil {
			return err
		}
		inc.Version++
		inc.UpdatedAt = t.now
		if _, err := t.exec(`UPDATE incidents SET version = ?, updated_at = ? WHERE id = ?`, inc.Version, millis(t.now), inc.ID); err != nil {
			return fmt.Errorf("completing evidence %s/%s: %w", u.Incident, u.Name, err)
		}
		return t.tell(&inc, notify.Changed)
	})
}

func healthText(h api.Health) (text, problems string, err error) {
	if h.Problems == nil {
		h.Problems = []devices.Cause{}
	}
	body, err := json.Marshal(h)
	if err != nil {
		return "", "", fmt.Errorf("writing health down: %w", err)
	}
	list, err := json.Marshal(h.Problems)
	if err != nil {
		return "", "", fmt.Errorf("writing health down: %w", err)
	}
	return string(body), string(list), nil
}
