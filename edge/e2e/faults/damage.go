package faults

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gridpost/edge/e2e/rig"
)

const page = 4096 // of SQLite

// pauseLimit is how long a fault waits until no message of an edge's sensors is on its way.
const pauseLimit = 10 * time.Second

// errBusy says that a fault could not be injected, because another one keeps a message on its way.
var errBusy = errors.New("a message stays on its way")

// pause keeps the sensors of an edge from sending. It returns when no message is on its way.
func (s *site) pause(ctx context.Context) (resume func(), err error) {
	var held []*sensor
	resume = func() {
		for _, sensor := range held {
			sensor.flight.Unlock()
		}
	}
	for _, sensor := range s.sensors {
		err := rig.Until(ctx, pauseLimit, "the sensors of "+s.name, func(context.Context) error {
			if !sensor.flight.TryLock() {
				return rig.ErrNotYet
			}
			return nil
		})
		if err != nil {
			resume()
			return nil, errors.Join(errBusy, err)
		}
		held = append(held, sensor)
	}
	return resume, nil
}

// lossy ends the edge, lets change do something to its data that may lose what only the edge has,
// and starts the edge again. kill says how the edge ends: only a killed one leaves a write-ahead log.
func (w *world) lossy(ctx context.Context, s *site, kill bool, what string, change func() error) error {
	resume, err := s.pause(ctx)
	if err != nil {
		return err
	}
	defer resume()
	if kill {
		s.node.kill()
	} else {
		s.node.stop()
	}
	for _, sensor := range s.sensors {
		atHub := w.observer.wavesOf(s.name, sensor.name)
		sensor.damaged(func(n int) bool { return atHub[n] })
	}
	w.ledger.damaged(s, what)
	return errors.Join(change(), s.node.start())
}

// damage changes files of an edge's databases. pattern is relative to its data folder.
func damage(pattern string, change func(path string, h hold) error) injector {
	return func(ctx context.Context, w *world, s *site, h hold) error {
		kill := strings.HasSuffix(pattern, "-wal") || strings.HasSuffix(pattern, "-shm") || h.IntN(2) == 0
		return w.lossy(ctx, s, kill, pattern, func() error {
			paths, err := filepath.Glob(filepath.Join(s.rig.Data(), pattern))
			if err != nil {
				return fmt.Errorf("damaging %s: %w", pattern, err)
			}
			for _, path := range paths {
				err = errors.Join(err, change(path, h))
			}
			return err
		})
	}
}

// overwrite puts random bytes into some pages of a file: whole pages, or a few bytes of them.
func overwrite(path string, h hold) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("damaging %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("damaging %s: %w", path, err)
	}
	for range 1 + h.IntN(4) {
		bytes := make([]byte, page)
		if h.IntN(2) == 0 {
			bytes = bytes[:1+h.IntN(200)]
		}
		_, _ = rand.Read(bytes) // never fails
		at := h.Int64N(max(1, info.Size()/page))*page + h.Int64N(page-int64(len(bytes))+1)
		if _, err := f.WriteAt(bytes, at); err != nil {
			return fmt.Errorf("damaging %s: %w", path, err)
		}
	}
	return nil
}

// truncate cuts a file off, sometimes to nothing.
func truncate(path string, h hold) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("truncating %s: %w", path, err)
	}
	size := h.Int64N(info.Size() + 1)
	if h.IntN(4) == 0 {
		size = 0
	}
	if err := os.Truncate(path, size); err != nil {
		return fmt.Errorf("truncating %s: %w", path, err)
	}
	return nil
}

// garbage fills a file with random bytes from some place on.
func garbage(path string, h hold) error { return scramble(path, h.Float64()) }

// garbageHeader fills a whole file with random bytes.
func garbageHeader(path string, _ hold) error { return scramble(path, 0) }

func scramble(path string, from float64) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("damaging %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("damaging %s: %w", path, err)
	}
	start := int64(from * float64(info.Size()))
	if _, err := f.Seek(start, io.SeekStart); err != nil {
		return fmt.Errorf("damaging %s: %w", path, err)
	}
	if _, err := io.CopyN(f, rand.Reader, info.Size()-start); err != nil {
		return fmt.Errorf("damaging %s: %w", path, err)
	}
	return nil
}

func remove(path string, _ hold) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}

// restoreOlder puts back a copy of an edge's data that was taken some time before. Without one, it
// takes a copy first.
func restoreOlder(ctx context.Context, w *world, s *site, h hold) error {
	if s.older == "" || h.IntN(2) == 0 {
		s.older = filepath.Join(w.o.Dir, fmt.Sprintf("%s-copy-%d", s.name, time.Now().UnixNano()))
		s.node.stop()
		if err := errors.Join(copyFiles(s.rig.Data(), s.older), s.node.start()); err != nil {
			return err
		}
		hold{h.Rand, 2 * time.Second}.wait(ctx)
	}
	return w.lossy(ctx, s, h.IntN(2) == 0, "restored", func() error {
		return replace(s.rig.Data(), s.older)
	})
}

// restoreHub puts back a copy of the hub's data that was taken a moment before. Its edges must
// bring back all incidents that they still have.
func restoreHub(ctx context.Context, w *world, _ *site, h hold) error {
	copied := filepath.Join(w.o.Dir, fmt.Sprintf("hub-copy-%d", time.Now().UnixNano()))
	w.hubNode.stop()
	if err := errors.Join(copyFiles(w.hub.Data(), copied), w.hubNode.start()); err != nil {
		return err
	}
	hold{h.Rand, 2*time.Second + h.Duration}.wait(ctx)
	w.mu.Lock()
	w.hubOlder = true
	w.mu.Unlock()
	w.hubNode.stop()
	return errors.Join(replace(w.hub.Data(), copied), w.hubNode.start())
}

// replace removes what is in a folder and puts a copy there.
func replace(dir, copied string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("restoring a copy: %w", err)
	}
	for _, e := range entries {
		if e.Name() == "ballast" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("restoring a copy: %w", err)
		}
	}
	return copyFiles(copied, dir)
}

// clone runs a copy of an edge beside it for a while, with the same identity, and sends it waves.
// What the copy acknowledged must not be at the hub twice; what it had alone is gone with it.
func clone(ctx context.Context, w *world, s *site, h hold) error {
	dir := filepath.Join(w.o.Dir, fmt.Sprintf("clone-%d", time.Now().UnixNano()))
	data := filepath.Join(dir, s.name)
	resume, err := s.pause(ctx)
	if err != nil {
		return err
	}
	s.node.stop()
	err = copyFiles(s.rig.Data(), data)
	for _, sensor := range s.sensors {
		sensor.copied()
	}
	err = errors.Join(err, s.node.start())
	resume()
	if err != nil {
		return err
	}
	twin, err := s.rig.Clone(dir)
	if err != nil {
		return err
	}
	n := newNode("clone of "+s.name, func() (*rig.Process, error) {
		if err := twin.Start(); err != nil {
			return nil, err
		}
		return twin.Process(), nil
	}, w.violate)
	if err := n.start(); err != nil {
		return err
	}
	defer n.close()
	w.ledger.cloned(s)
	p, err := twin.Sensor("river")
	if err != nil {
		return err
	}
	defer p.Close()
	publishing, stop := context.WithTimeout(ctx, 2*time.Second+h.Duration)
	defer stop()
	for part := 0; publishing.Err() == nil; part++ {
		wave := w.ledger.cloneWave(part % waveParts)
		if err := p.Publish(publishing, valueOf(wave, part%waveParts)); err != nil {
			break // its time is over
		}
	}
	return nil
}
