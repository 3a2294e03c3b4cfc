package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gridpost/hub/api"
)

// orphanAge is how long a file of evidence is kept whose incident the store does not know.
const orphanAge = 7 * 24 * time.Hour

// adoptOrphans looks for files of evidence that have no row, because the database was damaged or
// the process died between the file and the row. When the incident is known, the file is
// announced, with the size, hash and time of the file; otherwise it is removed after orphanAge.
func (s *Store) adoptOrphans(ctx context.Context) error {
	root := filepath.Join(s.o.Dir, dirEvidence)
	dirs, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("looking for evidence without a row: %w", err)
	}
	for _, d := range dirs {
		if !d.IsDir() || !s.names.incident.MatchString(d.Name()) {
			continue
		}
		if err := s.adoptFolder(ctx, filepath.Join(root, d.Name()), d.Name()); err != nil {
			return s.wrap("looking for evidence without a row", err)
		}
		removeIfEmpty(filepath.Join(root, d.Name()))
	}
	return nil
}

func (s *Store) adoptFolder(ctx context.Context, dir, incident string) error {
	if err := s.lockEvidence(ctx); err != nil {
		return err
	}
	defer s.unlockEvidence()
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		if strings.HasPrefix(f.Name(), temporary) { // of a process that died: no other writes now
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		if !f.Type().IsRegular() || !s.names.evidence.MatchString(f.Name()) {
			continue
		}
		if err := s.adopt(ctx, path, incident, f.Name()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) adopt(ctx context.Context, path, incident, name string) error {
	var row string
	known := true
	err := s.incidents.read(ctx, func(q querier) error {
		err := q.QueryRowContext(ctx, `SELECT data FROM evidence WHERE incident = ? AND name = ?`, incident, name).Scan(&row)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM incidents WHERE id = ?)`, incident).Scan(&known)
	})
	if err != nil || json.Unmarshal([]byte(row), new(api.Evidence)) == nil {
		return err
	}
	meta, err := describeFile(path, incident, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case known:
		s.o.Logger.Warn("evidence had no row; it is announced again", "incident", incident, "name", name)
		return s.recordEvidence(ctx, meta)
	case s.o.Now().Sub(meta.Time) > orphanAge:
		s.o.Logger.Warn("evidence of an unknown incident was removed", "incident", incident, "name", name)
		return os.Remove(path)
	}
	return nil
}

// describeFile makes the announcement of a file from the file.
func describeFile(path, incident, name string) (api.Evidence, error) {
	f, err := os.Open(path)
	if err != nil {
		return api.Evidence{}, err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return api.Evidence{}, err
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return api.Evidence{}, err
	}
	kind := mime.TypeByExtension(filepath.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	return api.Evidence{
		Incident: incident, Name: name, ContentType: kind, Size: n, SHA256: hex.EncodeToString(h.Sum(nil)), Time: fi.ModTime().UTC(),
	}, nil
}
