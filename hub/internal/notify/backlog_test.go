package notify_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/devices/memnet"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/store/alerts"
)

// backlog is a hub's database with a target that is down, for which a backlog waits, and one that works.
type backlog struct {
	t        *testing.T
	d        *db.DB
	down     atomic.Bool
	requests map[string]*atomic.Int64
}

// underBacklog runs f in a synctest bubble with a notifier on the backlog.
func underBacklog(t *testing.T, giveUp time.Duration, f func(b *backlog)) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t, db.SQLite, db.Options{Name: "hub", Schema: schema.Hub(), Now: time.Now})
		b := &backlog{t: t, d: d, requests: map[string]*atomic.Int64{}}
		b.down.Store(true)
		hosts := memnet.Network{}
		for _, name := range []string{"down", "good"} {
			count := &atomic.Int64{}
			b.requests[name] = count
			hosts.Serve(t, name, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				count.Add(1)
				if name == "down" && b.down.Load() {
					w.WriteHeader(http.StatusBadGateway)
				}
			}))
			w := alerts.Webhook{ID: name, URL: "http://" + name + "/hook", Secrets: []string{notify.NewSecret()}}
			if err := alerts.New(d, alerts.Options{}).Add(t.Context(), "test", w); err != nil {
				t.Fatal(err)
			}
		}
		b.fill()
		n := notify.New(notify.Options{
			Queue: alerts.New(d, alerts.Options{}), Source: "urn:test:hub", Logger: slog.New(slog.DiscardHandler), AllowPrivate: true, GiveUpAfter: giveUp,
			Wake: func() <-chan struct{} { return d.Wait(db.Alerts, "") },
		}.WithDial(hosts.Dial))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }()
		f(b)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// fill enqueues the backlog, of three alerts for each incident.
func (b *backlog) fill() {
	b.t.Helper()
	const numbers = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) `
	err := b.d.Update(b.t.Context(), "test", func(tx *db.Tx) error {
		now := db.Millis(tx.Now())
		if _, err := tx.Exec(numbers+`INSERT INTO alerts(seq, event, kind, incident, device, at, data)
			SELECT -i, 'event ' || i, 'changed', 'incident ' || (i / 3), '', ?2, '{}' FROM n`, backlogSize, now); err != nil {
			return err
		}
		if _, err := tx.Exec(numbers+`INSERT INTO deliveries(id, target, seq, number, incident, queued_at, next_at, state, held)
			SELECT 'msg_' || i, 'down', -i, i, 'incident ' || (i / 3), ?2, ?2, 'pending', CASE WHEN i % 3 = 0 OR i = 1 THEN 0 ELSE 1 END FROM n`, backlogSize, now); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE webhooks SET last_number = ? WHERE id = 'down'`, backlogSize)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// enqueue enqueues one alert for each target, and wants that the good one has accepted it within a second.
func (b *backlog) enqueue(incident string) {
	b.t.Helper()
	before := b.requests["good"].Load()
	err := b.d.Update(b.t.Context(), "test", func(tx *db.Tx) error {
		tx.Publish("incident", "", incident, nil, func(tx *db.Tx, seq int64) error {
			return alerts.Enqueue(tx, seq, alerts.Alert{
				Kind: notify.Changed, Incident: incident, Data: func(*db.Tx) (json.RawMessage, error) { return json.RawMessage(`{}`), nil },
			})
		})
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	time.Sleep(time.Second)
	synctest.Wait()
	if n := b.requests["good"].Load() - before; n != 1 {
		b.t.Errorf("the good target has %d requests a second after an alert", n)
	}
}

func (b *backlog) count(target, state string) (n int) {
	b.t.Helper()
	if err := b.d.Read(b.t.Context()).One(`SELECT count(*) FROM deliveries WHERE target = ? AND state = ?`, target, state)(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// TestBacklogIsGivenUpInItsTime: what waits for a target that stays down is given up when it is too old, no earlier and
// no later, with few requests; the other target gets each alert at once all the while.
func TestBacklogIsGivenUpInItsTime(t *testing.T) {
	underBacklog(t, 2*time.Hour, func(b *backlog) {
		for minute := range 118 {
			if minute%10 == 0 {
				b.enqueue("another")
				time.Sleep(59 * time.Second)
				continue
			}
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		if n := b.count("down", "dead"); n != 0 {
			t.Errorf("%d were given up before their time", n)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := b.count("down", "dead"); n < backlogSize || n > backlogSize+2 {
			t.Errorf("%d of %d were given up in their time", n, backlogSize)
		}
		if n := b.requests["down"].Load(); n > 300 {
			t.Errorf("%d requests in two hours to a target that is down", n)
		}
		if n := b.count("good", "delivered"); n != 12 {
			t.Errorf("the good target has %d of 12", n)
		}
	})
}

// TestBacklogDrains: what waits is sent once the target works, within a minute of its first answer, and alerts of the
// other target do not wait for it.
func TestBacklogDrains(t *testing.T) {
	underBacklog(t, 72*time.Hour, func(b *backlog) {
		time.Sleep(30 * time.Minute)
		b.down.Store(false)
		time.Sleep(time.Minute) // the longest pause between probes
		b.enqueue("another")
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := b.count("down", "delivered"); n != backlogSize+1 {
			t.Errorf("%d of %d were delivered", n, backlogSize+1)
		}
	})
}
