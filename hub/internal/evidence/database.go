package evidence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"gridpost/hub/internal/db"
)

// Database keeps files in the table evidence_pieces: one row for each Write, of at most 1 MiB as the edges
// send them.
type Database struct{ d *db.DB }

// NewDatabase returns the store in a database.
func NewDatabase(d *db.DB) *Database { return &Database{d: d} }

// maxWrite bounds what one Write takes, in bytes. It is held in memory.
const maxWrite = 4 << 20

// Write implements Store. It removes what is behind the offset.
func (s *Database) Write(ctx context.Context, k Key, offset int64, r io.Reader) (int64, error) {
	data, rerr := io.ReadAll(io.LimitReader(r, maxWrite+1))
	if len(data) > maxWrite {
		return 0, fmt.Errorf("writing evidence: a piece has more than %d bytes", maxWrite)
	}
	if len(data) == 0 {
		return 0, rerr
	}
	// What came is kept although the edge may be gone.
	err := s.d.Update(context.WithoutCancel(ctx), "evidence_write", func(t *db.Tx) error {
		if _, err := t.Exec(`DELETE FROM evidence_pieces WHERE incident = ? AND name = ? AND start >= ?`, k.Incident, k.Name, offset); err != nil {
			return err
		}
		_, err := t.Exec(`INSERT INTO evidence_pieces(incident, name, start, data) VALUES (?, ?, ?, ?)`, k.Incident, k.Name, offset, data)
		return err
	})
	if err != nil {
		return 0, errors.Join(rerr, fmt.Errorf("writing evidence: %w", err))
	}
	return int64(len(data)), rerr
}

// Sum implements Store.
func (s *Database) Sum(ctx context.Context, k Key, size int64) (string, error) {
	return sum(&pieces{ctx: ctx, d: s.d, key: k, size: size}, size)
}

// Publish implements Store. The record says that a file is complete; nothing moves.
func (s *Database) Publish(context.Context, Key) error { return nil }

// Open implements Store.
func (s *Database) Open(ctx context.Context, k Key) (File, error) {
	p := &pieces{ctx: ctx, d: s.d, key: k}
	err := s.d.Read(ctx).One(`SELECT start + length(data) FROM evidence_pieces WHERE incident = ? AND name = ? ORDER BY start DESC LIMIT 1`,
		k.Incident, k.Name)(&p.size)
	if errors.Is(err, db.ErrNotFound) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("opening evidence: %w", err)
	}
	return p, nil
}

// Remove implements Store.
func (s *Database) Remove(ctx context.Context, k Key) error {
	err := s.d.Update(ctx, "evidence_remove", func(t *db.Tx) error {
		_, err := t.Exec(`DELETE FROM evidence_pieces WHERE incident = ? AND name = ?`, k.Incident, k.Name)
		return err
	})
	if err != nil {
		return fmt.Errorf("removing evidence: %w", err)
	}
	return nil
}

// Sweep implements Store. Pieces have no time, and need none: they are read from one snapshot each, in which the record of
// a piece is older than the piece.
func (s *Database) Sweep(ctx context.Context, _ time.Time, known Known) (removed int, err error) {
	var last Key
	for {
		keys, err := db.Collect(func(scan func(...any) error) (k Key, err error) {
			err = scan(&k.Incident, &k.Name)
			return k, err
		})(s.d.Read(ctx).Rows(`SELECT DISTINCT incident, name FROM evidence_pieces WHERE (incident, name) > (?, ?)
			ORDER BY incident, name LIMIT ?`, last.Incident, last.Name, sweepKeys))
		if err != nil {
			return removed, fmt.Errorf("listing evidence: %w", err)
		}
		n, err := removeUnknown(ctx, s, keys, known)
		removed += n
		if err != nil || len(keys) < sweepKeys {
			return removed, err
		}
		last = keys[len(keys)-1]
	}
}

// pieces reads a file piece by piece. It holds one in memory.
type pieces struct {
	ctx  context.Context // of the request that reads
	d    *db.DB
	key  Key
	size int64

	at    int64 // position of the next Read
	start int64 // of data
	data  []byte
}

// Read implements io.Reader.
func (p *pieces) Read(into []byte) (int, error) {
	if p.at >= p.size {
		return 0, io.EOF
	}
	if p.at < p.start || p.at >= p.start+int64(len(p.data)) {
		p.data = nil
		err := p.d.Read(p.ctx).One(`SELECT start, data FROM evidence_pieces WHERE incident = ? AND name = ? AND start <= ? ORDER BY start DESC LIMIT 1`,
			p.key.Incident, p.key.Name, p.at)(&p.start, &p.data)
		if errors.Is(err, db.ErrNotFound) || err == nil && p.at >= p.start+int64(len(p.data)) {
			err = io.ErrUnexpectedEOF // a piece is missing
		}
		if err != nil {
			p.data = nil
			return 0, fmt.Errorf("reading evidence: %w", err)
		}
	}
	n := copy(into[:min(int64(len(into)), p.size-p.at)], p.data[p.at-p.start:])
	p.at += int64(n)
	return n, nil
}

// Seek implements io.Seeker.
func (p *pieces) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += p.at
	case io.SeekEnd:
		offset += p.size
	}
	if offset < 0 {
		return 0, errors.New("reading evidence: position before the beginning")
	}
	p.at = offset
	return offset, nil
}

// Close implements io.Closer.
func (p *pieces) Close() error {
	p.data = nil
	return nil
}
