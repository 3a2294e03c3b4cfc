package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gridpost/detection"
	"gridpost/devices/diskspace"
	"gridpost/devices/durable"
	"gridpost/hub/api"
)

// dirClips holds clips that are being written: clips/INCIDENT/NAME.
const dirClips = "clips"

// What is kept of clips unless KeepClips says otherwise.
const (
	DefaultClipBytes = 2 << 30
	DefaultClipKeep  = 7 * 24 * time.Hour
)

// maxUnfinished bounds the clips that are taken up after a restart.
const maxUnfinished = 1000

// KeepClips says from now on how many bytes all clips may have together, and for how long one is kept that the hub has. What the
// hub does not have is kept as other evidence is. Clips make room for nothing but clips and pictures.
func (s *Store) KeepClips(bytes int64, keep time.Duration) {
	s.clipBytes.Store(bytes)
	s.clipKeep.Store(int64(keep))
}

// Clip is the file of a clip that is being written. It survives the death of the process where it was written last; see
// UnfinishedClips. It is for one goroutine.
type Clip struct {
	Incident, Name string

	ctx  context.Context // of who records; it bounds the wait for room
	s    *Store
	f    *os.File
	size int64
}

func (s *Store) clipPath(incident, name string) string {
	return filepath.Join(s.o.Dir, dirClips, incident, name)
}

// CreateClip begins the file of a clip. It returns ErrFull when there is no room, which is reported to the hub as a gap.
func (s *Store) CreateClip(ctx context.Context, incident, name string) (*Clip, error) {
	if !s.names.incident.MatchString(incident) || !s.names.evidence.MatchString(name) {
		return nil, fmt.Errorf("recording a clip: %q of %q is not a name for a file", name, incident)
	}
	const least = 1 << 20
	if err := s.roomForClip(ctx, least); err != nil {
		if errors.Is(err, ErrFull) {
			err = errors.Join(err, s.reportEvidenceGap(ctx, api.Evidence{Time: s.o.Now()}, reasonFull))
		}
		return nil, err
	}
	path := s.clipPath(incident, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, s.wrap("recording a clip", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, s.wrap("recording a clip", err)
	}
	return &Clip{Incident: incident, Name: name, ctx: ctx, s: s, f: f}, nil
}

// Write appends to the file. It returns ErrFull when there is no room; what was written before is not affected.
func (c *Clip) Write(p []byte) (int, error) {
	if err := c.s.roomForClip(c.ctx, int64(len(p))); err != nil {
		return 0, err
	}
	n, err := c.f.WriteAt(p, c.size)
	c.grow(c.size + int64(n))
	return n, c.s.wrap("recording a clip", err)
}

// ReadAt implements io.ReaderAt.
func (c *Clip) ReadAt(p []byte, at int64) (int, error) { return c.f.ReadAt(p, at) }

// WriteAt implements io.WriterAt.
func (c *Clip) WriteAt(p []byte, at int64) (int, error) {
	n, err := c.f.WriteAt(p, at)
	c.grow(max(c.size, at+int64(n)))
	return n, c.s.wrap("recording a clip", err)
}

// Truncate cuts the file off.
func (c *Clip) Truncate(size int64) error {
	err := c.f.Truncate(size)
	if err == nil {
		c.grow(size)
	}
	return err
}

// Sync waits until all that was written is on the disk.
func (c *Clip) Sync() error { return c.s.wrap("recording a clip", c.f.Sync()) }

// Size returns the size in bytes.
func (c *Clip) Size() int64 { return c.size }

func (c *Clip) grow(size int64) {
	c.s.recording.Add(size - c.size)
	c.size = size
}

// Save makes a finished clip evidence of its incident: its bytes are on the disk before it is announced to the hub. It ends the
// use of the Clip, and removes the file when it fails.
func (c *Clip) Save(ctx context.Context, meta api.Evidence) (api.Evidence, error) {
	meta.Incident, meta.Name, meta.Size = c.Incident, c.Name, c.size
	h := sha256.New()
	_, err := io.Copy(h, io.NewSectionReader(c.f, 0, c.size))
	if err = errors.Join(err, c.f.Sync()); err != nil {
		return meta, errors.Join(c.s.wrap("saving a clip", err), c.Discard())
	}
	meta.SHA256 = hex.EncodeToString(h.Sum(nil))
	if err := c.s.lockEvidence(ctx); err != nil {
		return meta, errors.Join(fmt.Errorf("saving a clip: %w", err), c.Discard())
	}
	defer c.s.unlockEvidence()
	path := c.s.evidencePath(c.Incident, c.Name)
	err = os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = durable.Rename(c.f.Name(), path)
	}
	if err != nil {
		return meta, errors.Join(c.s.wrap("saving a clip", err), c.Discard())
	}
	err = c.s.recordEvidence(ctx, meta) // when it fails, the file is an orphan, which Maintain announces
	return meta, errors.Join(c.s.wrap("saving a clip", err), c.close())
}

// Discard removes the file and ends the use of the Clip.
func (c *Clip) Discard() error {
	err := os.Remove(c.f.Name())
	return c.s.wrap("removing a clip", errors.Join(err, c.close()))
}

func (c *Clip) close() error {
	c.grow(0)
	removeIfEmpty(filepath.Dir(c.s.clipPath(c.Incident, c.Name)))
	return c.f.Close()
}

// UnfinishedClips opens the clips that were being written when an earlier run of the program ended. It is called before any
// is created. A file that cannot be opened is left out, with an error beside the others.
func (s *Store) UnfinishedClips(ctx context.Context) (all []*Clip, err error) {
	paths, err := filepath.Glob(filepath.Join(s.o.Dir, dirClips, "*", "*"))
	for _, path := range paths[:min(len(paths), maxUnfinished)] {
		incident, name := filepath.Base(filepath.Dir(path)), filepath.Base(path)
		if !s.names.incident.MatchString(incident) || !s.names.evidence.MatchString(name) {
			continue
		}
		f, e := os.OpenFile(path, os.O_RDWR, 0o600)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		c := &Clip{Incident: incident, Name: name, ctx: ctx, s: s, f: f}
		size, e := f.Seek(0, io.SeekEnd)
		if e != nil {
			err = errors.Join(err, e, f.Close())
			continue
		}
		c.grow(size)
		all = append(all, c)
	}
	return all, s.wrap("looking for clips that were interrupted", err)
}

// roomForClip makes room for n bytes of a clip by deleting clips that the hub has, oldest first.
func (s *Store) roomForClip(ctx context.Context, n int64) error {
	ok, err := s.clipFits(n)
	if ok || err != nil {
		return err
	}
	if err := s.lockEvidence(ctx); err != nil {
		return fmt.Errorf("recording a clip: %w", err)
	}
	defer s.unlockEvidence()
	for {
		if ok, err := s.clipFits(n); ok || err != nil {
			return err
		}
		incident, name, err := s.oldestRemovable(ctx, `clip = 1`)
		if err != nil {
			return s.wrap("recording a clip", err)
		}
		if name == "" {
			return fmt.Errorf("recording a clip: %w", ErrFull)
		}
		if err := s.removeEvidence(ctx, incident, name); err != nil {
			return err
		}
	}
}

// clipFits reports whether clips may have n bytes more.
func (s *Store) clipFits(n int64) (bool, error) {
	free, err := diskspace.Free(s.o.Dir)
	if err != nil {
		return false, fmt.Errorf("recording a clip: %w", err)
	}
	known, recording := s.incidents.known(), s.recording.Load()
	return known.clips+recording+n <= s.clipBytes.Load() && known.evidence+recording+n <= s.o.EvidenceBytes && free >= n+2*spareBytes, nil
}

// expireClips removes clips that the hub has for longer than they are kept, and then the oldest of them until the others fit.
func (s *Store) expireClips(ctx context.Context, now time.Time) error {
	if err := s.lockEvidence(ctx); err != nil {
		return fmt.Errorf("removing old clips: %w", err)
	}
	defer s.unlockEvidence()
	before := now.Add(-time.Duration(s.clipKeep.Load())).UnixMilli()
	for {
		condition := fmt.Sprintf(`clip = 1 AND at < %d`, before)
		if s.incidents.known().clips > s.clipBytes.Load() {
			condition = `clip = 1`
		}
		incident, name, err := s.oldestRemovable(ctx, condition)
		if err != nil || name == "" {
			return s.wrap("removing old clips", err)
		}
		if err := s.removeEvidence(ctx, incident, name); err != nil {
			return err
		}
	}
}

// Incident returns an incident as it was saved last. ok is false if the store does not know it.
func (s *Store) Incident(ctx context.Context, id string) (inc detection.Incident, ok bool, err error) {
	err = s.incidents.rows(ctx, `SELECT data FROM incidents WHERE id = ?`, []any{id}, func() { ok = false }, func(scan func(...any) error) error {
		var data string
		if err := scan(&data); err != nil {
			return err
		}
		ok = json.Unmarshal([]byte(data), &inc) == nil
		return nil
	})
	return inc, ok, s.wrap("reading an incident", err)
}

// EvidenceOf returns the files of an incident, at most 100.
func (s *Store) EvidenceOf(ctx context.Context, incident string) (all []api.Evidence, err error) {
	err = s.incidents.rows(ctx, `SELECT data FROM evidence WHERE incident = ? ORDER BY name LIMIT 100`, []any{incident}, func() { all = nil }, func(scan func(...any) error) error {
		var data string
		var meta api.Evidence
		if err := scan(&data); err != nil {
			return err
		}
		if json.Unmarshal([]byte(data), &meta) == nil { // Maintain makes one that cannot be read again
			all = append(all, meta)
		}
		return nil
	})
	return all, s.wrap("listing evidence", err)
}
