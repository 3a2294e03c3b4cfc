package supervisor

import (
	"context"
	"errors"
	"fmt"

	"gridpost/detection/wire"
)

// RunFile starts a worker that analyses the video file at path as fast as it can. onResult is called
// with one Result per analysed frame, in order; the worker waits for it, and the same file always
// gives the same results. A frame's PTS counts from the first frame of the file, and its Time is the
// PTS after the start of 1970. RunFile returns nil at the end of the file, onResult's error if it
// returned one, and otherwise why the file could not be analysed to its end. It blocks; ctx ends it.
func RunFile(ctx context.Context, binary string, cfg wire.Config, path string, onResult func(wire.Result) error) error {
	var err error
	if cfg.Limits, err = (Options{Memory: cfg.Limits.Memory}).withDefaults().limits(); err != nil {
		return fmt.Errorf("analysing %s: %w", path, err)
	}
	cfg.Video = path
	p, err := start(binary, nil)
	if err != nil {
		return fmt.Errorf("analysing %s: %w", path, err)
	}
	var refused error // by onResult, to distinguish it from the worker's errors
	err = p.runWithin(ctx, func() error {
		if _, err := p.configure(cfg); err != nil {
			return err
		}
		return p.results(func(r wire.Result) error {
			refused = onResult(r)
			return refused
		})
	})
	p.stop(err == nil)
	switch {
	case err == nil, refused != nil:
		return refused
	case ctx.Err() != nil:
		return fmt.Errorf("analysing %s: %w", path, ctx.Err())
	}
	var gaveUp gaveUpError
	if errors.As(err, &gaveUp) {
		return fmt.Errorf("analysing %s: %s", path, string(gaveUp))
	}
	cause, _ := describe(p, err)
	return fmt.Errorf("analysing %s: %s", path, cause.Text)
}

func (p *process) results(onResult func(wire.Result) error) error {
	for {
		msg, err := p.conn.Receive()
		if err != nil {
			return err
		}
		switch m := msg.(type) {
		case wire.Result:
			if err := validate(&m); err != nil {
				return err
			}
			if err := onResult(m); err != nil {
				return err
			}
		case wire.End:
			if m.Error != "" {
				return gaveUpError(sanitise(m.Error))
			}
			return nil
		default:
			return fmt.Errorf("unexpected %T: %w", msg, wire.ErrMalformed)
		}
	}
}
