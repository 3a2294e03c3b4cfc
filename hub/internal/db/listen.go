package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"gridpost/devices/retry"
)

const (
	// probeEvery is how often a hub notifies itself. When two probes do not come, the connection is dead
	// although nothing says so, or something between hub and server swallows notifications.
	probeEvery = 10 * time.Second

	// probe and everything are notifications without a topic.
	probe      = "probe"
	everything = "everything"

	// maxPayload bounds a notification; PostgreSQL allows less than 8,000 bytes.
	maxPayload = 7000
)

// errNewer says that another program has migrated the schema meanwhile.
var errNewer = errors.New("a later version of this program has migrated the database")

// channel is the name of the notifications of a database.
func (w *postgresWriter) channel() string { return "gridpost_" + w.d.o.Name }

// payload returns the text of a notification.
func (w *postgresWriter) payload(topic, key string) string {
	if len(key) > maxPayload {
		topic, key = everything, ""
	}
	return w.instance + " " + topic + " " + key
}

// notify sends what a transaction wakes, at its commit, to the other hubs.
func (w *postgresWriter) notify(t *Tx) error {
	if len(t.wakes) == 0 {
		return nil
	}
	payloads := make([]string, 0, len(t.wakes))
	for v := range t.wakes {
		payloads = append(payloads, w.payload(string(v.topic), v.key))
	}
	rows, err := t.conn.query(t.ctx, `SELECT pg_notify(?, payload) FROM unnest(CAST(? AS text[])) AS payload`, []any{w.channel(), payloads})
	if err != nil {
		return err
	}
	return rows.Close()
}

// run receives notifications until ctx ends. While it cannot, it wakes everybody now and then.
func (w *postgresWriter) run(ctx context.Context) error {
	pause := retry.Policy{First: 200 * time.Millisecond, Longest: 2 * time.Second}.New()
	for {
		began := time.Now()
		err := w.listen(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errNewer):
			return err
		}
		w.d.log.Warn("the connection for notifications was lost", "error", explain(err))
		if time.Since(began) > time.Minute {
			pause.Reset()
		}
		if !pause.Wait(ctx) {
			return nil
		}
		w.d.wakes.raiseAll()
	}
}

// listen receives notifications on one connection, until it is lost.
func (w *postgresWriter) listen(ctx context.Context) (err error) {
	conn, err := pgx.ConnectConfig(ctx, w.config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		err = errors.Join(err, conn.Close(closing))
	}()
	if err := w.subscribe(ctx, conn); err != nil {
		return err
	}
	w.d.wakes.raiseAll() // what was notified before is unknown
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.probe(ctx) })
	g.Go(func() error { return w.receive(ctx, conn) })
	return g.Wait()
}

// subscribe holds the lock of a running hub on the connection and listens.
func (w *postgresWriter) subscribe(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock_shared($1, hashtext($2))`, lockClass, w.d.o.Name); err != nil {
		return fmt.Errorf("locking the schema: %w", err)
	}
	have, err := w.d.schemaVersion(ctx, conn)
	if err != nil {
		return err
	}
	all, err := migrations(w.d.o.Schema, Postgres)
	if err != nil {
		return err
	}
	if newest := all[len(all)-1].number; have > newest {
		return fmt.Errorf("%w to schema %d; this one knows up to %d", errNewer, have, newest)
	}
	if _, err := conn.Exec(ctx, `LISTEN `+pgx.Identifier{w.channel()}.Sanitize()); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	return nil
}

// probe notifies this hub itself.
func (w *postgresWriter) probe(ctx context.Context) error {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if _, err := w.pool.ExecContext(ctx, `SELECT pg_notify($1, $2)`, w.channel(), w.payload(probe, "")); err != nil && ctx.Err() == nil {
			w.d.log.Debug("probing the connection for notifications", "error", err)
		}
	}
}

// receive hands notifications on.
func (w *postgresWriter) receive(ctx context.Context, conn *pgx.Conn) error {
	for {
		wait, cancel := context.WithTimeout(ctx, 5*probeEvery/2)
		n, err := conn.WaitForNotification(wait)
		cancel()
		if err != nil {
			return fmt.Errorf("waiting for notifications (a pooler such as PgBouncer must not be in between): %w", err)
		}
		instance, rest, _ := strings.Cut(n.Payload, " ")
		topic, key, _ := strings.Cut(rest, " ")
		switch {
		case instance == w.instance: // raised at the commit
		case topic == everything:
			w.d.wakes.raiseAll()
		default:
			w.d.wakes.raise(wake{Topic(topic), key})
		}
	}
}
