package camera

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gridpost/detection"
	"gridpost/detection/supervisor"
	"gridpost/detection/wire"
	"gridpost/hub/api"
)

// snapshotRequest asks for the frame at which an incident opened.
type snapshotRequest struct {
	incident detection.Incident
	session  uint32
	pts      time.Duration
	at       time.Time
}

// snapshotTimeout bounds the wait for a worker's snapshot.
const snapshotTimeout = 5 * time.Second

var errNoWorker = errors.New("nothing is detected any more")

// takeSnapshots requests snapshots from the worker and saves them as evidence.
func (c *Camera) takeSnapshots(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-c.snapshots:
			err := c.takeSnapshot(ctx, s)
			if err != nil && ctx.Err() != nil {
				return nil
			}
			if err != nil {
				c.missedSnapshot(s.incident.ID, err.Error())
				continue
			}
			c.savedSnapshot()
		}
	}
}

// takeSnapshot saves the frame at which an incident opened: from the main stream if that has it, else from the stream
// in which it was detected.
func (c *Camera) takeSnapshot(ctx context.Context, s snapshotRequest) error {
	detected, err := c.detectedFrame(ctx, s)
	if c.detect != c.stream {
		main, mainErr := c.mainFrame(ctx, s)
		if mainErr == nil {
			detected, err = main, nil
		} else if err == nil {
			c.mainStillsMissed.Add(1)
			c.logger.Warn("a snapshot is from the stream for detection", "incident", s.incident.ID, "error", mainErr)
		}
	}
	if err != nil {
		return err
	}
	_, err = c.o.Evidence.SaveEvidence(context.WithoutCancel(ctx), api.Evidence{
		Incident: s.incident.ID, Name: "snapshot.jpg", ContentType: "image/jpeg", Time: detected.at,
	}, detected.jpeg)
	return err
}

// still is a frame for people.
type still struct {
	jpeg []byte
	at   time.Time // of the frame that is shown, which may be a neighbour of the one that was asked for
}

// detectedFrame returns the frame in which something was detected. The worker holds only those of the last seconds.
func (c *Camera) detectedFrame(ctx context.Context, s snapshotRequest) (still, error) {
	worker := c.currentWorker()
	if worker == nil {
		return still{}, errNoWorker
	}
	waiting, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	jpeg, err := worker.Snapshot(waiting, wire.Snapshot{Session: s.session, PTS: s.pts, Marks: marks(s.incident)})
	if err != nil {
		return still{}, err
	}
	return still{jpeg: jpeg.Data, at: s.at.Add(jpeg.PTS - s.pts)}, nil
}

// mainFrame returns the frame of the main stream that arrived at the same time as the one in which something was
// detected.
func (c *Camera) mainFrame(ctx context.Context, s snapshotRequest) (still, error) {
	gop := c.stream.GOPAt(s.at)
	if len(gop) == 0 {
		return still{}, errors.New("the main stream has no frames")
	}
	last := gop[len(gop)-1]
	if off := last.Arrived.Sub(s.at); off.Abs() > wire.MaxMarkOffset {
		return still{}, fmt.Errorf("the nearest frame of the main stream is %v away", off.Round(time.Millisecond))
	}
	waiting, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	jpeg, err := supervisor.Still(waiting, c.o.Worker, c.o.Starts, gop, marks(s.incident))
	if err != nil {
		return still{}, err
	}
	return still{jpeg: jpeg.Data, at: last.Arrived.Add(jpeg.PTS - last.PTS)}, nil
}

// marks returns what is drawn on the snapshot of an incident.
func marks(inc detection.Incident) []wire.Mark {
	if inc.Box == nil {
		return nil
	}
	return []wire.Mark{{Box: *inc.Box, Label: label(inc)}}
}

// label is what is written beside the box. The worker's font has ASCII only.
func label(inc detection.Incident) string {
	text := inc.Class + " / " + inc.Rule
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
