package audit

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/jobs"
)

// batch is how many entries are read and verified at once.
const batch = 2000

// fullEvery is how often the whole log is verified again in the background.
const fullEvery = 24 * time.Hour

// State is what is known of the log's integrity.
type State struct {
	Last       int64      // number of the newest entry
	Hash       []byte     // of the newest entry; empty: there is none
	LastAt     *time.Time // when the newest entry was written; nil: it is not there
	Verified   int64      // every entry up to this one has been verified once
	VerifiedAt *time.Time // when new entries were verified last; nil: never
	Broken     int64      // the first entry that was ever found changed or missing; 0: none
	Full       *time.Time // when the last verification of the whole log was complete; nil: never
	Running    bool       // a verification of the whole log runs, or waits to
	Position   int64      // the entry that it has come to
	Missing    int64      // the first entry whose key is not known here, so that it cannot be verified; 0: none
}

// State returns what is known of the log's integrity. It verifies nothing.
func (r *Repository) State(ctx context.Context) (s State, err error) {
	c, err := readCheck(r.db.Read(ctx), "")
	if err != nil {
		return s, fmt.Errorf("reading the state of the audit log: %w", err)
	}
	var at sql.NullInt64
	if err := r.db.Read(ctx).One(`SELECT last, hash, (SELECT at FROM audit WHERE audit.id = last) FROM audit_head WHERE id = 1`)(&s.Last, &s.Hash, &at); err != nil {
		return s, fmt.Errorf("reading the state of the audit log: %w", err)
	}
	s.LastAt = db.TimePtr(at)
	s.Missing = c.missing
	s.Verified, s.Broken, s.Full, s.Running, s.Position = c.verified.id, c.broken, db.TimePtr(c.full), c.began.Valid, c.pass.id
	if c.verifiedAt > 0 {
		at := db.FromMillis(c.verifiedAt)
		s.VerifiedAt = &at
	}
	return s, nil
}

// check is the stored state of verification.
type check struct {
	verified   link
	verifiedAt int64
	broken     int64
	pass       link          // of the full verification that runs
	began      sql.NullInt64 // when it began
	full       sql.NullInt64

	missing, passMissing int64 // see State.Missing
}

func readCheck(r db.Reader, lock string) (c check, err error) {
	err = r.One(`SELECT verified, verified_hash, verified_at, broken, pass, pass_hash, pass_began_at, full_at,
		missing, pass_missing FROM audit_check WHERE id = 1`+lock)(&c.verified.id, &c.verified.hash, &c.verifiedAt, &c.broken,
		&c.pass.id, &c.pass.hash, &c.began, &c.full, &c.missing, &c.passMissing)
	return c, err
}

func (c check) write(t *db.Tx) error {
	return t.Affected(`UPDATE audit_check SET verified = ?, verified_hash = ?, verified_at = ?, broken = ?,
		pass = ?, pass_hash = ?, pass_began_at = ?, full_at = ?, missing = ?, pass_missing = ? WHERE id = 1`,
		c.verified.id, notNil(c.verified.hash), c.verifiedAt, c.broken, c.pass.id, notNil(c.pass.hash), c.began, c.full, c.missing, c.passMissing)
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Step verifies the next batch: new entries first, then those of a verification of the whole log, which
// begins once a day. It returns false when there is nothing left to do now. It is meant to run in the
// background: it reads outside of the transaction that stores the state. Steps may run concurrently; one
// that was overtaken stores nothing.
func (r *Repository) Step(ctx context.Context) (more bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("verifying the audit log: %w", err)
		}
	}()
	read := r.db.Read(ctx)
	was, err := readCheck(read, "")
	if err != nil {
		return false, err
	}
	end, err := readHead(read, "")
	if err != nil {
		return false, err
	}
	now := was
	more, err = now.step(read, end, r.keys(), r.db.Now())
	if err == nil {
		err = r.compareMemory(&now, read, end)
	}
	if err != nil {
		return false, err
	}
	err = r.db.Update(ctx, "audit_check", func(t *db.Tx) error {
		stored, err := readCheck(t.Reader, t.ForUpdate())
		if err != nil {
			return err
		}
		h, err := readHead(t.Reader, "")
		if err != nil || !stored.same(was) || h.base.id != end.base.id {
			return err // overtaken by another step, or entries that were read have been deleted
		}
		return now.write(t)
	})
	return more, err
}

// step goes on with the verification by one batch.
func (c *check) step(r db.Reader, end head, keys Keys, now time.Time) (more bool, err error) {
	c.found(end.checkSeal(keys))
	if c.verified.id < end.base.id {
		c.verified = end.base
	}
	if c.pass.id < end.base.id {
		c.pass = end.base
	}
	if err := c.compareVerified(r, end); err != nil {
		return false, err
	}
	switch {
	case c.verified.id < end.last.id:
		to, found, err := follow(r, c.verified, end, keys, batch)
		if err != nil {
			return false, err
		}
		c.verified = to
		c.found(found)
		more = true
	case c.began.Valid:
		if err := c.continuePass(r, end, keys, now); err != nil {
			return false, err
		}
		more = c.began.Valid
	case !c.full.Valid || now.Sub(db.FromMillis(c.full.Int64)) >= fullEvery:
		c.beginPass(end, now)
		more = true
	}
	if c.verified.id == end.last.id {
		c.verifiedAt = db.Millis(now)
	}
	return more, nil
}

// compareVerified checks that the end of the verified part is still what it was.
func (c *check) compareVerified(r db.Reader, end head) error {
	if c.verified.id > end.last.id { // the end was cut off together with the head
		c.found(finding{broken: end.last.id + 1})
		c.verified = end.last
		return nil
	}
	if c.verified.id == end.base.id {
		return nil
	}
	var hash []byte
	err := r.One(`SELECT hash FROM audit WHERE id = ?`, c.verified.id)(&hash)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return err
	}
	if subtle.ConstantTimeCompare(hash, c.verified.hash) != 1 {
		c.found(finding{broken: c.verified.id})
	}
	return nil
}

// found notes what was found. An entry that does not fit stays noted: a chain whose end was cut off fits again
// as soon as something is appended.
func (c *check) found(f finding) {
	c.broken, c.missing = first(c.broken, f.broken), first(c.missing, f.missing)
}

// first returns the lower of two numbers of entries, of which 0 is none.
func first(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func (c *check) beginPass(end head, now time.Time) {
	c.pass, c.began, c.passMissing = end.base, sql.NullInt64{Int64: db.Millis(now), Valid: true}, 0
}

// continuePass verifies a batch of the whole log.
func (c *check) continuePass(r db.Reader, end head, keys Keys, now time.Time) error {
	to, found, err := follow(r, c.pass, end, keys, batch)
	if err != nil {
		return err
	}
	c.pass, c.passMissing = to, first(c.passMissing, found.missing)
	c.found(found)
	if to.id < end.last.id {
		return nil
	}
	c.complete(c.passMissing, now)
	return nil
}

// complete notes that the whole log was verified, and whether keys are missing: a key may have come back.
func (c *check) complete(missing int64, now time.Time) {
	c.missing = missing
	c.full, c.began = sql.NullInt64{Int64: db.Millis(now), Valid: true}, sql.NullInt64{}
}

// same reports whether nothing was stored since.
func (c check) same(other check) bool {
	return c.verified.id == other.verified.id && c.verifiedAt == other.verifiedAt && c.pass.id == other.pass.id && c.began == other.began && c.full == other.full
}

// RequestFull begins a verification of the whole log, unless one runs. Step does it, and the job.
func (r *Repository) RequestFull(ctx context.Context, who string) error {
	err := r.db.Update(ctx, "audit_check", func(t *db.Tx) error {
		c, err := readCheck(t.Reader, t.ForUpdate())
		if err != nil || c.began.Valid {
			return err
		}
		h, err := readHead(t.Reader, "")
		if err != nil {
			return err
		}
		c.beginPass(h, t.Now())
		Append(t, who, "audit verify", "", "")
		if err := jobs.Enqueue(t, Job, "", nil, t.Now()); err != nil {
			return err
		}
		return c.write(t)
	})
	if err != nil {
		return fmt.Errorf("beginning a verification of the audit log: %w", err)
	}
	return nil
}

// DeleteBefore removes entries from before a time, the oldest first and limit of them at most. The log goes
// on from the hash of the last one that was removed. It removes only what is verified, and nothing
// while an entry does not fit.
func (r *Repository) DeleteBefore(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	err = r.db.Update(ctx, "delete_audit", func(t *db.Tx) error {
		deleted = 0
		c, err := readCheck(t.Reader, t.ForUpdate())
		if err != nil || c.broken != 0 {
			return err
		}
		h, err := readHead(t.Reader, t.ForUpdate())
		if err != nil || h.checkSeal(r.keys()).broken != 0 {
			return err
		}
		rows, err := db.Collect(scanRow)(t.Rows(followQuery, h.base.id, c.verified.id, limit))
		if err != nil {
			return err
		}
		for _, entry := range rows {
			if entry.at >= db.Millis(before) {
				break
			}
			h.base = link{entry.id, entry.hash}
			deleted++
		}
		if deleted == 0 {
			return nil
		}
		if _, err := t.Exec(`DELETE FROM audit WHERE id <= ?`, h.base.id); err != nil {
			return err
		}
		if err := t.Affected(`UPDATE audit_head SET base = ?, base_hash = ? WHERE id = 1`, h.base.id, h.base.hash); err != nil {
			return err
		}
		return h.writeSeal(t, r.keys())
	})
	if err != nil {
		return 0, fmt.Errorf("deleting from the audit log: %w", err)
	}
	return deleted, nil
}
