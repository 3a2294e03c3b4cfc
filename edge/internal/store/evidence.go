package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"gridpost/devices/durable"
	"gridpost/hub/api"

	"gridpost/devices/diskspace"
)

const dirEvidence = "evidence"

// spareBytes is the room on the disk that evidence leaves to incidents and readings.
const spareBytes = 64 << 20

// names are the forms of incident IDs and evidence names that can be file names.
type names struct{ incident, evidence *regexp.Regexp }

func newNames() names {
	return names{
		incident: regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`),
		evidence: regexp.MustCompile(`^[a-z0-9-][a-z0-9.-]{0,79}$`),
	}
}

// SaveEvidence saves a file of an incident, hashes it, and announces it to the hub. Its bytes are
// on the disk before the announcement is. It returns ErrFull when the disk, or the room for
// evidence that the hub does not have, is full; the latter is reported to the hub as a gap.
func (s *Store) SaveEvidence(ctx context.Context, meta api.Evidence, content []byte) (api.Evidence, error) {
	if !s.names.incident.MatchString(meta.Incident) || !s.names.evidence.MatchString(meta.Name) {
		return meta, fmt.Errorf("saving evidence: %q of %q is not a name for a file", meta.Name, meta.Incident)
	}
	sum := sha256.Sum256(content)
	meta.Size, meta.SHA256 = int64(len(content)), hex.EncodeToString(sum[:])
	if err := s.lockEvidence(ctx); err != nil {
		return meta, fmt.Errorf("saving evidence: %w", err)
	}
	defer s.unlockEvidence()
	if err := s.roomFor(ctx, meta); err != nil {
		return meta, err
	}
	if err := s.writeEvidence(meta, content); err != nil {
		return meta, s.wrap("saving evidence", err)
	}
	if err := s.recordEvidence(ctx, meta); err != nil {
		return meta, s.wrap("saving evidence", err)
	}
	return meta, nil
}

// lockEvidence serialises what changes the evidence folder. It is a channel because it is held
// over I/O.
func (s *Store) lockEvidence(ctx context.Context) error {
	select {
	case s.evidence <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) unlockEvidence() { <-s.evidence }

// recordEvidence inserts the row of a file and announces it.
func (s *Store) recordEvidence(ctx context.Context, meta api.Evidence) error {
	data, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	err = s.incidents.write(ctx, func(t *tx) error {
		seq, err := s.enqueueNumbered(t, alert{kind: api.KindEvidence, incident: meta.Incident, at: meta.Time, data: data})
		if err != nil {
			return err
		}
		if err := forgetEvidence(t, meta.Incident, meta.Name); err != nil {
			return err
		}
		t.queue.evidence += meta.Size
		clip := meta.ContentType == api.ClipType
		if clip {
			t.queue.clips += meta.Size
		}
		if _, err := t.exec(`INSERT INTO evidence (incident, name, size, at, seq, data, clip) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			meta.Incident, meta.Name, meta.Size, meta.Time.UnixMilli(), seq, string(data), clip); err != nil {
			return err
		}
		return s.boundOutbox(t)
	})
	if err == nil {
		s.signal()
	}
	return err
}

// announceAgain announces an incident's evidence, whose bytes are then uploaded again.
func (s *Store) announceAgain(t *tx, incident string) error {
	type row struct {
		name, data string
		at         int64
		seq        uint64
	}
	var all []row
	err := t.query(`SELECT name, data, at, seq FROM evidence WHERE incident = ? ORDER BY at`, []any{incident}, func(scan func(...any) error) error {
		var r row
		err := scan(&r.name, &r.data, &r.at, &r.seq)
		all = append(all, r)
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range all {
		if err := removeAlerts(t, `DELETE FROM outbox WHERE seq = ? AND kind = 'evidence' RETURNING length(data)`, r.seq); err != nil {
			return err
		}
		seq, err := s.enqueueNumbered(t, alert{kind: api.KindEvidence, incident: incident, at: fromMillis(r.at), data: []byte(r.data), again: true})
		if err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE evidence SET seq = ?, uploaded = 0 WHERE incident = ? AND name = ?`, seq, incident, r.name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) evidencePath(incident, name string) string {
	return filepath.Join(s.o.Dir, dirEvidence, incident, name)
}

// temporary is how the names of files begin that are not complete yet.
const temporary = ".new-"

func (s *Store) writeEvidence(meta api.Evidence, content []byte) (err error) {
	path := s.evidencePath(meta.Incident, meta.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), temporary+"*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return durable.Rename(f.Name(), path)
}

// removable selects the evidence that makes room: what the hub has or was never told of, and all
// of it while there is no hub.
const removable = `(uploaded != 0 OR seq = 0 OR ?1)`

// roomFor makes room for a file by deleting evidence that the hub has, oldest first. What the hub
// does not have is never deleted for what is newer: the new file is refused.
func (s *Store) roomFor(ctx context.Context, meta api.Evidence) error {
	for {
		free, err := diskspace.Free(s.o.Dir)
		if err != nil {
			return fmt.Errorf("saving evidence: %w", err)
		}
		used := s.incidents.known().evidence + s.recording.Load()
		if used+meta.Size <= s.o.EvidenceBytes && free >= meta.Size+spareBytes {
			return nil
		}
		incident, name, err := s.oldestRemovable(ctx, `clip = 1`) // a picture says more for its bytes
		if err == nil && name == "" {
			incident, name, err = s.oldestRemovable(ctx, `clip = 0`)
		}
		if err != nil {
			return s.wrap("saving evidence", err)
		}
		if name == "" {
			err := fmt.Errorf("saving evidence: %w: %d MiB are free and %d MiB of evidence wait for the hub", ErrFull, free>>20, used>>20)
			return errors.Join(err, s.reportEvidenceGap(ctx, meta, reasonFull))
		}
		if err := s.removeEvidence(ctx, incident, name); err != nil {
			return err
		}
	}
}

// oldestRemovable returns the oldest file that makes room, of those that meet a condition; an empty name: there is none.
func (s *Store) oldestRemovable(ctx context.Context, condition string) (incident, name string, err error) {
	err = s.incidents.read(ctx, func(q querier) error {
		err := q.QueryRowContext(ctx, `SELECT incident, name FROM evidence WHERE `+condition+` AND `+removable+` ORDER BY at LIMIT 1`, !s.deliver.Load()).Scan(&incident, &name)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return incident, name, err
}

func (s *Store) reportEvidenceGap(ctx context.Context, meta api.Evidence, reason string) error {
	err := s.incidents.write(ctx, func(t *tx) error {
		return s.reportAlertGap(t, api.Gap{Kind: api.GapEvidence, From: meta.Time, To: meta.Time, Count: 1, Reason: reason})
	})
	s.signal()
	return s.wrap("reporting lost evidence", err)
}

func (s *Store) removeEvidence(ctx context.Context, incident, name string) error {
	path := s.evidencePath(incident, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing evidence: %w", err)
	}
	removeIfEmpty(filepath.Dir(path))
	err := s.incidents.free(ctx, func(t *tx) error {
		return forgetEvidence(t, incident, name)
	})
	return s.wrap("removing evidence", err)
}

// forgetEvidence deletes the row of a file, if there is one.
func forgetEvidence(t *tx, incident, name string) error {
	return t.query(`DELETE FROM evidence WHERE incident = ? AND name = ? RETURNING size, size * clip`, []any{incident, name}, func(scan func(...any) error) error {
		var size, clip int64
		err := scan(&size, &clip)
		t.queue.evidence -= size
		t.queue.clips -= clip
		return err
	})
}

// removeIfEmpty removes an incident's folder; it fails, as it should, while files are in it.
func removeIfEmpty(dir string) { _ = os.Remove(dir) }

// WaitingEvidence returns evidence whose announcement the hub has and whose bytes it does not
// have, pictures before clips and by the order of the announcements, at most limit, without what skip selects. skip may
// be nil; it must not call the store.
func (s *Store) WaitingEvidence(ctx context.Context, limit int, skip func(api.Evidence) bool) ([]api.Evidence, error) {
	var out []api.Evidence
	err := s.incidents.read(ctx, func(q querier) error {
		out = nil
		rows, err := q.QueryContext(ctx, `SELECT data FROM evidence WHERE uploaded = 0 AND clip IN (0, 1) AND seq > 0
			AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.seq = evidence.seq)
			AND NOT EXISTS (SELECT 1 FROM held WHERE held.seq = evidence.seq) ORDER BY clip, seq`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for len(out) < limit && rows.Next() {
			var data string
			if err := rows.Scan(&data); err != nil {
				return err
			}
			var meta api.Evidence
			if err := json.Unmarshal([]byte(data), &meta); err != nil {
				continue // Maintain makes the row again from the file
			}
			if skip == nil || !skip(meta) {
				out = append(out, meta)
			}
		}
		return rows.Err()
	})
	return out, s.wrap("listing evidence", err)
}

// OpenEvidence opens a file for reading.
func (s *Store) OpenEvidence(meta api.Evidence) (*os.File, error) {
	return os.Open(s.evidencePath(meta.Incident, meta.Name))
}

// EvidenceDelivered notes that the hub has a file. A newer file of the same name still waits.
func (s *Store) EvidenceDelivered(ctx context.Context, meta api.Evidence) error {
	return s.wrap("noting delivered evidence", s.incidents.free(ctx, func(t *tx) error {
		return setUploaded(t, meta, delivered)
	}))
}

// The values of evidence.uploaded beside 0, which waits.
const (
	delivered = 1 // the hub has said that it has the file
	givenUp   = 2 // the hub will never have it
)

func setUploaded(t *tx, meta api.Evidence, to int) error {
	_, err := t.exec(`UPDATE evidence SET uploaded = ? WHERE incident = ? AND name = ? AND json_extract(data, '$.sha256') = ?`,
		to, meta.Incident, meta.Name, meta.SHA256)
	return err
}

// EvidenceLost notes that a file can never be at the hub, and reports it as a gap. reason is a
// cause code.
func (s *Store) EvidenceLost(ctx context.Context, meta api.Evidence, reason string) error {
	s.o.Logger.Error("evidence is lost", "incident", meta.Incident, "name", meta.Name, "reason", reason)
	err := s.incidents.free(ctx, func(t *tx) error {
		if err := setUploaded(t, meta, givenUp); err != nil {
			return err
		}
		return s.reportAlertGap(t, api.Gap{Kind: api.GapEvidence, From: meta.Time, To: meta.Time, Count: 1, Reason: reason})
	})
	s.signal()
	return s.wrap("noting lost evidence", err)
}

// expireEvidence removes evidence taken before a time. When waiting is set, also what the hub does
// not have; it becomes a gap.
func (s *Store) expireEvidence(ctx context.Context, before time.Time, waiting bool) error {
	for {
		var some []api.Evidence
		var unsent []bool
		err := s.incidents.rows(ctx, `SELECT incident, name, at, NOT `+removable+` FROM evidence WHERE at < ?2 AND (?3 OR `+removable+`) ORDER BY at LIMIT 100`,
			[]any{!s.deliver.Load(), before.UnixMilli(), waiting}, func() { some, unsent = nil, nil },
			func(scan func(...any) error) error {
				var e api.Evidence
				var at int64
				var wait bool
				err := scan(&e.Incident, &e.Name, &at, &wait)
				e.Time = fromMillis(at)
				some, unsent = append(some, e), append(unsent, wait)
				return err
			})
		if err != nil || len(some) == 0 {
			return s.wrap("removing old evidence", err)
		}
		for i, e := range some {
			if err := s.removeEvidence(ctx, e.Incident, e.Name); err != nil {
				return err
			}
			if unsent[i] {
				if err := s.reportEvidenceGap(ctx, e, reasonExpired); err != nil {
					return err
				}
			}
		}
	}
}
