package camera

import (
	"context"
	"reflect"
	"time"

	"gridpost/detection/rules"
	"gridpost/edge/internal/incidents"

	firmwareconfig "gridpost/firmware-config"
)

// Update makes a running camera follow a new configuration, if it differs in rules and detection only:
// the sources, and so the live views, are not touched, and a worker is started, stopped or replaced
// only where the rules or the detection ask for it. It reports false, and changes nothing, if the
// camera has to be made anew. It does not block; the rules change before the next frame is judged.
func (c *Camera) Update(config firmwareconfig.Camera, detection firmwareconfig.Detection) bool {
	if _, err := rules.NewEngine(c.name, config.Rules, incidents.NewID); err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	same := config
	same.Rules = c.config.Rules
	if !reflect.DeepEqual(same, c.config) {
		return false
	}
	needed := NeedsWorker(c.config)
	other := needed != NeedsWorker(config) || needed && !reflect.DeepEqual(detection, c.detection)
	c.config, c.detection = config, detection
	if other {
		c.replaceWorker()
	}
	select {
	case c.changed <- struct{}{}:
	default: // the change before has not been taken over yet
	}
	return true
}

// changeRules takes over the rules of the last Update.
func (c *Camera) changeRules(ctx context.Context) {
	c.mu.Lock()
	specs := c.config.Rules
	c.mu.Unlock()
	closed, err := c.engine.Reconfigure(specs, time.Now())
	if err != nil { // Update has made the same rules
		c.logger.Error("the rules could not be changed", "error", err)
		return
	}
	c.save(ctx, closed, nil)
}
