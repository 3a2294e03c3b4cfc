// Package uplink delivers an edge's events and evidence to its hub, and the hub's commands to the
// edge.
//
// Alerts, states, telemetry and evidence are delivered by independent loops, each with its own
// connection, back-off and visible problem: the failure of one never delays another. What must
// not be lost leaves the store when the hub has said that it is on its disk; a lost answer means
// that the same is sent again, which the hub recognises. Telemetry and evidence travel in
// pieces of about a second of the line and start none while alerts wait.
//
// Each run of the program numbers its events in an epoch of its own, which begins with a
// greeting; see api.Batch. The package must import nothing of Gridpost but hub/api, devices and
// firmware-config/enrol.
package uplink

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gridpost/devices"
	"gridpost/devices/problem"
	"gridpost/devices/retry"
	"gridpost/firmware-config/enrol"
	"gridpost/hub/api"
)

// Store is where what must not be lost waits for the hub. Its methods are safe for concurrent use.
type Store interface {
	Events
	Evidence
	Incidents
}

// Events are the lanes of alerts and telemetry.
type Events interface {
	AlertsWaiting() <-chan struct{} // signalled after an alert was enqueued
	Alerts(ctx context.Context, limit, maxBytes int) ([]api.Event, error)
	AlertsDelivered(ctx context.Context, committed uint64, notYet []api.Refusal) error
	ReleaseHeld(ctx context.Context, kinds []api.Kind) error
	Telemetry(ctx context.Context, limit, maxBytes int) ([]api.Event, error)
	TelemetryDelivered(ctx context.Context, committed uint64) error
	Drop(ctx context.Context, lane api.Lane, seq uint64) error
	Waiting() map[api.Lane]uint64 // cheap
}

// Evidence are the files that wait for upload.
type Evidence interface {
	// WaitingEvidence returns files whose announcement the hub has and that skip does not want
	// left out, pictures before clips, oldest first.
	WaitingEvidence(ctx context.Context, limit int, skip func(api.Evidence) bool) ([]api.Evidence, error)
	OpenEvidence(meta api.Evidence) (*os.File, error)
	EvidenceDelivered(ctx context.Context, meta api.Evidence) error
	EvidenceLost(ctx context.Context, meta api.Evidence, reason string) error
}

// Incidents are what the edge and the hub compare.
type Incidents interface {
	OpenRefs(ctx context.Context) ([]api.IncidentRef, error)
	RecentRefs(ctx context.Context, after string, limit int) ([]api.IncidentRef, error)
	Enqueue(ctx context.Context, ids []string) error
}

// Options are what an Uplink needs. URL, Identity, Store and States are required.
type Options struct {
	URL      string // https://host:port of the hub's edge port
	Identity *enrol.Identity
	Store    Store
	States   *States

	// Command carries out a command of the hub and says how it went. It is called from one
	// goroutine that belongs to Run, in the hub's order, and should return soon; ctx ends
	// after 30 s.
	Command func(ctx context.Context, c api.Command) api.Result

	Share func() Share // what clips may use of the line; nil: all of it

	Clock  func() api.ClockGrade // of this machine; nil: that of the identity's clock
	Now    func() time.Time      // this machine's clock; nil: time.Now
	Logger *slog.Logger

	Backoff   retry.Policy  // overrides that of all loops, for tests
	Telemetry time.Duration // how often the telemetry and evidence loops look when nothing waited; 0: 1 s

	dial dialFunc // in place of the network, for tests
}

func (o Options) withDefaults() Options {
	if o.Telemetry == 0 {
		o.Telemetry = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = func() api.ClockGrade { return api.ClockGrade(o.Identity.Clock().Grade()) }
	}
	if o.Share == nil {
		o.Share = func() Share { return Share{} }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Share is what clips may use of the line.
type Share struct {
	Rate  float64 // bits a second, together with live video; 0: no bound
	Video bool    // live video is being sent: it comes first
}

// Uplink is the connection to one hub.
type Uplink struct {
	o       Options
	alerts  *http.Client // greeting, alerts and states
	bulk    *http.Client // telemetry, evidence and checks
	session *session
	gate    gate
	waiting waitingSince
	duel    duel

	troubles  troubles
	recovered map[loop]chan struct{} // room for one: the hub has just come back
	reconcile chan reconciliation    // room for one, the newest

	outdated                            atomic.Int32 // refusals that may be because of a renewed certificate
	hubProtocol                         atomic.Int64 // of the last answer; 0: none yet
	requests, failures, refused, poison atomic.Uint64
}

// Stats counts what an Uplink has met.
type Stats struct {
	Requests uint64 // batches and pieces posted
	Failures uint64 // attempts that failed, of any loop
	Refused  uint64 // events that the hub refused by its answer
	Poison   uint64 // events that were set aside because the hub's server cannot take them at all
}

// New returns an uplink that has not dialled yet.
func New(o Options) *Uplink {
	o = o.withDefaults()
	u := &Uplink{
		o: o, session: newSession(),
		alerts:    &http.Client{Transport: newTransport(o.Identity.TLS(), false, o.dial)},
		bulk:      &http.Client{Transport: newTransport(o.Identity.TLS(), true, o.dial)},
		troubles:  troubles{causes: map[loop]devices.Cause{}},
		recovered: map[loop]chan struct{}{},
		reconcile: make(chan reconciliation, 1),
	}
	for _, l := range []loop{loopSession, loopAlerts, loopState, loopTelemetry, loopEvidence, loopCommands} {
		u.recovered[l] = make(chan struct{}, 1)
	}
	return u
}

// Client returns the HTTP client that speaks to the hub as this edge, for other requests than
// the uplink's own.
func (u *Uplink) Client() *http.Client { return u.alerts }

// State says whether the hub is reached, and if not, why.
func (u *Uplink) State() (online bool, cause devices.Cause) { return u.troubles.state() }

// Problems returns what an operator must know of the connection, worst first.
func (u *Uplink) Problems() []devices.Cause {
	out := u.troubles.problems()
	if u.duel.inARow(time.Now()) >= 2 {
		out = append(out, devices.NewCause("edge_copied"))
	}
	if n := u.refused.Load(); n > 0 {
		out = append(out, devices.NewCause("events_refused", "count", strconv.FormatUint(n, 10)))
	}
	if n := u.poison.Load(); n > 0 {
		out = append(out, devices.NewCause("events_unreadable", "count", strconv.FormatUint(n, 10)))
	}
	if c, is := clockProblem(u.o.Identity.Clock()); is {
		out = append(out, c)
	}
	return out
}

// Stats may be called at any time, from any goroutine.
func (u *Uplink) Stats() Stats {
	return Stats{u.requests.Load(), u.failures.Load(), u.refused.Load(), u.poison.Load()}
}

// AlertsLate says that an alert has waited for more than about a second while the hub is
// reachable: whatever else uses the line should yield.
func (u *Uplink) AlertsLate() bool { return u.waiting.longerThan(time.Second) }

// Run works until ctx ends, through any number of failures, and returns nil.
func (u *Uplink) Run(ctx context.Context) error {
	defer u.alerts.CloseIdleConnections()
	defer u.bulk.CloseIdleConnections()
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context){
		u.greet, u.sendAlerts, u.sendStates, u.sendTelemetry, u.sendEvidence, u.compare, u.commands, u.renew,
	} {
		g.Go(func() error { run(ctx); return nil })
	}
	return g.Wait()
}

// Drain waits until the hub has all alerts and states, as long as it can be reached, or until ctx
// ends.
func (u *Uplink) Drain(ctx context.Context) {
	for {
		if online, _ := u.State(); !online {
			return
		}
		if u.o.Store.Waiting()[api.LaneAlerts] == 0 && u.o.States.Waiting() == 0 {
			return
		}
		if !retry.Sleep(ctx, 20*time.Millisecond) {
			return
		}
	}
}

// errSuperseded says that a new epoch has begun: the request must be made anew.
var errSuperseded = errors.New("a new epoch has begun")

// superseded looks in an answer for reasons to begin a new epoch, and for an unsupported protocol.
func (u *Uplink) superseded(epoch string, ack api.Ack, err error) error {
	switch {
	case hasCode(err, api.CodeEpochSuperseded):
		if u.session.supersede(epoch) {
			u.duel.superseded(time.Now())
			u.o.Logger.Warn("the hub has been greeted by a later epoch of this edge; a new epoch begins", "epoch", epoch)
		}
		return errSuperseded
	case hasCode(err, api.CodeProtocolUnsupported):
		return &unsupportedError{u.hubProtocol.Load()}
	case err == nil && !u.session.sameHub(epoch, ack.Hub):
		if u.session.supersede(epoch) {
			u.o.Logger.Info("the hub has been restarted; a new epoch begins", "epoch", epoch)
		}
	}
	return err
}

// report notes how an attempt of a loop went, and logs when that has changed.
func (u *Uplink) report(l loop, err error) {
	if errors.Is(err, errSuperseded) {
		return
	}
	var cause devices.Cause
	if err != nil {
		u.failures.Add(1)
		cause = causeFor(u.o.URL, err)
	}
	changed, back := u.troubles.set(l, cause)
	if back {
		u.o.Logger.Info("the hub is reached", "hub", u.o.URL)
		for _, c := range u.recovered {
			select {
			case c <- struct{}{}:
			default:
			}
		}
		return
	}
	if changed && err != nil {
		u.o.Logger.Warn("delivery to the hub fails; it is tried again", "loop", string(l), "code", cause.Code, "cause", cause.Text)
	}
}

// Limits of the waits after failures.
//
// An attempt that does not reach the hub costs it nothing, and one that does is a TLS handshake of
// well under a millisecond. So while alerts wait, an edge tries every one to two seconds: a thousand
// edges that come back to one hub are some 700 handshakes a second for two seconds, spread by
// jitter. A hub that answers but fails is given more time, and what it asks for by Retry-After.
const (
	firstWait      = 250 * time.Millisecond
	longestAlerts  = 2 * time.Second  // hub not reached
	longestOther   = 10 * time.Second // hub not reached; ended when another loop reaches it
	longestRefused = 20 * time.Second // hub answers with an error
	maxRetryAfter  = 5 * time.Minute
)

// waits are the back-offs of one loop.
type waits struct{ unreached, refused *retry.Backoff }

func (u *Uplink) waits(longest time.Duration) waits {
	unreached, refused := retry.Policy{First: firstWait, Longest: longest}, retry.Policy{First: 2 * firstWait, Longest: longestRefused}
	if u.o.Backoff != (retry.Policy{}) {
		unreached, refused = u.o.Backoff, u.o.Backoff
	}
	return waits{unreached.New(), refused.New()}
}

func (w waits) reset() {
	w.unreached.Reset()
	w.refused.Reset()
}

// after waits after err. A signal from back ends the wait early, unless the hub asked for a pause.
// It returns false when ctx ended.
func (w waits) after(ctx context.Context, err error, back <-chan struct{}) bool {
	if errors.Is(err, errSuperseded) {
		return ctx.Err() == nil // the greeting has a back-off of its own
	}
	var refused *problem.Error
	if errors.As(err, &refused) && refused.RetryAfter > 0 {
		return w.refused.WaitAtLeast(ctx, min(refused.RetryAfter, maxRetryAfter))
	}
	if answered(err) {
		return w.refused.WaitOr(ctx, back)
	}
	return w.unreached.WaitOr(ctx, back)
}
