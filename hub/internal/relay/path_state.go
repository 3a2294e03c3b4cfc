package relay

import (
	"context"
	"errors"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/problem"
)

// Bounds of an upstream.
const (
	publishDuration = 30 * time.Minute // the edge stops after this time unless the command is repeated
	stopTimeout     = 3 * time.Second
)

func errNoViewers() error { return problem.New("video_nobody_watches") }

// pathState is the state of a path. It belongs to the path's goroutine; its methods do not block.
//
// The edge is not commanded by each request, but whenever what it was commanded differs from what the hub
// wants: a command that was overtaken by events is skipped. One command is sent at a time, so that they reach
// the edge in order.
type pathState struct {
	ctx   context.Context // of the sessions
	relay *Relay
	key   pathKey

	users     map[*user]bool      // value: it waits for the upstream
	publisher *publisher          // nil if and only if upstream is
	upstream  *upstream           // what publisher sends
	retiring  map[*publisher]bool // their sessions end when the edge has been commanded to stop

	wanted    bool // the edge is to publish
	commanded bool // the last command to the edge was to publish; it may have ended since
	repeat    bool // the command to publish is to be sent again

	sending   api.CommandKind    // the command that is being sent; "": none
	cancel    context.CancelFunc // ends it
	cancelled bool               // it was ended: its result is of no interest
	answer    chan error         // gets its result; capacity 1

	startBy   time.Time // users no longer wait after this; zero: none waits
	idleSince time.Time // when the path had its last user; zero: it has users, or nothing to end
	renewAt   time.Time // when the command to publish is to be repeated; zero: it was not commanded
}

func (s *pathState) join(u *user) {
	s.idleSince = time.Time{}
	if s.upstream != nil {
		s.users[u] = false
		u.reply <- joined{upstream: s.upstream}
		return
	}
	s.users[u] = true
	if !s.startBy.IsZero() {
		return
	}
	s.startBy = time.Now().Add(s.relay.o.StartTimeout)
	s.wanted, s.repeat = true, s.commanded && (s.sending != api.CommandPublish || s.cancelled)
	s.relay.count(func(t *Stats) { t.Commands++ })
}

// leave removes a user; it may have been removed already.
func (s *pathState) leave(u *user) {
	if _, there := s.users[u]; !there {
		return
	}
	delete(s.users, u)
	s.noteIdle()
}

// noteIdle starts the time after which the path is retired.
func (s *pathState) noteIdle() {
	if len(s.users) == 0 && s.idleSince.IsZero() {
		s.idleSince = time.Now()
	}
}

// failWaiting answers those who wait for the upstream that there is none.
func (s *pathState) failWaiting(err error) {
	s.startBy = time.Time{}
	for u, waits := range s.users {
		if waits {
			u.reply <- joined{err: err}
			delete(s.users, u)
		}
	}
	s.noteIdle()
}

// attach makes pub the publisher. Viewers of the previous one stay if the codec is the same.
func (s *pathState) attach(pub *publisher, ifFree bool) attached {
	if ifFree && s.publisher != nil {
		return attached{}
	}
	before := s.publisher
	if s.upstream != nil && !pub.source.CanContinue(s.upstream.feed) {
		s.endUpstream(problem.New("video_codec_changed"))
	}
	if s.upstream == nil {
		u := &upstream{feed: pub.source.NewFeed()}
		u.ctx, u.end = context.WithCancelCause(s.ctx)
		s.upstream = u
		s.relay.addUpstream(u)
	}
	s.publisher = pub
	switch {
	case pub.own:
	case before != nil && before.own: // without a command, the edge would connect again and replace pub
		s.retireOwn(before)
	default:
		s.wanted = false
	}
	if before != nil && !s.retiring[before] {
		before.cancel(problem.New("video_upstream_replaced"))
	}
	s.startBy = time.Time{}
	for u, waits := range s.users {
		if waits {
			u.reply <- joined{upstream: s.upstream}
			s.users[u] = false
		}
	}
	s.noteIdle()
	return attached{upstream: s.upstream, before: before}
}

// detach ends the upstream of pub, unless another publisher has replaced pub.
func (s *pathState) detach(pub *publisher, cause error) {
	delete(s.retiring, pub)
	if s.publisher == pub {
		s.publisher = nil
		s.endUpstream(cause)
		s.noteIdle()
	}
}

// endUpstream ends the upstream and its viewers' sessions.
func (s *pathState) endUpstream(cause error) {
	s.upstream.end(cause)
	s.relay.removeUpstream(s.upstream)
	s.upstream = nil
}

// expire does what is due.
func (s *pathState) expire() {
	now := time.Now()
	if !s.startBy.IsZero() && !now.Before(s.startBy) {
		s.failWaiting(problem.New("video_edge_slow", "seconds", devices.Seconds(s.relay.o.StartTimeout)))
		s.wanted, s.repeat = false, false
	}
	if !s.idleSince.IsZero() && now.Sub(s.idleSince) >= s.linger() {
		s.retire()
	}
	if !s.renewAt.IsZero() && !now.Before(s.renewAt) {
		s.renewAt = time.Time{}
		s.repeat = s.wanted && len(s.users) > 0
	}
}

// linger is how long the path goes on without users: long only for a publisher that was not commanded, such
// as one that has been publishing since before the hub started.
func (s *pathState) linger() time.Duration {
	if s.publisher != nil && !s.commanded {
		return s.relay.o.Unattended
	}
	return s.relay.o.Linger
}

// retire ends what has had no users.
func (s *pathState) retire() {
	s.idleSince, s.startBy, s.wanted, s.repeat = time.Time{}, time.Time{}, false, false
	pub := s.publisher
	if pub == nil {
		return
	}
	s.publisher = nil
	s.endUpstream(errNoViewers())
	if !pub.own {
		pub.cancel(errNoViewers())
		return
	}
	s.retireOwn(pub)
}

// retireOwn commands the edge to stop, and then ends its session: otherwise the edge would treat the end as a
// lost connection, and reconnect. The command is needed also for an edge that publishes without one.
func (s *pathState) retireOwn(pub *publisher) {
	s.retiring[pub] = true
	s.wanted, s.repeat, s.commanded = false, false, true
}

// sendNext sends the next command to the edge if one is due and none is being sent.
func (s *pathState) sendNext() {
	switch {
	case s.sending == api.CommandPublish && !s.wanted:
		s.cancelled = true // the command to stop must not wait
		s.cancel()
	case s.sending != "":
	case s.wanted && (!s.commanded || s.repeat):
		s.commanded, s.repeat = true, false
		s.renewAt = time.Now().Add(publishDuration / 2)
		s.send(api.CommandPublish)
	case !s.wanted && s.commanded:
		s.commanded, s.renewAt = false, time.Time{}
		s.send(api.CommandStop)
	}
}

// send sends one command in a goroutine of its own.
func (s *pathState) send(kind api.CommandKind) {
	c := api.Command{Kind: kind, Device: s.key.device, Stream: s.key.stream, Issued: time.Now().UTC()}
	if c.Stream != "" {
		c.Kind = map[api.CommandKind]api.CommandKind{api.CommandPublish: api.CommandPublishStream, api.CommandStop: api.CommandStopStream}[kind]
	}
	ctx, limit := s.ctx, s.relay.o.StartTimeout
	if kind == api.CommandPublish {
		c.Until = c.Issued.Add(publishDuration)
	} else { // so that the edge receives the command when the hub stops, too
		ctx, limit = context.WithoutCancel(ctx), stopTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	s.sending, s.cancel, s.cancelled = kind, cancel, false
	// run does not return before the answer was received, so Run waits for this goroutine, too.
	go func() {
		defer cancel()
		s.answer <- s.relay.o.Commander.Command(ctx, s.key.edge, c)
	}()
}

// answered receives the result of the command that was sent.
func (s *pathState) answered(err error) {
	kind := s.sending
	s.sending = ""
	s.cancel()
	log := s.relay.o.Logger.With("device", s.key.String(), "command", kind)
	switch {
	case kind == api.CommandStop:
		if err != nil {
			// The edge stops without a command when its session ends, and at the time Until of the publish command.
			log.Info("an edge did not stop publishing on command", "error", err)
		}
		for pub := range s.retiring {
			pub.cancel(s.retireCause())
			delete(s.retiring, pub)
		}
	case err == nil || s.cancelled:
	case s.upstream != nil:
		log.Warn("an edge did not renew its publication", "error", err)
	default:
		s.wanted, s.repeat = false, false
		var refused Refused
		if errors.As(err, &refused) {
			s.commanded = false // any other error leaves open whether the edge publishes
		}
		s.failWaiting(s.viewerError(err))
	}
}

func (s *pathState) retireCause() error {
	if s.publisher != nil {
		return problem.New("video_upstream_replaced")
	}
	return errNoViewers()
}

// viewerError converts the error of a failed command to one that a viewer may see. It logs errors
// that contain internal details.
func (s *pathState) viewerError(err error) error {
	var refused Refused
	if errors.As(err, &refused) {
		return refused
	}
	var coded *problem.Error
	if errors.As(err, &coded) {
		return coded
	}
	s.relay.o.Logger.Warn("commanding an edge to publish", "device", s.key.String(), "error", err)
	return problem.New("video_edge_silent")
}

// idle reports whether nothing is left to do.
func (s *pathState) idle() bool {
	return len(s.users) == 0 && s.publisher == nil && len(s.retiring) == 0 && s.sending == "" && !s.commanded
}

// next returns when expire is to be called.
func (s *pathState) next() time.Duration {
	var at time.Time
	due := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if !s.startBy.IsZero() {
		due(s.startBy)
	}
	if !s.idleSince.IsZero() {
		due(s.idleSince.Add(s.linger()))
	}
	if !s.renewAt.IsZero() {
		due(s.renewAt)
	}
	if at.IsZero() {
		return publishDuration
	}
	return time.Until(at)
}

// stop ends everything when the hub stops. It blocks at most for stopTimeout after a command that is being
// sent has been answered.
func (s *pathState) stop() {
	if s.upstream != nil {
		s.endUpstream(errHubStopping())
	}
	s.failWaiting(errHubStopping())
	s.wanted, s.repeat, s.publisher = false, false, nil
	s.sendNext()
	for s.sending != "" {
		s.answered(<-s.answer)
		s.sendNext()
	}
}
