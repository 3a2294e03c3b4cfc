package supervisor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"gridpost/detection/wire"
)

// RunFile has a worker of its own read the video file at path and analyse it as fast as it
// can. each is called with one Result per analysed frame, in order; the worker waits for it, and
// the same file gives the same results every time. A frame's PTS counts from the file's
// first picture, and its Time is that long after the start of 1970.
// It returns nil at the end of the file, each's error if it gave one, and otherwise says why
// the file could not be analysed to its end.
func RunFile(ctx context.Context, binary string, cfg wire.Config, path string, each func(wire.Result) error) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("analysing a file: %w", err)
	}
	p, err := start(binary)
	if err != nil {
		return fmt.Errorf("analysing %s: %w", path, err)
	}
	var refused error // by each: the caller's own, to be told from the worker's
	err = p.within(ctx, func() error {
		if _, err := p.configure(cfg); err != nil {
			return err
		}
		if err := p.conn.Send(wire.File{Path: path}); err != nil {
			return err
		}
		return p.results(func(r wire.Result) error {
			refused = each(r)
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
	return fmt.Errorf("analysing %s: %s", path, explain(p, err, 0))
}

func (p *process) results(each func(wire.Result) error) error {
	for {
		msg, err := p.conn.Receive()
		if err != nil {
			return err
		}
		switch m := msg.(type) {
		case wire.Result:
			if err := check(&m); err != nil {
				return err
			}
			if err := each(m); err != nil {
				return err
			}
		case wire.End:
			if m.Error != "" {
				return errors.New(printable(m.Error))
			}
			return nil
		default:
			return fmt.Errorf("%T out of place: %w", msg, wire.ErrMalformed)
		}
	}
}
