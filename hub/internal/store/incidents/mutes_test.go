package incidents

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

// TestMutesAgreeWithModel mutes rules, ends mutes and lets time pass at random, and compares what each way of reading
// says with a model: the list of mutes in each scope, MutedUntil of incidents however they are read, and of what is
// published and delivered when an incident changes.
func TestMutesAgreeWithModel(t *testing.T) {
	var now atomic.Int64
	start := time.Now().Truncate(time.Second)
	clock := func() time.Time { return start.Add(time.Duration(now.Load())) }
	dbtest.EachWith(t, db.Options{Now: clock}, func(t *testing.T, d *db.DB) {
		now.Store(0)
		var published []Mute
		var shown, delivered *time.Time
		r := New(d, Hooks{
			Present:     func(inc Incident) any { shown = inc.MutedUntil; return inc },
			PresentMute: func(m Mute) any { published = append(published, m); return m },
			Alert:       func(_ *db.Tx, _ int64, _ AlertKind, inc Incident) error { delivered = inc.MutedUntil; return nil },
		})
		type rule struct{ edge, device, name string }
		var rules []rule
		incident := map[rule]Alert{}
		if err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
			for _, edge := range []string{"gate-7", "gate-8"} {
				if _, err := tx.Exec(`INSERT INTO edges(name, site, created_at) VALUES (?, ?, 1)`, edge, edge); err != nil {
					return err
				}
				if _, err := tx.Exec(`INSERT INTO devices(edge, name, kind, rules) VALUES (?, 'yard', 'camera', '[{"name":"fence"},{"name":"gate"}]')`, edge); err != nil {
					return err
				}
				rules = append(rules, rule{edge, "yard", "fence"}, rule{edge, "yard", "gate"})
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, k := range rules {
			a := alertAt(t, start.Add(-time.Minute))
			a.Incident.Rule = k.name
			applyAll(t, d, r, k.edge, a)
			incident[k] = a
		}
		model := map[rule]Mute{}
		random := rand.New(rand.NewPCG(1, 2))
		until := func(k rule) string {
			if m, ok := model[k]; ok && m.Until.After(clock()) {
				return m.Until.UTC().String()
			}
			return "not muted"
		}
		text := func(at *time.Time) string {
			if at == nil {
				return "not muted"
			}
			return at.UTC().String()
		}
		for step := range 150 {
			k := rules[random.IntN(len(rules))]
			switch random.IntN(5) {
			case 0, 1:
				span := time.Duration(1+random.IntN(30)) * time.Minute
				m, err := r.Mute(t.Context(), MuteRequest{
					ID: fmt.Sprintf("id-%03d", step), Who: "li", Scope: scope.Sites(k.edge), Edge: k.edge, Device: k.device, Rule: k.name, Reason: "rain", For: span,
				})
				if err != nil {
					t.Fatal(err)
				}
				if !m.Until.Equal(clock().Add(span)) || published[len(published)-1].ID != m.ID {
					t.Fatalf("step %d: %+v, published %+v", step, m, published[len(published)-1])
				}
				model[k] = m
			case 2:
				m := model[k]
				err := r.EndMute(t.Context(), scope.All(), "wang", m.ID)
				if in := until(k) != "not muted"; in != (err == nil) || err != nil && !errors.Is(err, db.ErrNotFound) {
					t.Fatalf("step %d: ending a mute that is in force: %v: %v", step, in, err)
				}
				if err == nil {
					if p := published[len(published)-1]; p.ID != m.ID || p.Ended == nil || p.EndedBy != "wang" {
						t.Fatalf("step %d: published %+v", step, p)
					}
				}
				delete(model, k)
			case 3:
				now.Add(int64(time.Duration(random.IntN(12)) * time.Minute))
			case 4:
				incident[k] = incident[k].next()
				applyAll(t, d, r, k.edge, incident[k])
				if text(shown) != until(k) || text(delivered) != until(k) {
					t.Fatalf("step %d: published with %s and delivered with %s, want %s", step, text(shown), text(delivered), until(k))
				}
			}
			for _, s := range []scope.Scope{scope.All(), scope.Sites("gate-8"), scope.Sites("elsewhere")} {
				var want, got []string
				for k, m := range model {
					if until(k) != "not muted" && s.Allows(k.edge) {
						want = append(want, m.ID)
					}
				}
				slices.Sort(want)
				for after := ""; ; {
					page, err := r.Mutes(t.Context(), s, after, 1+random.IntN(2))
					if err != nil {
						t.Fatal(err)
					}
					if len(page) == 0 {
						break
					}
					for _, m := range page {
						got = append(got, m.ID)
						after = m.ID
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("step %d: mutes %v, want %v", step, got, want)
				}
			}
			listed, err := r.List(t.Context(), Query{Scope: scope.All(), Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			groups, err := r.Groups(t.Context(), Query{Scope: scope.All(), Limit: 100}, GroupPosition{})
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range groups {
				listed = append(listed, g.Newest)
			}
			listed = append(listed, get(t, r, incident[k].Incident.ID))
			if len(listed) != 2*len(rules)+1 {
				t.Fatalf("step %d: %d incidents", step, len(listed))
			}
			for _, inc := range listed {
				if want := until(rule{inc.Edge, inc.Device, inc.Rule}); text(inc.MutedUntil) != want {
					t.Fatalf("step %d: %s of %s: %s, want %s", step, inc.Rule, inc.Edge, text(inc.MutedUntil), want)
				}
			}
		}
		var n int
		if err := d.Read(t.Context()).One(`SELECT count(*) FROM mutes`)(&n); err != nil || n > len(rules) {
			t.Errorf("%d rows for %d rules, %v", n, len(rules), err)
		}
		for action, want := range map[string]int{"rule muted": 0, "rule unmuted": 0} {
			for _, m := range published {
				if (m.Ended == nil) == (action == "rule muted") {
					want++
				}
			}
			if got := number64(t, d, `SELECT count(*) FROM audit WHERE action = ?`, action); got != int64(want) {
				t.Errorf("%s is recorded %d times, want %d", action, got, want)
			}
		}
	})
}

// TestMuteNeedsRule: only a rule that its device has, or that has an incident, can be muted, and only in scope.
func TestMuteNeedsRule(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		if err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
			if _, err := tx.Exec(`INSERT INTO edges(name, site, created_at) VALUES ('gate-7', 'north', 1)`); err != nil {
				return err
			}
			_, err := tx.Exec(`INSERT INTO devices(edge, name, kind, rules) VALUES ('gate-7', 'yard', 'camera', '[{"name":"fence"}]')`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		former := alertAt(t, time.Now())
		former.Incident.Rule = "former"
		applyAll(t, d, r, "gate-7", former)
		for i, c := range []struct {
			device, rule string
			scope        scope.Scope
			want         error
		}{
			{"yard", "fence", scope.All(), nil},
			{"yard", "fence", scope.Sites("north"), nil},
			{"yard", "former", scope.Sites("north"), nil},
			{"yard", "fence", scope.Sites("south"), db.ErrNotFound},
			{"yard", "other", scope.All(), db.ErrNotFound},
			{"other", "fence", scope.All(), db.ErrNotFound},
		} {
			m, err := r.Mute(t.Context(), MuteRequest{
				ID: strconv.Itoa(i), Who: "li", Scope: c.scope, Edge: "gate-7", Device: c.device, Rule: c.rule, Reason: "rain", For: 48 * time.Hour,
			})
			if !errors.Is(err, c.want) {
				t.Errorf("%s of %s: %v, want %v", c.rule, c.device, err, c.want)
			}
			if err == nil && (m.Site != "north" || m.Until.Sub(m.Began) != MaxMute) {
				t.Errorf("%+v", m)
			}
		}
	})
}

// TestMutePlans: what every reading and every change of an incident asks does not read the whole table.
func TestMutePlans(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		if err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
			for _, text := range []string{
				`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
				INSERT INTO mutes(edge, device, rule, id, site, reason, who, began_at, until)
				SELECT 'edge-' || (i % 20), 'device-' || i, 'fence', 'id-' || i, 'site', '', 'li', i, i FROM n`,
				`ANALYZE`,
			} {
				if _, err := tx.Exec(text); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		dbtest.ByIndex(t, d, mutedQuery, 19_990)
		dbtest.ByIndex(t, d, mutedQuery+mutedRule, 19_990, "edge-1", "device-1", "fence")
		dbtest.ByIndex(t, d, `DELETE FROM mutes WHERE until <= ?`, 10)
	})
}
