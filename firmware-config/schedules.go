package firmwareconfig

import (
	"strings"
	"time"

	"gridpost/detection/rules/schedule"
	"gridpost/devices"
)

const maxSchedules = 64

// Schedule is when rules are active that name it.
type Schedule struct {
	schedule.Schedule
	Title devices.Title
}

// readSchedules reads the schedules and their time zone before anything else of a document, because rules refer to
// them wherever they stand.
func (p *parser) readSchedules(v value, doc *Document) {
	if zone, given := v.child("time_zone"); given && !zone.null() {
		zone.timeZone(&doc.TimeZone)
	}
	list, given := v.child("schedules")
	if !given || list.null() {
		return
	}
	names := firsts{}
	list.items(maxSchedules, func(v value) { doc.Schedules = append(doc.Schedules, p.schedule(v, doc.TimeZone, names)) })
	if _, given := v.child("time_zone"); !given {
		v.p.fail(list.node.Line, "time_zone", "expected the time zone of the schedules, such as Asia/Shanghai, found nothing")
	}
	p.schedules = doc.Schedules
}

func (p *parser) schedule(v value, zone string, names firsts) Schedule {
	s := Schedule{Schedule: schedule.Schedule{Zone: zone}}
	entries := func(add func(string) error) func(value) {
		return func(v value) {
			v.items(schedule.MaxDates, func(v value) {
				text, ok := v.Text()
				if !ok {
					return
				}
				if err := add(text); err != nil {
					v.Fail(err.Error(), "")
				}
			})
		}
	}
	v.fields(
		must("name", func(v value) {
			v.name(&s.Name)
			names.once(v, s.Name, "schedule")
		}),
		may("title", func(v value) { v.title(&s.Title) }),
		may("week", entries(s.AddWeek)),
		may("dates", entries(s.AddDate)),
	)
	return s
}

// timeZone reads a time zone of the IANA database.
func (v value) timeZone(dst *string) {
	s, ok := v.Text()
	if !ok {
		return
	}
	if _, err := time.LoadLocation(s); err != nil || s == "" || s == "Local" {
		v.fail("expected a time zone such as Asia/Shanghai or Europe/Berlin, found %s", v.found())
		return
	}
	*dst = s
}

// ruleSchedule reads the schedule that a rule names.
func (p *parser) ruleSchedule(v value, dst **schedule.Schedule) {
	var name string
	before := len(p.problems)
	if v.name(&name); len(p.problems) > before {
		return
	}
	known := make([]string, len(p.schedules))
	for i := range p.schedules {
		if known[i] = p.schedules[i].Name; known[i] == name {
			*dst = &p.schedules[i].Schedule
			return
		}
	}
	if len(known) == 0 {
		v.fail("expected the name of an entry of schedules, of which there are none, found %s", v.found())
		return
	}
	v.fail("expected the name of a schedule (%s), found %s", strings.Join(known, ", "), v.found())
}
