package app

import (
	"gridpost/detection/rules"
	"gridpost/devices"
	"gridpost/hub/api"

	firmwareconfig "gridpost/firmware-config"
)

// inventory lists the document's devices for the hub: no addresses, no secrets.
func inventory(doc *firmwareconfig.Document, version string) api.Inventory {
	inv := api.Inventory{Version: version, Title: doc.Title.Pointer(), Devices: []api.Device{}}
	schedules := map[string]*devices.Title{}
	for _, s := range doc.Schedules {
		schedules[s.Name] = s.Title.Pointer()
	}
	describe := func(specs []rules.Spec) []api.Rule {
		var out []api.Rule
		for _, s := range specs {
			d := s.Terms.Describe()
			r := api.Rule{
				Name: s.Name, Title: s.Title.Pointer(), Kind: s.Kind, Severity: s.Severity,
				Value: d.Value, Direction: d.Direction, Classes: d.Classes, Problems: d.Problems, ForMS: d.For.Milliseconds(), CoolDownMS: s.CoolDown.Milliseconds(),
			}
			if s.Schedule != nil {
				r.Schedule, r.ScheduleTitle = s.Schedule.Name, schedules[s.Schedule.Name]
			}
			out = append(out, r)
		}
		return out
	}
	for _, c := range doc.Cameras {
		inv.Devices = append(inv.Devices, api.Device{Name: c.Name, Title: c.Title.Pointer(), Kind: devices.Camera, Place: c.Place, Rules: describe(c.Rules)})
	}
	for _, s := range doc.Sensors {
		inv.Devices = append(inv.Devices, api.Device{
			Name: s.Name, Title: s.Title.Pointer(), Kind: devices.Sensor, Place: s.Place, Unit: s.Unit, Class: s.Class, Rules: describe(s.Rules),
		})
	}
	return inv
}
