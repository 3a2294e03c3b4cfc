package camera

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gridpost/detection"
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

func (c *Camera) takeSnapshot(ctx context.Context, s snapshotRequest) error {
	waiting, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	request := wire.Snapshot{Session: s.session, PTS: s.pts}
	if s.incident.Box != nil {
		request.Marks = []wire.Mark{{Box: *s.incident.Box, Label: label(s.incident)}}
	}
	jpeg, err := c.worker.Snapshot(waiting, request)
	if err != nil {
		return err
	}
	if jpeg.Error != "" || len(jpeg.Data) == 0 {
		return fmt.Errorf("the worker has no such frame: %s", jpeg.Error)
	}
	_, err = c.o.Evidence.SaveEvidence(context.WithoutCancel(ctx), api.Evidence{
		Incident: s.incident.ID, Name: "snapshot.jpg", ContentType: "image/jpeg",
		Time: s.at.Add(jpeg.PTS - s.pts), // of the frame that was found, which may be a neighbour
	}, jpeg.Data)
	return err
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
