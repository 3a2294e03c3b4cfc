package webrtc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"gridpost/devices"
)

// Reasons for the end of a session, beside the errors of what it carries. Each has its code by a
// method Cause.
var (
	// ErrLost means that the peer no longer answers.
	ErrLost error = codedError{code: "session_lost"}
	// ErrClosedByPeer means that the peer closed the connection.
	ErrClosedByPeer error = codedError{code: "session_closed_by_peer"}
	// ErrNoConnection means that no connection to the peer was established.
	ErrNoConnection error = codedError{code: "session_not_connected", after: connectTimeout}
	// ErrNoFrames means that the peer is connected but sends no media.
	ErrNoFrames error = codedError{code: "session_no_frames", after: framesWithin}

	// errICEFailed is an ErrNoConnection that ICE has found out sooner.
	errICEFailed error = codedError{code: "session_not_connected", after: iceDisconnected + iceFailed}
)

// codedError is an error with a code of devices.Causes.
type codedError struct {
	code  string
	after time.Duration // the parameter seconds; 0: none
}

// Cause returns the code as a cause.
func (e codedError) Cause() devices.Cause {
	if e.after == 0 {
		return devices.NewCause(e.code)
	}
	return devices.NewCause(e.code, "seconds", devices.Seconds(e.after))
}

func (e codedError) Error() string { return e.Cause().Text }

// Is reports whether target has the same code: how long something has lasted makes no other error.
func (e codedError) Is(target error) bool {
	other, ok := target.(codedError)
	return ok && other.code == e.code
}

const (
	connectTimeout = 15 * time.Second
	framesWithin   = 10 * time.Second
)

// session is one PeerConnection and the reason for its end.
type session struct {
	pc        *webrtc.PeerConnection
	connected chan struct{}
	gone      chan struct{} // closed when the connection has failed or was closed
	ended     chan struct{}

	mu           sync.Mutex
	wasConnected bool
	err          error // why it ended; set before ended is closed
}

func newSession(pc *webrtc.PeerConnection) *session {
	s := &session{pc: pc, connected: make(chan struct{}), gone: make(chan struct{}), ended: make(chan struct{})}
	leave := sync.OnceFunc(func() { close(s.gone) })
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			s.mu.Lock()
			defer s.mu.Unlock()
			if !s.wasConnected {
				s.wasConnected = true
				close(s.connected)
			}
		case webrtc.PeerConnectionStateFailed:
			s.mu.Lock()
			cause := ErrLost
			if !s.wasConnected {
				cause = errICEFailed
			}
			s.mu.Unlock()
			s.end(cause)
			leave()
		case webrtc.PeerConnectionStateClosed:
			s.end(ErrClosedByPeer)
			leave()
		}
	})
	return s
}

// end ends the session; the first cause is kept.
func (s *session) end(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = cause
		close(s.ended)
	}
}

func (s *session) endCause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// run waits for the connection, and then for the end of the session or of ctx; it closes the
// PeerConnection and returns the cause. It calls up once the connection is established; up must return
// when its ctx ends, and its error ends the session. If ctx ends before the connection is established, the
// PeerConnection stays open until close or dismiss.
func (s *session) run(ctx context.Context, up func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.NewTimer(connectTimeout)
	defer late.Stop()

	done := make(chan struct{})
	close(done)
	select {
	case <-s.connected:
		if ctx.Err() != nil { // both are true, and nothing may be carried any more
			s.end(context.Cause(ctx))
			break
		}
		done = make(chan struct{})
		go func() {
			defer close(done)
			s.end(up(ctx))
		}()
		select {
		case <-s.ended:
		case <-ctx.Done():
			s.end(context.Cause(ctx))
		}
	case <-s.ended:
	case <-ctx.Done():
		s.end(context.Cause(ctx))
		return s.endCause()
	case <-late.C:
		s.end(ErrNoConnection)
	}
	cause := s.endCause()
	cancel(cause)
	err := s.pc.GracefulClose() // unblocks reads
	<-done
	if err != nil {
		return fmt.Errorf("%w (and closing it: %w)", cause, err)
	}
	return cause
}

// accept sets a peer's offer and returns the answer, complete with candidates.
func (s *session) accept(offer string) (string, error) {
	bundled, err := bundleUsed(offer)
	if err != nil {
		return "", err
	}
	err = s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: bundled})
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrOffer, err)
	}
	answer, err := s.answer()
	if err != nil {
		return "", err
	}
	return completeAnswer(offer, answer)
}

func (s *session) answer() (string, error) {
	answer, err := s.pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("%w: creating the answer: %w", ErrOffer, err)
	}
	gathered := webrtc.GatheringCompletePromise(s.pc)
	if err := s.pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("setting the answer: %w", err)
	}
	select {
	case <-gathered: // from the addresses of this machine: no server is queried
	case <-time.After(connectTimeout):
		return "", errors.New("gathering candidates took too long")
	}
	return s.pc.LocalDescription().SDP, nil
}

// offer returns an offer, complete with candidates.
func (s *session) offer(ctx context.Context) (string, error) {
	offer, err := s.pc.CreateOffer(nil)
	if err != nil {
		return "", fmt.Errorf("creating the offer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(s.pc)
	if err := s.pc.SetLocalDescription(offer); err != nil {
		return "", fmt.Errorf("setting the offer: %w", err)
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	return s.pc.LocalDescription().SDP, nil
}

// dismiss closes the PeerConnection of a session whose run has returned. A peer that was still connecting then is
// let connect first, for at most connectTimeout and while ctx lasts: only over an established connection can it
// be notified (close_notify, RFC 5246 section 7.2.1). Otherwise it notices the end when ICE times out, after iceFailed.
func (s *session) dismiss(ctx context.Context) {
	late := time.NewTimer(connectTimeout)
	defer late.Stop()
	select {
	case <-s.connected:
	case <-s.gone:
	case <-late.C:
	case <-ctx.Done():
	}
	s.close()
}

// close ends a session whose run was never called, or has returned.
func (s *session) close() {
	s.end(ErrClosedByPeer)
	if err := s.pc.GracefulClose(); err != nil {
		return // there is nothing that could be done about it
	}
}
