package uplink

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"gridpost/devices/problem"
	"gridpost/devices/retry"
	"gridpost/hub/api"
)

const (
	maxOpenRefs = 50_000      // in a greeting; with more, the edge does not say what is open
	shortEpoch  = time.Minute // an epoch that is superseded sooner hints at a copy of this edge
	longestDuel = 20 * time.Second
	pageSize    = 200 // incidents in one check
	quietLook   = 500 * time.Millisecond
	maxQuiet    = 30 * time.Second
)

// reconciliation is what an epoch's greeting has brought.
type reconciliation struct {
	epoch   string
	kinds   []api.Kind
	missing []api.IncidentRef // of the greeting, by the hub's answer
}

// greet greets the hub at the start of each epoch.
func (u *Uplink) greet(ctx context.Context) {
	w := u.waits(longestAlerts)
	duel := retry.Policy{First: firstWait, Longest: longestDuel}.New()
	paused := ""
	for ctx.Err() == nil {
		epoch, greeted, changed := u.session.present()
		if greeted {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		// Two copies of an edge end each other's epochs: they must not do so all the time.
		switch row := u.duel.inARow(time.Now()); {
		case row < 2:
			duel.Reset()
		case paused != epoch:
			paused = epoch
			if !duel.Wait(ctx) {
				return
			}
		}
		err := u.hello(ctx, epoch)
		if ctx.Err() != nil {
			return
		}
		u.report(loopSession, err)
		if err != nil {
			if !w.after(ctx, err, u.recovered[loopSession]) {
				return
			}
			continue
		}
		w.reset()
	}
}

// duel notices another copy of this edge: each ends the other's epochs.
type duel struct {
	mu   sync.Mutex
	last time.Time // when an epoch was superseded
	row  int       // so many in a row, each soon after the one before
}

// superseded notes that another epoch has greeted the hub.
func (d *duel) superseded(now time.Time) {
	row := d.inARow(now)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last, d.row = now, row+1
}

// inARow returns how many epochs were superseded in a row; 0 if the last one was long ago.
func (d *duel) inARow(now time.Time) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.last) >= shortEpoch {
		return 0
	}
	return d.row
}

// hello greets the hub. What the edge's own store cannot do does not keep it from greeting.
func (u *Uplink) hello(ctx context.Context, epoch string) error {
	refs, err := u.o.Store.OpenRefs(ctx)
	switch {
	case err != nil:
		u.o.Logger.Error("the open incidents cannot be listed; the hub is not told which are open", "error", err)
		refs = nil
	case len(refs) > maxOpenRefs:
		u.o.Logger.Warn("too many incidents are open or wait; the hub is not told which are open", "count", len(refs))
		refs = nil
	case refs == nil:
		refs = []api.IncidentRef{}
	}
	if u.hubProtocol.Load() == 0 && len(refs) > 50 {
		// Long enough to be worth compressing: any answer says whether the hub reads that.
		_, _, err := u.do(ctx, u.alerts, http.MethodGet, "/edge/v1/", nil, nil)
		var refused *problem.Error
		if err != nil && !errors.As(err, &refused) {
			return err
		}
	}
	var ack api.Ack
	batch := api.Batch{Epoch: epoch, Sent: wireTime(u.o.Now()), Hello: &api.Hello{Open: refs}, Events: []api.Event{}}
	_, err = u.postJSON(ctx, u.alerts, pathOf(api.PathEvents), batch, &ack)
	if err := u.superseded(epoch, api.Ack{}, err); err != nil {
		return err
	}
	missing, err := namedIn(refs, ack.Missing)
	if err != nil {
		return err
	}
	if len(ack.Hub) > 100 || len(ack.Kinds) > 1000 {
		return &answerError{"the answer to a greeting is too long"}
	}
	u.session.welcome(epoch, ack.Hub)
	u.offer(reconciliation{epoch, ack.Kinds, missing})
	return nil
}

// namedIn returns the refs with the IDs. IDs that were never sent make no sense.
func namedIn(refs []api.IncidentRef, ids []string) ([]api.IncidentRef, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	byID := make(map[string]api.IncidentRef, len(refs))
	for _, ref := range refs {
		byID[ref.ID] = ref
	}
	out := make([]api.IncidentRef, 0, min(len(ids), len(refs)))
	for _, id := range ids {
		ref, ok := byID[id]
		if !ok || len(out) == len(refs) {
			return nil, &answerError{"it asks for incidents that it was not told of"}
		}
		out = append(out, ref)
	}
	return out, nil
}

// offer hands a reconciliation to compare, in place of one that has not been taken.
func (u *Uplink) offer(r reconciliation) {
	for {
		select {
		case u.reconcile <- r:
			return
		default:
		}
		select {
		case <-u.reconcile:
		default:
		}
	}
}

// compare works off what the greeting of each epoch has brought: it releases held events, sends
// again what the hub lacks, and asks it, once no alerts wait, about the incidents of the last days.
func (u *Uplink) compare(ctx context.Context) {
	w := u.waits(longestOther)
	for {
		var r reconciliation
		select {
		case r = <-u.reconcile:
		case <-ctx.Done():
			return
		}
		for {
			err := u.work(ctx, &r)
			if ctx.Err() != nil {
				return
			}
			u.report(loopCheck, err)
			if err == nil || errors.Is(err, errSuperseded) {
				w.reset()
				break
			}
			if !w.after(ctx, err, nil) {
				return
			}
			if epoch, _, _ := u.session.present(); epoch != r.epoch {
				break
			}
		}
	}
}

// work does what is left of a reconciliation. What is done is taken out of it.
func (u *Uplink) work(ctx context.Context, r *reconciliation) error {
	if len(r.kinds) > 0 {
		if err := u.o.Store.ReleaseHeld(ctx, r.kinds); err != nil {
			return &storeError{err}
		}
		r.kinds = nil
	}
	// Most of what a greeting's answer lacks was waiting in the alerts lane and has been delivered
	// meanwhile: it is asked for once more before it is sent again.
	for len(r.missing) > 0 {
		page := r.missing[:min(len(r.missing), pageSize)]
		if err := u.compareWith(ctx, r.epoch, page); err != nil {
			return err
		}
		r.missing = r.missing[len(page):]
	}
	for after := ""; ; {
		refs, err := u.o.Store.RecentRefs(ctx, after, pageSize)
		if err != nil {
			return &storeError{err}
		}
		if len(refs) == 0 {
			return nil
		}
		if err := u.compareWith(ctx, r.epoch, refs); err != nil {
			return err
		}
		after = refs[len(refs)-1].ID
	}
}

// compareWith asks the hub which of the incidents it lacks, and sends these again.
func (u *Uplink) compareWith(ctx context.Context, epoch string, refs []api.IncidentRef) error {
	if err := u.awaitQuiet(ctx, epoch); err != nil {
		return err
	}
	if u.hubProtocol.Load() < 2 {
		return nil
	}
	var answer api.CheckAnswer
	_, err := u.postJSON(ctx, u.bulk, pathOf(api.PathCheck), api.Check{Epoch: epoch, Incidents: refs}, &answer)
	if err := u.superseded(epoch, api.Ack{}, err); err != nil {
		return err
	}
	if _, err := namedIn(refs, answer.Missing); err != nil {
		return err
	}
	if len(answer.Missing) == 0 {
		return nil
	}
	u.o.Logger.Warn("the hub lacks incidents; they are sent again", "count", len(answer.Missing))
	if err := u.o.Store.Enqueue(ctx, answer.Missing); err != nil {
		return &storeError{err}
	}
	return nil
}

// awaitQuiet waits until no alerts wait, at most maxQuiet: alerts that never stop must not keep
// the hub from getting back what it has lost.
func (u *Uplink) awaitQuiet(ctx context.Context, epoch string) error {
	for range int(maxQuiet / quietLook) {
		if u.o.Store.Waiting()[api.LaneAlerts] == 0 {
			break
		}
		if !retry.Sleep(ctx, quietLook) {
			return ctx.Err()
		}
		if now, _, _ := u.session.present(); now != epoch {
			return errSuperseded
		}
	}
	if !u.gate.pass(ctx) {
		return ctx.Err()
	}
	return nil
}
