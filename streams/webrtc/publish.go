package webrtc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"

	"gridpost/streams"
)

// PublishOptions configure Publish.
type PublishOptions struct {
	Client *http.Client // nil: http.DefaultClient
	URL    string       // of the WHIP endpoint
	Header http.Header  // sent with every request
	Stream *streams.Stream
	Logger *slog.Logger

	// Ready, if set, is called once the endpoint has accepted the offer.
	Ready func()

	// Yield, if set, reports whether something more urgent than live video waits for the line, such
	// as alerts that the hub has not received yet. While it returns true the publisher sends no
	// media and no retransmissions, only what keeps the session alive (ICE, and one packet of fewer
	// than 100 bytes every few seconds). When it returns false again, the publisher continues with the
	// next keyframe. It is called before each burst of packets and several times a second while it
	// returns true, from a goroutine of Publish: it must not block.
	Yield func() bool

	// Allowance, if set, bounds this publication together with others that have the same one.
	Allowance *Allowance

	// Priority, if set, returns which publications of the same Allowance are served before others: those with the
	// highest value. It is called several times a second from a goroutine of Publish: it must not block.
	Priority func() int

	// State, if set, receives the state and the counters while Publish runs. One State may be used for
	// several calls of Publish one after another; it then adds up the counters.
	State *PublishState
}

// PublishStats is the state of a publication and its counters.
type PublishStats struct {
	Congested bool  // the line carries less than the camera's stream: frames are dropped
	Paused    bool  // it does not even carry keyframes: nothing is sent but probes
	Yielding  bool  // PublishOptions.Yield returns true
	Budget    int64 // estimate of what the line carries, in bit/s; 0 without a session

	SenderStats
	DroppedFrames uint64 // because of Congested, Paused or Yielding
	Yields        uint64 // times that Yielding became true
	Pauses        uint64 // times that Paused became true
	Probes        uint64 // attempts to send a keyframe after a pause
}

// PublishState makes the counters of a running Publish readable. The zero value is ready for use;
// it may be read from any goroutine and must not be copied.
type PublishState struct {
	mu    sync.Mutex
	stats PublishStats
}

// Stats returns the state and the counters up to now.
func (s *PublishState) Stats() PublishStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// update changes the state; s may be nil.
func (s *PublishState) update(change func(*PublishStats)) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
}

// Publish sends a stream to a WHIP endpoint until ctx ends or the session ends; it begins with the
// current GOP. It deletes the resource at the end. It returns nil when ctx
// ended, else why the session ended: ErrNoFrames when the stream has none, ErrCodec or ErrBFrames when
// WebRTC cannot carry it, an *problem.Error when the endpoint refuses, and those of Viewer.Run.
func (e *Engine) Publish(ctx context.Context, o PublishOptions) error {
	logger := o.Logger
	if logger == nil {
		logger = e.logger
	}
	reader := o.Stream.Subscribe(streams.ReaderOptions{Backfill: true, Audio: true})
	defer reader.Close()

	first, err := firstKeyframe(ctx, reader)
	if err != nil {
		return unlessDone(ctx, err)
	}
	c, err := codecOf(first)
	if err != nil {
		return err
	}
	feed := NewFeed()
	feed.history = feedBytes // a keyframe may take keyframeWithin to leave
	feed.setCodec(c)
	codecs := []codec{c}
	if track, _, ok := o.Stream.Description().Audio(); ok {
		if audio, ok := audioCodecOf(track); ok {
			codecs, feed.audio = append(codecs, audio), newAudioFeed(audio)
		}
	}
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	filled := make(chan struct{})
	w := accessUnitWriter{feed: feed, audio: audioUnitWriter{feed: feed.audio}, stream: o.Stream}
	go func() {
		defer close(filled)
		if err := writeFeed(ctx, w, first, reader); err != nil {
			cancel(err)
		}
	}()
	defer func() { cancel(nil); reader.Close(); <-filled }()

	v, err := e.newSending(feed, false, codecs...)
	if err != nil {
		return err
	}
	v.send = newPacedSender(v.sender, o).run
	to := endpoint{client: o.Client, url: o.URL, header: o.Header}
	resource, err := to.negotiate(ctx, v.session)
	defer func() {
		if err := to.remove(ctx, resource); err != nil {
			logger.Warn("deleting the WHIP resource", "error", err)
		}
	}()
	if err != nil {
		v.Close()
	} else {
		if o.Ready != nil {
			o.Ready()
		}
		err = v.Run(ctx)
		v.Close()
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return unlessDone(outer, err)
}

// unlessDone returns nil if ctx has ended, because that is why err was returned.
func unlessDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// firstKeyframe waits for the first access unit that is a keyframe.
func firstKeyframe(ctx context.Context, reader *streams.Reader) (*streams.AccessUnit, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, framesWithin, fmt.Errorf("the camera: %w", ErrNoFrames))
	defer cancel()
	for {
		u, err := reader.Next(ctx)
		if err != nil {
			return nil, errors.Join(context.Cause(ctx), ignoreContext(err))
		}
		if u.Keyframe {
			return u, nil
		}
	}
}

// ignoreContext returns nil for errors that only repeat the context's cause.
func ignoreContext(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// writeFeed passes the stream's access units on to w until the reader is closed or ctx ends, and returns nil then. It
// returns ErrBFrames at the first B-frame.
func writeFeed(ctx context.Context, w accessUnitWriter, first *streams.AccessUnit, reader *streams.Reader) error {
	for u := first; ; {
		if err := w.write(u); err != nil {
			return err
		}
		var err error
		if u, err = reader.Next(ctx); err != nil {
			return ignoreContext(ignoreEOF(err))
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
