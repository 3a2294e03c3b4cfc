package incidents

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

// TestABusyLineIsOneRow opens seventy incidents of one rule within ten minutes.
func TestABusyLineIsOneRow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		start := time.Now().Add(-2 * time.Hour).Truncate(time.Millisecond)
		var last Alert
		for i := range 70 {
			at := start.Add(time.Duration(i) * 8 * time.Second)
			last = alertAt(t, at)
			applyAll(t, d, r, "gate-7", last, last.over(at.Add(2*time.Second)))
		}
		other := alertAt(t, start)
		other.Incident.Rule = "door"
		applyAll(t, d, r, "gate-7", other)
		again := alertAt(t, start.Add(69*8*time.Second+2*time.Second+CoolDown+time.Second))
		applyAll(t, d, r, "gate-7", again)
		groups, err := r.Groups(t.Context(), Query{Scope: scope.All(), Limit: 10}, GroupPosition{})
		if err != nil || len(groups) != 3 {
			t.Fatalf("%d groups, %v", len(groups), err)
		}
		if g := groups[0]; g.ID != again.Incident.ID || g.Count() != 1 || g.Holding != 1 {
			t.Errorf("after the cool-down: %+v", g)
		}
		g := groups[1]
		if g.Count() != 70 || g.Open != 70 || g.Holding != 0 || g.Newest.ID != last.Incident.ID || g.Newest.Title == "" ||
			!g.FirstAt.Equal(start) || !g.LastAt.Equal(start.Add(69*8*time.Second)) {
			t.Errorf("the busy line: %+v", g)
		}
		page, err := r.Groups(t.Context(), Query{Scope: scope.All(), Limit: 1}, GroupPosition{At: groups[0].LastAt, ID: groups[0].ID})
		if err != nil || len(page) != 1 || page[0].ID != g.ID {
			t.Errorf("the page after: %+v, %v", page, err)
		}
		all, err := r.List(t.Context(), Query{Scope: scope.All(), Group: g.ID, Limit: 100})
		if err != nil || len(all) != 70 {
			t.Errorf("%d incidents in the group, %v", len(all), err)
		}
		noise, err := r.Noisiest(t.Context(), scope.All(), start.Add(-time.Hour), start.Add(23*time.Hour), 10)
		if err != nil || len(noise) != 2 || noise[0].Rule != "fence" || noise[0].Count != 71 || noise[0].Groups != 2 {
			t.Errorf("%+v, %v", noise, err)
		}
	})
}

// TestGroupsHold applies incidents of two rules with their ends in several orders, and checks what groups
// promise.
func TestGroupsHold(t *testing.T) {
	const (
		inOrder = iota // groups are exactly the clusters of activity
		late           // whole incidents in random order: no group joins activity that is apart
		random         // every alert in random order
	)
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		for round := range 9 {
			edge, order, seed := fmt.Sprintf("edge-%d", round), round%3, rand.Uint64()
			rng := rand.New(rand.NewPCG(seed, 0))
			steps := activity(t, rng, order == late)
			if order != inOrder {
				rng.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
			}
			applyAll(t, d, r, edge, steps...)
			all, err := r.List(t.Context(), Query{Scope: scope.All(), Edge: edge, Limit: 500})
			if err != nil {
				t.Fatal(err)
			}
			checkGroups(t, d, r, edge, all)
			for _, rule := range []string{"fence", "door"} {
				got, want := map[string]bool{}, clusters(all, rule)
				for _, inc := range all {
					if inc.Rule == rule {
						got[inc.Group] = true
					}
				}
				if order == inOrder && len(got) != want || order == late && len(got) < want {
					t.Errorf("%s: %d groups of %d clusters", rule, len(got), want)
				}
			}
			if t.Failed() {
				t.Fatalf("round %d, seed %d", round, seed)
			}
		}
	})
}

// activity is the alerts of sixty incidents of two rules, in order. When they are whole, each incident is one
// alert of one that has ended.
func activity(t *testing.T, rng *rand.Rand, whole bool) (all []Alert) {
	t.Helper()
	at := time.Now().Add(-20 * time.Hour).Truncate(time.Millisecond)
	for range 60 {
		at = at.Add(time.Duration(rng.IntN(16*60)) * time.Second)
		a := alertAt(t, at)
		a.Incident.Rule = []string{"fence", "door"}[rng.IntN(2)]
		over := a.over(at.Add(time.Duration(rng.IntN(8*60)) * time.Second))
		switch {
		case whole:
			all = append(all, over)
		case rng.IntN(8) == 0:
			all = append(all, a)
		default:
			all = append(all, a, over)
		}
	}
	slices.SortStableFunc(all, func(a, b Alert) int { return a.Changed.Compare(b.Changed) })
	return all
}

// clusters counts the groups that a rule's incidents make when all arrive in order.
func clusters(all []Incident, rule string) (n int) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Incident) int { return a.OccurredAt.Compare(b.OccurredAt) })
	var first, active time.Time
	holding := false
	for _, inc := range all {
		if inc.Rule != rule {
			continue
		}
		if n == 0 || !holding && inc.OccurredAt.After(active.Add(CoolDown)) || !inc.OccurredAt.Before(first.Add(MaxGroup)) {
			n, first, holding = n+1, inc.OccurredAt, false
		}
		if inc.OccurredAt.After(active) {
			active = inc.OccurredAt
		}
		if inc.EndedAt == nil {
			holding = true
		} else if inc.EndedAt.After(active) {
			active = *inc.EndedAt
		}
	}
	return n
}

// checkGroups checks that each incident is in exactly one group, that groups do not overlap, and that the
// summaries agree with the incidents.
func checkGroups(t *testing.T, d *db.DB, r *Repository, edge string, all []Incident) {
	t.Helper()
	type sum struct {
		rule        string
		first, last time.Time
		count, open int
		newest      string
	}
	sums := map[string]*sum{}
	slices.SortStableFunc(all, func(a, b Incident) int { return a.OccurredAt.Compare(b.OccurredAt) })
	for _, inc := range all {
		s := sums[inc.Group]
		if s == nil {
			s = &sum{rule: inc.Rule, first: inc.OccurredAt}
			sums[inc.Group] = s
		}
		if s.rule != inc.Rule {
			t.Errorf("group %s has incidents of two rules", inc.Group)
		}
		s.last, s.newest = inc.OccurredAt, inc.ID
		s.count++
		if inc.Condition == detection.Open {
			s.open++
		}
	}
	groups, err := r.Groups(t.Context(), Query{Scope: scope.All(), Edge: edge, Limit: 500}, GroupPosition{})
	if err != nil || len(groups) != len(sums) {
		t.Fatalf("%d groups, want %d, %v", len(groups), len(sums), err)
	}
	for _, g := range groups {
		s := sums[g.ID]
		if s == nil || g.Count() != s.count || g.Holding != s.open || !g.FirstAt.Equal(s.first) || !g.LastAt.Equal(s.last) {
			t.Errorf("group %+v, want %+v", g, s)
		}
	}
	spans, err := db.Collect(func(scan func(...any) error) (s struct {
		rule          string
		first, active int64
	}, err error,
	) {
		err = scan(&s.rule, &s.first, &s.active)
		return s, err
	})(d.Read(t.Context()).Rows(`SELECT rule, first_at, active_at FROM incident_groups WHERE edge = ? ORDER BY rule, first_at`, edge))
	if err != nil || len(spans) != len(sums) {
		t.Fatalf("%d spans, %v", len(spans), err)
	}
	for i := range spans {
		if i > 0 && spans[i].rule == spans[i-1].rule && spans[i].first <= spans[i-1].active {
			t.Errorf("group %d overlaps the one before it: %+v", i, spans[i-1:i+1])
		}
	}
}

// TestAGroupEndsAfterADay: what never stops repeating makes a row each day.
func TestAGroupEndsAfterADay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		start := time.Now().Add(-3 * MaxGroup).Truncate(time.Millisecond)
		var alerts []Alert
		for at := start; at.Before(start.Add(MaxGroup + time.Hour)); at = at.Add(CoolDown - time.Second) {
			alerts = append(alerts, alertAt(t, at).over(at))
		}
		applyAll(t, d, r, "gate-7", alerts...)
		groups, err := r.Groups(t.Context(), Query{Scope: scope.All(), Limit: 10}, GroupPosition{})
		if err != nil || len(groups) != 2 || groups[0].Count()+groups[1].Count() != len(alerts) ||
			groups[1].LastAt.Sub(groups[1].FirstAt) >= MaxGroup || groups[0].FirstAt.Sub(groups[1].FirstAt) < MaxGroup {
			t.Errorf("%+v, %v", groups, err)
		}
	})
}

// TestClosedGroups: of closed incidents a group says how many it has, and which is the newest of them.
func TestClosedGroups(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		rng := rand.New(rand.NewPCG(7, 0))
		applyAll(t, d, r, "gate-7", activity(t, rng, false)...)
		list := func(q Query) []Incident {
			t.Helper()
			q.Scope, q.Limit = scope.All(), 500
			all, err := r.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		for _, inc := range list(Query{}) {
			if rng.IntN(3) == 0 {
				continue
			}
			if _, err := r.Edit(t.Context(), Edit{Who: "li", ID: inc.ID, Scope: scope.All(), Apply: func(inc *Incident) (*Fact, error) {
				inc.State = Closed
				return &Fact{Kind: FactClosed}, nil
			}}); err != nil {
				t.Fatal(err)
			}
		}
		newest, counts := map[string]string{}, map[string]int{}
		for _, inc := range list(Query{State: Closed}) { // the newest first
			if counts[inc.Group]++; counts[inc.Group] == 1 {
				newest[inc.Group] = inc.ID
			}
		}
		check := func(q Query, want int) (ids []string) {
			t.Helper()
			q.Scope, q.State, q.Limit = scope.All(), Closed, 500
			groups, err := r.Groups(t.Context(), q, GroupPosition{})
			if err != nil || len(groups) != want {
				t.Fatalf("%d groups, want %d, %v", len(groups), want, err)
			}
			mixed := 0
			for _, g := range groups {
				if g.Closed != counts[g.ID] || g.Newest.ID != newest[g.ID] || g.Newest.State != Closed {
					t.Errorf("group %s: %d closed, newest %s; want %d, %s", g.ID, g.Closed, g.Newest.ID, counts[g.ID], newest[g.ID])
				}
				if g.Newest.OccurredAt.Before(g.LastAt) {
					mixed++
				}
				ids = append(ids, g.ID)
			}
			if mixed == 0 && want > 3 {
				t.Error("no group has an open incident that is newer than its closed ones")
			}
			return ids
		}
		ids := check(Query{}, len(counts))
		check(Query{IDs: append(ids[:3:3], "unknown")}, 3)
	})
}
