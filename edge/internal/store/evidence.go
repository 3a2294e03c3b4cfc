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

	"golang.org/x/sys/unix"

	"gridpost/detection"
	"gridpost/hub/api"
)

const dirEvidence = "evidence"

// spareBytes is the room on the disk that evidence leaves to incidents and readings.
const spareBytes = 64 << 20

var (
	incidentID   = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	evidenceName = regexp.MustCompile(`^[a-z0-9-][a-z0-9.-]{0,79}$`)
)

// SaveEvidence keeps a file of an incident, hashes it, and announces it to the hub. Its bytes
// are on the disk before the announcement is.
func (s *Store) SaveEvidence(ctx context.Context, meta api.Evidence, content []byte) (api.Evidence, error) {
	if !incidentID.MatchString(meta.Incident) || !evidenceName.MatchString(meta.Name) {
		return meta, fmt.Errorf("saving evidence: %q of %q is not a name for a file", meta.Name, meta.Incident)
	}
	sum := sha256.Sum256(content)
	meta.Size, meta.SHA256 = int64(len(content)), hex.EncodeToString(sum[:])
	if err := s.roomFor(ctx, meta.Size); err != nil {
		return meta, err
	}
	if err := s.writeEvidence(meta, content); err != nil {
		return meta, wrap("saving evidence", err)
	}
	data, err := json.Marshal(meta)
	if err != nil {
		return meta, fmt.Errorf("saving evidence: %w", err)
	}
	err = s.inTx(ctx, s.incidents, func(tx *sql.Tx) error {
		seq, err := put(ctx, tx, api.LaneAlerts, api.KindEvidence, "", meta.Time, data)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO evidence (incident, name, size, at, seq, data) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (incident, name) DO UPDATE SET size = excluded.size, at = excluded.at, seq = excluded.seq, data = excluded.data, uploaded = 0`,
			meta.Incident, meta.Name, meta.Size, meta.Time.UnixMilli(), seq, string(data))
		return err
	})
	if err != nil {
		return meta, wrap("saving evidence", err)
	}
	s.signal()
	return meta, nil
}

func (s *Store) evidencePath(incident, name string) string {
	return filepath.Join(s.o.Dir, dirEvidence, incident, name)
}

func (s *Store) writeEvidence(meta api.Evidence, content []byte) (err error) {
	path := s.evidencePath(meta.Incident, meta.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fullDisk(err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fullDisk(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fullDisk(err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fullDisk(err)
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func fullDisk(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w (%w)", ErrFull, err)
	}
	return err
}

// roomFor makes room for size bytes of evidence by deleting uploaded files, oldest first.
// Evidence that the hub has not got is never deleted for newer evidence.
func (s *Store) roomFor(ctx context.Context, size int64) error {
	for {
		var used int64
		if err := s.incidents.QueryRowContext(ctx, `SELECT coalesce(sum(size), 0) FROM evidence`).Scan(&used); err != nil {
			return wrap("saving evidence", err)
		}
		free, err := freeBytes(s.o.Dir)
		if err != nil {
			return fmt.Errorf("saving evidence: %w", err)
		}
		if used+size <= s.o.EvidenceBytes && free >= size+spareBytes {
			return nil
		}
		var incident, name string
		err = s.incidents.QueryRowContext(ctx, `SELECT incident, name FROM evidence WHERE uploaded = 1 ORDER BY at LIMIT 1`).Scan(&incident, &name)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("saving evidence: %w: %d MiB are free and %d MiB of evidence wait for the hub", ErrFull, free>>20, used>>20)
		}
		if err != nil {
			return wrap("saving evidence", err)
		}
		if err := s.removeEvidence(ctx, incident, name); err != nil {
			return err
		}
	}
}

func (s *Store) removeEvidence(ctx context.Context, incident, name string) error {
	path := s.evidencePath(incident, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing old evidence: %w", err)
	}
	// Fails as long as other files are there, which is as it should be.
	_ = os.Remove(filepath.Dir(path))
	_, err := s.incidents.ExecContext(ctx, `DELETE FROM evidence WHERE incident = ? AND name = ?`, incident, name)
	return wrap("removing old evidence", err)
}

func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// NextEvidence returns the oldest file whose announcement the hub has committed and whose
// bytes it has not got; ok is false when there is none.
func (s *Store) NextEvidence(ctx context.Context) (meta api.Evidence, ok bool, err error) {
	var data string
	err = s.incidents.QueryRowContext(ctx, `SELECT data FROM evidence WHERE uploaded = 0 AND seq <
		coalesce((SELECT min(seq) FROM outbox WHERE lane = ?), 9223372036854775807) ORDER BY seq LIMIT 1`, string(api.LaneAlerts)).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return meta, false, nil
	}
	if err != nil {
		return meta, false, wrap("looking for evidence to upload", err)
	}
	if err := json.Unmarshal([]byte(data), &meta); err != nil {
		return meta, false, fmt.Errorf("looking for evidence to upload: %w", err)
	}
	return meta, true, nil
}

// OpenEvidence opens a file for reading.
func (s *Store) OpenEvidence(meta api.Evidence) (*os.File, error) {
	return os.Open(s.evidencePath(meta.Incident, meta.Name))
}

// EvidenceDone says that the hub has a file, or never will (its incident is unknown there, or
// the file is gone from this disk).
func (s *Store) EvidenceDone(ctx context.Context, meta api.Evidence) error {
	_, err := s.incidents.ExecContext(ctx, `UPDATE evidence SET uploaded = 1 WHERE incident = ? AND name = ?`, meta.Incident, meta.Name)
	return wrap("marking evidence as uploaded", err)
}

// keepIncidents is how long a closed incident and its evidence stay on the edge.
const keepIncidents = 30 * 24 * time.Hour

// Maintain thins readings and forgets old incidents. Call it now and then, from one goroutine.
func (s *Store) Maintain(ctx context.Context) error {
	now := s.o.Now()
	if err := s.thin(ctx, now); err != nil {
		return err
	}
	old := now.Add(-keepIncidents).UnixMilli()
	rows, err := s.incidents.QueryContext(ctx, `SELECT incident, name FROM evidence WHERE uploaded = 1 AND at < ? LIMIT 1000`, old)
	if err != nil {
		return wrap("forgetting old evidence", err)
	}
	var files [][2]string
	for rows.Next() {
		var f [2]string
		if err := rows.Scan(&f[0], &f[1]); err != nil {
			return errors.Join(wrap("forgetting old evidence", err), rows.Close())
		}
		files = append(files, f)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return wrap("forgetting old evidence", err)
	}
	for _, f := range files {
		if err := s.removeEvidence(ctx, f[0], f[1]); err != nil {
			return err
		}
	}
	_, err = s.incidents.ExecContext(ctx, `DELETE FROM incidents WHERE state = ? AND updated < ?
		AND id NOT IN (SELECT incident FROM evidence)
		AND id NOT IN (SELECT json_extract(data, '$.id') FROM outbox WHERE lane = ? AND kind = ?)`,
		string(detection.Closed), old, string(api.LaneAlerts), string(api.KindIncident))
	return wrap("forgetting old incidents", err)
}
