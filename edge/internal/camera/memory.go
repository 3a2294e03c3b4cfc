package camera

import (
	"context"
	"time"
)

// Memory saves what the rules of a camera have learned, so that a restart does not lose it.
type Memory interface {
	// SaveLearned replaces what the rules of a device have learned, by rule.
	SaveLearned(ctx context.Context, device string, learned map[string][]byte) error
}

// memoryInterval is how often what rules learn slowly is saved. What must not be lost is saved at once.
const memoryInterval = 6 * time.Hour

// memoryState is what is known of the last time that the memory was saved.
type memoryState struct {
	saved    time.Time
	revision int
}

// memoryDue reports whether the memory is to be saved.
func (c *Camera) memoryDue(now time.Time) bool {
	if c.o.Memory == nil {
		return false
	}
	if c.memory.saved.IsZero() {
		c.memory.saved = now
	}
	return c.engine.Revision() != c.memory.revision || now.Sub(c.memory.saved) >= memoryInterval
}

// saveMemory saves what the rules have learned. An error is only logged: after a restart they would learn anew.
func (c *Camera) saveMemory(ctx context.Context) {
	if c.o.Memory == nil {
		return
	}
	c.memory = memoryState{saved: time.Now(), revision: c.engine.Revision()}
	learned := c.engine.Memory()
	if len(learned) == 0 {
		return
	}
	if err := c.o.Memory.SaveLearned(context.WithoutCancel(ctx), c.name, learned); err != nil {
		c.logger.Error("what the rules have learned could not be saved", "error", err)
	}
}

// AcceptView makes what the camera shows now the view that it is to show: a person says that it was moved on purpose. It
// does not block.
func (c *Camera) AcceptView() {
	select {
	case c.accepted <- struct{}{}:
	default: // the last time has not been noticed yet
	}
}

func (c *Camera) acceptView(ctx context.Context) {
	if c.engine.AcceptView() {
		c.logger.Info("the camera's view was accepted")
		c.saveMemory(ctx)
	}
}
