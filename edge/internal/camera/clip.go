package camera

import (
	"context"
	"sync"

	"gridpost/detection"
	"gridpost/edge/internal/clips"
)

const (
	queueClips = 8
	maxClips   = 4 // of one camera that are recorded at the same time
)

// Clips records clips.
type Clips interface {
	// Record returns when a clip has been saved. The end of ctx ends the clip.
	Record(ctx context.Context, q clips.Request) error
}

// startClip requests a clip of an incident that has opened. Only the goroutine of judge calls it.
func (c *Camera) startClip(inc detection.Incident) {
	if c.o.Clips == nil || c.o.Config.Clips.Before == 0 {
		return
	}
	over := make(chan struct{})
	select {
	case c.clips <- clips.Request{Incident: inc, Stream: c.stream, Clips: c.o.Config.Clips, Over: over}:
		c.over[inc.ID] = over
	default:
		c.missedClip(inc.ID, "too many incidents opened at once")
	}
}

// endClip notes that an incident is closed. Only the goroutine of judge calls it.
func (c *Camera) endClip(incident string) {
	if over, ok := c.over[incident]; ok {
		close(over)
		delete(c.over, incident)
	}
}

// recordClips records the clips that are requested until ctx ends, and saves those that are being recorded then.
func (c *Camera) recordClips(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, maxClips)
	for {
		select {
		case <-ctx.Done():
			return nil
		case q := <-c.clips:
			select {
			case slots <- struct{}{}:
			default:
				c.missedClip(q.Incident.ID, "too many clips are being recorded")
				continue
			}
			running.Go(func() {
				defer func() { <-slots }()
				if err := c.o.Clips.Record(ctx, q); err != nil {
					c.missedClip(q.Incident.ID, err.Error())
					return
				}
				c.savedClip()
			})
		}
	}
}

// missedClip counts a clip that is missing or too short. It stays a problem until one could be recorded.
func (c *Camera) missedClip(incident, reason string) {
	c.missedClips.Add(1)
	c.logger.Warn("no clip of an incident, or a shorter one", "incident", incident, "reason", reason)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noClips++
	c.noClipsCause = reason
}

// savedClip counts a clip that was saved.
func (c *Camera) savedClip() {
	c.savedClips.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noClips, c.noClipsCause = 0, ""
}
