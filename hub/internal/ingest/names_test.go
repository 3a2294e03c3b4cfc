package ingest

import (
	"strings"
	"testing"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/incidents"
)

// An incident has the names of its site, device and rule: also when it comes before the inventory, and anew while it
// is not closed when a person changes them in the site's document. One that is closed keeps its names.
func TestIncidentsHaveNames(t *testing.T) {
	eachParts(t, func(t *testing.T, p *parts) {
		p.add(t, "gate-7")
		e := p.session(t, "gate-7", "a").greet()
		early, closed := opening(t), opening(t)
		e.send(alerted(early), alerted(closed))
		if inc := p.incident(t, early); inc.Title != "Motion in zone "+early.Incident.Rule {
			t.Fatalf("before the inventory its title is %q", inc.Title)
		}
		inventory := func(rule string) api.Inventory {
			return api.Inventory{Version: "1", Title: &devices.Title{En: "Old Town", Zh: "古镇"}, Devices: []api.Device{{
				Name: early.Incident.Device, Kind: devices.Camera, Title: &devices.Title{En: "bus station", Zh: "汽车站"},
				Rules: []api.Rule{{Name: early.Incident.Rule, Title: &devices.Title{En: rule, Zh: "逗留"}, Kind: detection.Zone}},
			}}}
		}
		e.send(stated(inventory("loitering")))
		inc := p.incident(t, early)
		if inc.Title != "Loitering: bus station" || inc.Names.Edge.Zh != "古镇" || inc.Names.Device.Zh != "汽车站" || inc.Names.Rule.Zh != "逗留" || inc.Version != 2 {
			t.Errorf("after the inventory: %q, version %d, %+v", inc.Title, inc.Version, inc.Names)
		}
		if _, err := p.incidents.Edit(t.Context(), incidents.Edit{Who: "li.wei", ID: closed.Incident.ID, Scope: scope.All(), Apply: func(inc *incidents.Incident) (*incidents.Fact, error) {
			inc.State = incidents.Closed
			return &incidents.Fact{Kind: incidents.FactClosed}, nil
		}}); err != nil {
			t.Fatal(err)
		}
		e.send(stated(inventory("long stay")))
		late := opening(t)
		e.send(alerted(late))
		for _, c := range []struct {
			a     string
			title string
		}{{early.Incident.ID, "Long stay: bus station"}, {late.Incident.ID, "Long stay: bus station"}, {closed.Incident.ID, "Loitering: bus station"}} {
			inc, err := p.incidents.Get(t.Context(), scope.All(), c.a)
			if err != nil || inc.Title != c.title {
				t.Errorf("%q, %v; want %q", inc.Title, err, c.title)
			}
		}
		version := p.incident(t, early).Version
		e.send(stated(inventory("long stay")))
		if inc := p.incident(t, early); inc.Version != version {
			t.Errorf("an inventory without news has changed an incident: version %d, not %d", inc.Version, version)
		}
		edge, err := p.edges.Edge(t.Context(), scope.All(), "gate-7")
		if err != nil || edge.Title.En != "Old Town" {
			t.Errorf("%+v, %v", edge, err)
		}
		all, err := p.edges.Devices(t.Context(), scope.All(), edges.DeviceQuery{Limit: 10})
		if err != nil || len(all) != 1 || all[0].Title.Zh != "汽车站" || all[0].Rules[0].Title.En != "long stay" {
			t.Errorf("%+v, %v", all, err)
		}
		for _, words := range []string{"汽车站", "古镇", "逗留", "bus station", "old town"} {
			found, err := p.incidents.List(t.Context(), incidents.Query{Scope: scope.All(), Text: words, Limit: 10})
			if err != nil || len(found) != 3 {
				t.Errorf("a search of %q finds %d, %v", words, len(found), err)
			}
		}
	})
}

func TestTitlesOfEdgesAreChecked(t *testing.T) {
	long := &devices.Title{En: "a\x00b", Zh: "汽车站"}
	inv := api.Inventory{Title: long, Devices: []api.Device{{Name: "d", Kind: devices.Sensor, Title: long, Class: "class-of-tomorrow", Rules: []api.Rule{{Name: "r", Title: &devices.Title{En: " "}, Schedule: "night\x00", ScheduleTitle: long}}}}}
	if err := newChecks().inventory(&inv); err != nil {
		t.Fatal(err)
	}
	d := inv.Devices[0]
	if inv.Title.En != "" || inv.Title.Zh != "汽车站" || d.Title.En != "" || d.Class != "" || d.Rules[0].Title != nil ||
		d.Rules[0].ScheduleTitle.En != "" || d.Rules[0].ScheduleTitle.Zh != "汽车站" || strings.Contains(d.Rules[0].Schedule, "\x00") {
		t.Errorf("%+v, %+v", inv, d.Rules[0])
	}
}
