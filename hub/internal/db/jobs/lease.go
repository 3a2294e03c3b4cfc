package jobs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"gridpost/hub/internal/db"
)

// never is the due time of a row that is only a lease: the year 9999.
const never = 253_370_764_800_000

// Lease is the right of one process to do something, until it expires. Who holds it renews it well before.
type Lease struct {
	d     *db.DB
	id    int64
	owner string
	ttl   time.Duration
	began time.Time // before it was taken or renewed, by this machine's clock
}

// Acquire takes the lease of a key for ttl. It returns ErrHeld while another owner holds it.
func Acquire(ctx context.Context, d *db.DB, kind, key string, ttl time.Duration) (*Lease, error) {
	var l *Lease
	err := d.Update(ctx, "acquire_lease", func(t *db.Tx) error {
		l = &Lease{d: d, owner: rand.Text(), ttl: ttl, began: time.Now()}
		now, err := t.Clock()
		if err != nil {
			return err
		}
		err = t.One(`INSERT INTO jobs(kind, key, payload, due_at, owner, owned_until) VALUES (?1, ?2, 'null', ?3, ?4, ?5)
			ON CONFLICT(kind, key) DO UPDATE SET owner = excluded.owner, owned_until = excluded.owned_until WHERE jobs.owned_until <= ?6
			RETURNING id`, kind, key, int64(never), l.owner, db.Millis(now.Add(ttl)), db.Millis(now))(&l.id)
		if errors.Is(err, db.ErrNotFound) {
			return ErrHeld
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("acquiring the lease %s %s: %w", kind, key, err)
	}
	return l, nil
}

// Until returns until when this machine may take the lease for held. It is on the safe side: clocks that
// run at different speeds and the way to the database are allowed for by a tenth.
func (l *Lease) Until() time.Time { return l.began.Add(l.ttl * 9 / 10) }

// Renew extends the lease by its ttl from now on. It returns ErrLost when another owner has it; one that
// has expired but that nobody has taken is held again.
func (l *Lease) Renew(ctx context.Context) error {
	began := time.Now()
	err := l.d.Update(ctx, "renew_lease", func(t *db.Tx) error {
		now, err := t.Clock()
		if err != nil {
			return err
		}
		return l.lost(t.Affected(`UPDATE jobs SET owned_until = ? WHERE id = ? AND owner = ?`, db.Millis(now.Add(l.ttl)), l.id, l.owner))
	})
	if err != nil {
		return fmt.Errorf("renewing a lease: %w", err)
	}
	l.began = began
	return nil
}

// Check returns ErrLost unless the lease is held. It locks the lease until the transaction ends, so that
// what the transaction writes is written by the owner.
func (l *Lease) Check(t *db.Tx) error {
	var one int
	return l.lost(t.One(`SELECT 1 FROM jobs WHERE id = ? AND owner = ?`+t.ForUpdate(), l.id, l.owner)(&one))
}

// Release gives the lease back. It does nothing when another owner has it.
func (l *Lease) Release(ctx context.Context) error {
	err := l.d.Update(ctx, "release_lease", func(t *db.Tx) error {
		_, err := t.Exec(`DELETE FROM jobs WHERE id = ? AND owner = ?`, l.id, l.owner)
		return err
	})
	if err != nil {
		return fmt.Errorf("releasing a lease: %w", err)
	}
	return nil
}

// lost is err with ErrLost for no row.
func (l *Lease) lost(err error) error {
	if errors.Is(err, db.ErrNotFound) {
		return ErrLost
	}
	return err
}

// EndAll ends all leases and interrupts all jobs that are being run. A hub that is alone on its database
// calls it at its start, so that it need not wait for the leases of the hub that ran before.
func EndAll(ctx context.Context, d *db.DB) error {
	err := d.Update(ctx, "end_leases", func(t *db.Tx) error {
		if _, err := t.Exec(`DELETE FROM jobs WHERE due_at = ?`, int64(never)); err != nil {
			return err
		}
		_, err := t.Exec(`UPDATE jobs SET owner = '', owned_until = 0 WHERE owned_until > 0`)
		return err
	})
	if err != nil {
		return fmt.Errorf("ending all leases: %w", err)
	}
	return nil
}
