package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what a test sees of its components.
type world struct {
	mu      sync.Mutex
	running map[string]*fake
	log     []string
	broken  []string // what should never happen
}

// fake is a component that takes a while to stop. An update changes its spec.
type fake struct {
	w      *world
	name   string
	spec   int // guarded by w.mu
	slow   time.Duration
	breaks chan error
}

func (f *fake) Run(ctx context.Context) error {
	f.w.mu.Lock()
	if other := f.w.running[f.name]; other != nil {
		f.w.broken = append(f.w.broken, fmt.Sprintf("%s %d starts while %d runs", f.name, f.spec, other.spec))
	}
	f.w.running[f.name] = f
	f.w.log = append(f.w.log, fmt.Sprintf("start %s %d", f.name, f.spec))
	f.w.mu.Unlock()
	var err error
	select {
	case <-ctx.Done():
		time.Sleep(f.slow) // the bubble's time
	case err = <-f.breaks:
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	delete(f.w.running, f.name)
	f.w.log = append(f.w.log, fmt.Sprintf("stop %s %d", f.name, f.spec))
	return err
}

func (w *world) wanted(name string, spec int, fail bool, slow time.Duration) Wanted {
	return Wanted{Name: name, Spec: spec, Update: func(running Component) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		f := running.(*fake) //nolint:forcetypeassert // nothing else runs here
		if f.name != name || w.running[name] != f || !updates(f.spec, spec) {
			return false
		}
		f.spec = spec
		return true
	}, New: func(last Component) (Component, error) {
		if last != nil && last.(*fake).name != name { //nolint:forcetypeassert // nothing else runs here
			w.broken = append(w.broken, name+" gets the component of another name")
		}
		if fail {
			return nil, errors.New("cannot be made")
		}
		return &fake{w: w, name: name, spec: spec, slow: slow, breaks: make(chan error, 1)}, nil
	}}
}

// updates says whether a component of one spec can follow another without a restart: specs differ in
// their tens, which need one, and in their units, which do not.
func updates(from, to int) bool { return from/10 == to/10 }

func (w *world) specs() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int{}
	for name, f := range w.running {
		out[name] = f.spec
	}
	return out
}

// model is what the reconciler should do, in the simplest words.
type model struct {
	runs, failed map[string]int // by name: spec
	ran          map[string]bool
}

func (m *model) apply(want map[string]int, fail map[string]bool) Changes {
	var c Changes
	for name := range m.all() {
		if _, ok := want[name]; !ok {
			c.Removed = append(c.Removed, name)
			delete(m.runs, name)
			delete(m.failed, name)
			delete(m.ran, name)
		}
	}
	for name, spec := range want {
		old, runs := m.runs[name]
		switch {
		case runs && old == spec:
			continue
		case runs && updates(old, spec):
			c.Updated = append(c.Updated, name)
			m.runs[name] = spec
			continue
		}
		delete(m.runs, name)
		switch {
		case fail[name]:
			c.Failed = append(c.Failed, name)
			m.failed[name] = spec
			continue
		case m.ran[name]:
			c.Restarted = append(c.Restarted, name)
		default:
			c.Added = append(c.Added, name)
		}
		delete(m.failed, name)
		m.runs[name], m.ran[name] = spec, true
	}
	for _, names := range [][]string{c.Added, c.Updated, c.Restarted, c.Removed, c.Failed} {
		slices.Sort(names)
	}
	return c
}

func (m *model) all() map[string]bool {
	all := map[string]bool{}
	for name := range m.runs {
		all[name] = true
	}
	for name := range m.failed {
		all[name] = true
	}
	return all
}

// TestRandomDocuments compares the reconciler with the model over random sequences of wanted sets,
// components that cannot be made, that stop slowly and that end by themselves.
func TestRandomDocuments(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) { randomDocuments(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func randomDocuments(t *testing.T, rnd *rand.Rand) {
	w := &world{running: map[string]*fake{}}
	ends := map[string]int{}
	r := New(Options{Failed: func(name string, err error) {
		if err == nil || err.Error() == "broke" {
			ends[name]++
		}
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil || len(w.specs()) > 0 || len(w.broken) > 0 {
			t.Errorf("at the end %v, running %v, broken rules: %q", err, w.specs(), w.broken)
		}
	}()
	m := &model{runs: map[string]int{}, failed: map[string]int{}, ran: map[string]bool{}}
	for step := range 30 {
		want, fail := map[string]int{}, map[string]bool{}
		var set []Wanted
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			if rnd.IntN(4) == 0 {
				continue
			}
			want[name], fail[name] = 10*rnd.IntN(3)+rnd.IntN(3), rnd.IntN(6) == 0
			set = append(set, w.wanted(name, want[name], fail[name], time.Duration(rnd.IntN(5))*time.Second))
		}
		rnd.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
		before := w.specs()
		expected := m.apply(want, fail)
		mark := len(w.log)
		got, err := r.Apply(ctx, set)
		synctest.Wait()
		if err != nil || !reflect.DeepEqual(got, expected) {
			t.Fatalf("step %d: changes %+v, %v; expected %+v", step, got, err, expected)
		}
		if specs := w.specs(); !reflect.DeepEqual(specs, m.runs) {
			t.Fatalf("step %d: %v run, expected %v", step, specs, m.runs)
		}
		for name, spec := range before {
			if now, ok := m.runs[name]; ok && updates(spec, now) && slices.Contains(w.log[mark:], fmt.Sprintf("stop %s %d", name, now)) {
				t.Fatalf("step %d: %s was stopped, although it had not changed or could be updated: %v %v %q", step, name, before, m.runs, w.log[mark:])
			}
		}
		if rnd.IntN(3) == 0 {
			breakOne(w, m, rnd)
			synctest.Wait()
		}
	}
}

// breakOne ends a component by itself. It counts as failed and is made again by the next Apply.
func breakOne(w *world, m *model, rnd *rand.Rand) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, f := range w.running {
		f.breaks <- []error{nil, errors.New("broke")}[rnd.IntN(2)]
		m.failed[name] = f.spec
		delete(m.runs, name)
		return
	}
}

func TestASlowComponentDelaysOnlyItsOwnSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{running: map[string]*fake{}}
		r := New(Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		if _, err := r.Apply(ctx, []Wanted{w.wanted("slow", 10, false, time.Hour), w.wanted("fast", 10, false, 0)}); err != nil {
			t.Fatal(err)
		}
		go func() {
			if _, err := r.Apply(ctx, []Wanted{w.wanted("slow", 20, false, 0), w.wanted("fast", 20, false, 0), w.wanted("new", 10, false, 0)}); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(time.Second) // the bubble's time
		if got := w.specs(); !reflect.DeepEqual(got, map[string]int{"slow": 10, "fast": 20, "new": 10}) {
			t.Errorf("after a second: %v", got)
		}
		time.Sleep(time.Hour)
		if got := w.specs(); got["slow"] != 20 {
			t.Errorf("after an hour: %v", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestApplyWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{running: map[string]*fake{}}
		var stopped []string
		r := New(Options{Stopped: func(name string, _ Component, wanted bool) {
			stopped = append(stopped, fmt.Sprintf("%s %v", name, wanted))
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		if _, err := r.Apply(ctx, []Wanted{w.wanted("a", 1, false, time.Minute)}); err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() {
			_, err := r.Apply(context.Background(), nil)
			failed <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-failed; !errors.Is(err, errStopping) {
			t.Errorf("an Apply that cannot end: %v", err)
		}
		if err := <-done; err != nil || !slices.Equal(stopped, []string{"a false"}) {
			t.Errorf("%v, stopped: %q", err, stopped)
		}
	})
}
