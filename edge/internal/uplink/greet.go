package uplink

import (
	"context"
	"errors"
	"net/http"
	"time"

	"gridpost/devices/problem"
	"gridpost/devices/retry"
	"gridpost/hub/api"
)

const (
	maxOpenRefs = 50_000          // in a greeting; with more, the edge does not say what is open
	shortEpoch  = 2 * time.Minute // an epoch that is superseded sooner hints at a copy of this edge
	pageSize    = 200             // incidents in one check
)

// reconciliation is what an epoch's greeting has brought.
type reconciliation struct {
	epoch   string
	kinds   []api.Kind
	missing []string
}

// greet greets the hub at the start of each epoch.
func (u *Uplink) greet(ctx context.Context) {
	w := u.waits(longestAlerts)
	duel := retry.Policy{First: firstWait, Longest: time.Minute}.New()
	var began time.Time
	for ctx.Err() == nil {
		epoch, greeted, changed := u.session.present()
		if greeted {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		if !began.IsZero() && !u.paceEpochs(ctx, time.Since(began), duel) {
			return
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
		began = time.Now()
	}
}

// paceEpochs waits before another epoch when the last one was short, so that two copies of an edge
// do not greet the hub all the time. lived is how long ago the last greeting was answered.
func (u *Uplink) paceEpochs(ctx context.Context, lived time.Duration, duel *retry.Backoff) bool {
	if lived >= shortEpoch {
		u.duels.Store(0)
		duel.Reset()
		return true
	}
	u.duels.Add(1)
	return duel.Wait(ctx)
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
	if len(ack.Missing) > len(refs) || len(ack.Hub) > 100 || len(ack.Kinds) > 1000 {
		return &answerError{"it asks for more incidents than it was told of"}
	}
	u.session.welcome(epoch, ack.Hub)
	u.offer(reconciliation{epoch, ack.Kinds, ack.Missing})
	return nil
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
	if len(r.missing) > 0 {
		u.o.Logger.Warn("the hub lacks incidents; they are sent again", "count", len(r.missing))
		if err := u.o.Store.Enqueue(ctx, r.missing); err != nil {
			return &storeError{err}
		}
		r.missing = nil
	}
	return u.check(ctx, r.epoch)
}

// check asks the hub page by page which of the recent incidents it lacks.
func (u *Uplink) check(ctx context.Context, epoch string) error {
	for after := ""; ; {
		for !u.gate.pass(ctx) || u.o.Store.Waiting()[api.LaneAlerts] > 0 {
			if !retry.Sleep(ctx, time.Second) {
				return ctx.Err()
			}
			if now, _, _ := u.session.present(); now != epoch {
				return errSuperseded
			}
		}
		if u.hubProtocol.Load() < 2 {
			return nil
		}
		refs, err := u.o.Store.RecentRefs(ctx, after, pageSize)
		if err != nil {
			return &storeError{err}
		}
		if len(refs) == 0 {
			return nil
		}
		var answer api.CheckAnswer
		_, err = u.postJSON(ctx, u.bulk, pathOf(api.PathCheck), api.Check{Epoch: epoch, Incidents: refs}, &answer)
		if err := u.superseded(epoch, api.Ack{}, err); err != nil {
			return err
		}
		if len(answer.Missing) > len(refs) {
			return &answerError{"it asks for more incidents than it was told of"}
		}
		if len(answer.Missing) > 0 {
			u.o.Logger.Warn("the hub lacks incidents; they are sent again", "count", len(answer.Missing))
			if err := u.o.Store.Enqueue(ctx, answer.Missing); err != nil {
				return &storeError{err}
			}
		}
		after = refs[len(refs)-1].ID
	}
}
