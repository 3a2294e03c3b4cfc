package supervisor

import (
	"context"
	"errors"
	"fmt"

	"gridpost/detection/wire"
	"gridpost/streams"
)

// maxStillFrames bounds the access units that are decoded for one still; at 1080p they take a core for about two
// seconds.
const maxStillFrames = 500

// Still decodes gop, which begins with a keyframe, and returns its last frame as JPEG with the marks drawn on it. It
// does so in a worker of its own, so that neither a long GOP nor one that crashes the decoder delays detection; the
// gate bounds how many there are at a time. The PTS of the result is that of the frame that is shown: a decoder that
// reorders frames may not have the last one yet. It blocks; ctx ends it.
func Still(ctx context.Context, binary string, gate *Gate, gop []*streams.AccessUnit, marks []wire.Mark) (wire.JPEG, error) {
	if len(gop) == 0 || len(gop) > maxStillFrames {
		return wire.JPEG{}, fmt.Errorf("decoding a still: %d access units are not between 1 and %d", len(gop), maxStillFrames)
	}
	limits, err := Options{}.withDefaults().limits()
	if err != nil {
		return wire.JPEG{}, fmt.Errorf("decoding a still: %w", err)
	}
	if !gate.enter(ctx) {
		return wire.JPEG{}, fmt.Errorf("decoding a still: %w", ctx.Err())
	}
	defer gate.leave()
	p, err := start(binary, nil)
	if err != nil {
		return wire.JPEG{}, fmt.Errorf("decoding a still: %w", err)
	}
	var jpeg wire.JPEG
	err = p.runWithin(ctx, func() (err error) {
		const leastRate = 0.1 // frames analysed per second: nobody asks for the detections
		if _, err := p.configure(wire.Config{Rate: leastRate, Limits: limits}); err != nil {
			return err
		}
		jpeg, err = p.still(gop, marks)
		return err
	})
	p.stop(err == nil)
	var gaveUp gaveUpError
	switch {
	case err == nil:
		return jpeg, nil
	case ctx.Err() != nil:
		return wire.JPEG{}, fmt.Errorf("decoding a still: %w", ctx.Err())
	case errors.As(err, &gaveUp):
		return wire.JPEG{}, fmt.Errorf("decoding a still: %s", string(gaveUp))
	case errors.As(err, new(noStillError)):
		return wire.JPEG{}, fmt.Errorf("decoding a still: %w", err)
	}
	cause, _ := describe(p, err)
	return wire.JPEG{}, fmt.Errorf("decoding a still: %s", cause.Text)
}

// noStillError is why a worker that works has no still.
type noStillError struct{ error }

// still has the worker decode gop, and draw its last frame.
func (p *process) still(gop []*streams.AccessUnit, marks []wire.Mark) (wire.JPEG, error) {
	var unit wire.AccessUnit
	for _, u := range gop {
		unit.Set(u)
		if err := p.conn.Send(&unit); err != nil {
			return wire.JPEG{}, err
		}
		if msg, err := p.conn.Receive(); err != nil {
			return wire.JPEG{}, err
		} else if _, ok := msg.(wire.Result); !ok {
			return wire.JPEG{}, fmt.Errorf("%T instead of a result: %w", msg, wire.ErrMalformed)
		}
	}
	last := gop[len(gop)-1]
	request := wire.Snapshot{ID: 1, Session: last.Session, PTS: last.PTS, Marks: marks}
	if err := p.conn.Send(request); err != nil {
		return wire.JPEG{}, err
	}
	msg, err := p.conn.Receive()
	if err != nil {
		return wire.JPEG{}, err
	}
	jpeg, ok := msg.(wire.JPEG)
	if !ok || jpeg.ID != request.ID {
		return wire.JPEG{}, fmt.Errorf("%T instead of a snapshot: %w", msg, wire.ErrMalformed)
	}
	checked := validateJPEG(jpeg)
	if checked.err != nil {
		return wire.JPEG{}, noStillError{checked.err}
	}
	return checked.jpeg, nil // nothing is received after it, so that its buffer is not reused
}
