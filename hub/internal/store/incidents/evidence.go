package incidents

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
)

// AnnounceEvidence adds a file that an edge will upload; taken is the time of the frame by the hub's
// clock, zero when it is not known. What has been received of the same file stays; another file under the
// name of an incomplete one begins anew. It returns ErrForeign for an incident of another edge.
func (r *Repository) AnnounceEvidence(tx *db.Tx, edge string, ev api.Evidence, taken time.Time) error {
	before, err := lockRow(tx, ev.Incident)
	opened := err == nil
	if err != nil && !errors.Is(err, db.ErrNotFound) { // its incident may be still to come
		return err
	}
	if opened && before.Edge != edge {
		return ErrForeign
	}
	var owner string
	switch err := tx.One(`SELECT edge FROM evidence WHERE incident = ? AND name = ?`, ev.Incident, ev.Name)(&owner); {
	case errors.Is(err, db.ErrNotFound):
	case err != nil:
		return err
	case owner != edge:
		return ErrForeign
	}
	clip, err := storedClip(ev.Clip)
	if err != nil {
		return fmt.Errorf("announcing evidence %s/%s: %w", ev.Incident, ev.Name, err)
	}
	err = tx.Affected(`INSERT INTO evidence(incident, name, edge, content_type, size, sha256, at, device, taken_at, recorded_at, clip)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT(incident, name) DO UPDATE SET content_type = excluded.content_type, size = excluded.size, sha256 = excluded.sha256,
			at = excluded.at, taken_at = excluded.taken_at, recorded_at = excluded.recorded_at, clip = excluded.clip, received = 0
		WHERE evidence.sha256 != excluded.sha256 AND evidence.complete = 0 AND evidence.edge = excluded.edge`,
		ev.Incident, ev.Name, edge, ev.ContentType, ev.Size, ev.SHA256, db.Millis(ev.Time), before.Device,
		db.Millis(bounded(taken, ev.Time, tx.Now())), db.Millis(tx.Now()), clip)
	if errors.Is(err, db.ErrNotFound) {
		return nil // announced before
	}
	if err != nil {
		return fmt.Errorf("announcing evidence %s/%s: %w", ev.Incident, ev.Name, err)
	}
	if !opened {
		return nil
	}
	// The console shows that a picture is coming; alerts follow when it is there.
	after := before
	return r.save(tx, before, &after, "")
}

// Upload is a file of evidence and how much of it has arrived.
type Upload struct {
	api.Evidence
	Received int64
	Complete bool
}

// Upload returns what is known of an edge's file.
func (r *Repository) Upload(ctx context.Context, edge, incident, name string) (Upload, error) {
	u := Upload{Evidence: api.Evidence{Incident: incident, Name: name}}
	var at, complete int64
	err := r.db.Read(ctx).One(`SELECT content_type, size, sha256, at, received, complete FROM evidence
		WHERE incident = ? AND name = ? AND edge = ?`, incident, name, edge)(&u.ContentType, &u.Size, &u.SHA256, &at, &u.Received, &complete)
	u.Time, u.Complete = db.FromMillis(at), complete != 0
	if err != nil {
		return u, fmt.Errorf("reading evidence %s/%s: %w", incident, name, err)
	}
	return u, nil
}

// File returns one complete file of an incident.
func (r *Repository) File(ctx context.Context, s scope.Scope, incident, name string) (File, error) {
	where, args := s.Where("i.site")
	f, err := scanFile(r.db.Read(ctx).One(`SELECT `+fileColumns+` FROM evidence v JOIN incidents i ON i.id = v.incident AND i.edge = v.edge
		WHERE v.incident = ? AND v.name = ? AND v.complete = 1 AND `+where, append([]any{incident, name}, args...)...))
	if err != nil {
		return f, fmt.Errorf("reading evidence %s/%s: %w", incident, name, err)
	}
	return f, nil
}

// SetReceived stores how many bytes of a file are on the disk. It returns db.ErrConflict if another file
// has been announced under the name meanwhile.
func (r *Repository) SetReceived(ctx context.Context, u Upload, received int64) error {
	return r.db.Update(ctx, "evidence_piece", func(tx *db.Tx) error {
		err := tx.Affected(`UPDATE evidence SET received = ? WHERE incident = ? AND name = ? AND sha256 = ? AND complete = 0`,
			received, u.Incident, u.Name, u.SHA256)
		if errors.Is(err, db.ErrNotFound) {
			err = db.ErrConflict
		}
		if err != nil {
			return fmt.Errorf("storing the progress of %s/%s: %w", u.Incident, u.Name, err)
		}
		return nil
	})
}

// CompleteEvidence publishes a file whose bytes have all arrived and have the right checksum.
func (r *Repository) CompleteEvidence(ctx context.Context, edge string, u Upload) error {
	return r.db.Update(ctx, "evidence_complete", func(tx *db.Tx) error {
		before, err := lockRow(tx, u.Incident)
		opened := err == nil && before.Edge == edge
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return err
		}
		err = tx.Affected(`UPDATE evidence SET received = size, complete = 1
			WHERE incident = ? AND name = ? AND edge = ? AND sha256 = ? AND complete = 0`, u.Incident, u.Name, edge, u.SHA256)
		if errors.Is(err, db.ErrNotFound) {
			return nil // done before
		}
		if err != nil {
			return fmt.Errorf("completing evidence %s/%s: %w", u.Incident, u.Name, err)
		}
		if !opened {
			return nil
		}
		after := before
		f := Fact{Kind: FactEvidence, Who: "edge " + edge, Text: u.Name}
		return r.save(tx, before, &after, AlertChanged, *f.WithData(EvidenceData{Name: u.Name, SHA256: u.SHA256}))
	})
}

// LastPicture returns the newest complete picture of a camera; db.ErrNotFound if there is none.
func (r *Repository) LastPicture(ctx context.Context, s scope.Scope, edge, device string) (File, error) {
	where, args := s.Where("i.site")
	f, err := scanFile(r.db.Read(ctx).One(`SELECT `+fileColumns+` FROM evidence v JOIN incidents i ON i.id = v.incident AND i.edge = v.edge
		WHERE v.edge = ? AND v.device = ? AND v.complete = 1 AND v.content_type IN ('image/jpeg', 'image/png') AND `+where+`
		ORDER BY v.taken_at DESC LIMIT 1`, append([]any{edge, device}, args...)...))
	if err != nil {
		return f, fmt.Errorf("looking for a picture of %s/%s: %w", edge, device, err)
	}
	return f, nil
}

// EvidenceKey names a file that was deleted from the database.
type EvidenceKey struct {
	Incident string
	Name     string
	Size     int64 // 0 unless it was complete
	Clip     bool
}
