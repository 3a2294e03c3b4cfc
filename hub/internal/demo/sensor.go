package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"gridpost/devices/mqtt"
)

const (
	sensorUser  = "sensors"
	cameraUser  = "viewer"
	sensorEvery = 2 * time.Second
)

// sensor is a simulated sensor: its entry in the document, and the function that generates its values.
type sensor struct {
	Name  string `yaml:"name"`
	Title title  `yaml:"title"`
	Class string `yaml:"class,omitempty"`
	Topic string `yaml:"topic"`
	Value string `yaml:"value"`
	Unit  string `yaml:"unit"`
	Every string `yaml:"every"`
	Place place  `yaml:"place"`
	Rules []rule `yaml:"rules"`

	key     string                      // name of the value in the payload
	measure func(since float64) float64 // value at a time in seconds since the start
}

// run sends a reading every two seconds until ctx ends.
func (s sensor) run(ctx context.Context, p *mqtt.Publisher) error {
	defer p.Close()
	tick := time.NewTicker(sensorEvery)
	defer tick.Stop()
	for began := time.Now(); ; {
		payload, err := json.Marshal(map[string]float64{s.key: s.measure(time.Since(began).Seconds())})
		if err != nil {
			return fmt.Errorf("writing a reading: %w", err)
		}
		// Publish blocks while the broker cannot be reached. The readings of that time are lost, like those
		// of a real sensor without a buffer.
		if err := p.Publish(ctx, s.Topic, payload, false); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// offset returns the position in the footage at which camera i starts, so that the cameras differ.
func offset(i int) time.Duration { return time.Duration(i) * 19 * time.Second }

// sensors returns the three sensors. Each crosses its limit a few times an hour, the first one within a
// minute of the start.
func sensors() []sensor {
	return []sensor{
		{
			Name: "river", Title: title{"river", "河道水位"}, Topic: "sensors/river", Value: "$.level", Unit: "m", Every: "2s",
			Place: place{Lat: 30.92072, Lon: 120.93082},
			Rules: []rule{
				{"name": "flood", "title": title{"high water", "超警戒"}, "kind": "above", "value": 3.2, "clear": 3.0, "for": "4s", "severity": "severe"},
				{"name": "silent", "kind": "silence", "for": "1m", "severity": "minor"},
			},
			key: "level", measure: river,
		},
		{
			Name: "smoke", Title: title{"smoke", "烟雾"}, Topic: "sensors/smoke", Value: "$.ppm", Unit: "ppm", Every: "2s",
			Place: place{Lat: 30.92022, Lon: 120.93040},
			Rules: []rule{{"name": "smoke", "kind": "above", "value": 60, "clear": 30, "for": "4s", "severity": "extreme"}},
			key:   "ppm", measure: smoke,
		},
		{
			Name: "door", Title: title{"pump room door", "泵房门"}, Class: "opening", Topic: "sensors/door", Value: "$.open", Unit: "1", Every: "2s",
			Place: place{Lat: 30.92052, Lon: 120.93020},
			Rules: []rule{{"name": "left-open", "kind": "above", "value": 0.5, "clear": 0.5, "for": "20s", "severity": "minor"}},
			key:   "open", measure: door,
		},
	}
}

// river is a level in metres that rises and falls in ten minutes, through 3.2 m after 40 s.
func river(since float64) float64 {
	level := 2.9 + 0.5*math.Sin((since+20)*2*math.Pi/600) + noise(since, 0.015)
	return math.Round(level*1000) / 1000
}

// smoke is a concentration in ppm: low, with a peak of 70 s every twelve minutes.
func smoke(since float64) float64 {
	ppm := 6 + noise(since, 1.5)
	if t := math.Mod(since+630, 720); t < 70 {
		ppm += 140 * math.Sin(t*math.Pi/70)
	}
	return math.Round(ppm*10) / 10
}

// door is 1 while the door is open: for 6 s every 45 s, and for 50 s every nine minutes.
func door(since float64) float64 {
	t := math.Mod(since, 540)
	if t > 150 && t < 200 || math.Mod(t, 45) < 6 {
		return 1
	}
	return 0
}

// noise is a variation of at most by that does not repeat for hours.
func noise(since, by float64) float64 {
	return by * (math.Sin(since*1.31) + math.Sin(since*0.47+1) + math.Sin(since*2.93+2)) / 3
}
