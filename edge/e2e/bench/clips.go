package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gridpost/detection"
	"gridpost/edge/internal/store"
	"gridpost/hub/api"
	"gridpost/streams/simcam/footage"
)

// clipCases are lines that clips fill for hours.
func clipCases() []lineCase {
	return []lineCase{{
		rate: "1mbit", video: footage.Format{Width: 320, Height: 180, Rate: 5, Bitrate: 40, Seconds: 40}, clips: 1000, alert: 1,
	}}
}

// fillClips puts incidents with clips of 1 MiB into an edge's store, while no edge runs. The hub does not look into them.
func fillClips(ctx context.Context, dir string, n int) (err error) {
	if n == 0 {
		return nil
	}
	s, err := store.Open(ctx, store.Options{Dir: dir})
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for range n {
		inc := openIncident(lineCamera(0), time.Now())
		if err := s.SaveIncidents(ctx, []detection.Incident{inc}); err != nil {
			return fmt.Errorf("storing incidents: %w", err)
		}
		c, err := s.CreateClip(ctx, inc.ID, "clip.mp4")
		if err != nil {
			return fmt.Errorf("storing clips: %w", err)
		}
		if _, err := c.Write(make([]byte, 1<<20)); err != nil {
			return errors.Join(fmt.Errorf("storing clips: %w", err), c.Discard())
		}
		if _, err := c.Save(ctx, api.Evidence{ContentType: api.ClipType, Time: time.Now()}); err != nil {
			return fmt.Errorf("storing clips: %w", err)
		}
	}
	return nil
}
