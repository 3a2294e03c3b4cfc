// Package schedule says when a rule is active: at weekly hours in a time zone, with dates that are exceptions.
//
// Hours are those that clocks on the wall show. A period begins at the first instant at which a clock shows its
// beginning or a later time, and ends after the last one at which a clock shows a time before its end: where clocks
// are set back within a period it is an hour longer, where they are set forward an hour shorter. A beginning that
// clocks skip is the moment at which they do.
//
// The package must not import other packages of Gridpost.
package schedule

import (
	"fmt"
	"strings"
	"time"
)

const (
	// MaxPeriods bounds the periods of one day.
	MaxPeriods = 32
	// MaxDates bounds the exceptions of a schedule: some years of holidays.
	MaxDates = 400

	dayMinutes = 24 * 60
)

// Schedule is plain data: two schedules are the same if reflect.DeepEqual says so.
type Schedule struct {
	Name  string
	Zone  string               // of the IANA database, such as Asia/Shanghai
	Week  [7][]Period          // by time.Weekday
	Dates map[string]Exception // by date, as 2026-12-25
}

// Exception is what counts on a date instead of the hours of its day of the week.
type Exception struct {
	As      *time.Weekday // the hours of this day; nil: Periods
	Periods []Period      // none: the rule is not active
}

// Period is a time of a day, in minutes from its midnight by the clock on the wall.
type Period struct {
	From int // 0..1439
	To   int // above From, at most 24 hours later: above 1440 it ends on the next day
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} // by time.Weekday

// AddWeek adds hours such as "mon-fri 22:00-06:00", "sat,sun 00:00-24:00" or "08:00-18:00", which is every day.
// Its error completes the phrase "expected ...".
func (s *Schedule) AddWeek(text string) error {
	days, hours, ok := strings.Cut(strings.TrimSpace(text), " ")
	if !ok {
		days, hours = "sun-sat", days
	}
	on, err := parseDays(days)
	if err != nil {
		return err
	}
	p, err := parsePeriod(strings.TrimSpace(hours))
	if err != nil {
		return err
	}
	for day := range s.Week {
		if !on[day] {
			continue
		}
		if s.Week[day] = append(s.Week[day], p); len(s.Week[day]) > MaxPeriods {
			return fmt.Errorf("at most %d periods a day", MaxPeriods)
		}
	}
	return nil
}

// AddDate adds an exception: "2026-12-25 off", "2026-10-10 as mon" or "2026-10-01..2026-10-07 00:00-24:00". Hours
// of a date that has some already are added. Its error completes the phrase "expected ...".
func (s *Schedule) AddDate(text string) error {
	dates, what, ok := strings.Cut(strings.TrimSpace(text), " ")
	what = strings.TrimSpace(what)
	first, last, isRange := strings.Cut(dates, "..")
	if !isRange {
		last = first
	}
	from, err := time.Parse(time.DateOnly, first)
	to, errTo := time.Parse(time.DateOnly, last)
	if err != nil || errTo != nil || !ok || to.Before(from) {
		return fmt.Errorf("a date or two, and what is on it, such as 2026-12-25 off or 2026-10-01..2026-10-07 08:00-12:00")
	}
	var e Exception
	as, isDay := strings.CutPrefix(what, "as ")
	switch {
	case what == "off":
	case isDay:
		day, err := parseDay(strings.TrimSpace(as))
		if err != nil {
			return err
		}
		weekday := time.Weekday(day)
		e.As = &weekday
	default:
		p, err := parsePeriod(what)
		if err != nil {
			return fmt.Errorf("%w, off or as DAY", err)
		}
		e.Periods = []Period{p}
	}
	for day := from; !day.After(to); day = day.AddDate(0, 0, 1) {
		if err := s.except(day.Format(time.DateOnly), e); err != nil {
			return err
		}
	}
	return nil
}

func (s *Schedule) except(date string, e Exception) error {
	before, twice := s.Dates[date]
	switch {
	case twice && (len(before.Periods) == 0 || len(e.Periods) == 0):
		return fmt.Errorf("one entry for %s, or several with hours", date)
	case twice:
		e.Periods = append(before.Periods[:len(before.Periods):len(before.Periods)], e.Periods...)
	}
	if s.Dates == nil {
		s.Dates = map[string]Exception{}
	}
	s.Dates[date] = e
	if len(s.Dates) > MaxDates || len(e.Periods) > MaxPeriods {
		return fmt.Errorf("at most %d dates with %d periods each", MaxDates, MaxPeriods)
	}
	return nil
}

// parseDays reads "mon-fri" or "sat,sun". A range may go on after Saturday: "fri-mon".
func parseDays(text string) (on [7]bool, err error) {
	for _, part := range strings.Split(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := parseDay(first)
		if err != nil {
			return on, err
		}
		to, err := parseDay(last)
		if err != nil {
			return on, err
		}
		for day := from; ; day = (day + 1) % 7 {
			on[day] = true
			if day == to {
				break
			}
		}
	}
	return on, nil
}

func parseDay(text string) (int, error) {
	for i, name := range weekdays {
		if text == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("days such as mon-fri or sat,sun (mon, tue, wed, thu, fri, sat, sun)")
}

// parsePeriod reads "22:00-06:00". An end that is not after the beginning is on the next day.
func parsePeriod(text string) (Period, error) {
	from, to, ok := strings.Cut(text, "-")
	start, okFrom := parseMinutes(from)
	end, okTo := parseMinutes(to)
	if !ok || !okFrom || !okTo || start == dayMinutes {
		return Period{}, fmt.Errorf("hours such as 22:00-06:00 or 00:00-24:00")
	}
	if end <= start {
		end += dayMinutes
	}
	return Period{From: start, To: end}, nil
}

func parseMinutes(text string) (int, bool) {
	if text == "24:00" {
		return dayMinutes, true
	}
	t, err := time.Parse("15:04", text)
	return t.Hour()*60 + t.Minute(), err == nil && len(text) == len("15:04")
}

// Hours are a schedule at work. They are immutable and may be used by any number of goroutines.
type Hours struct {
	schedule Schedule
	zone     *time.Location
}

// Hours returns the hours of s. It fails if its time zone is not known.
func (s Schedule) Hours() (*Hours, error) {
	zone, err := time.LoadLocation(s.Zone)
	if err != nil {
		return nil, fmt.Errorf("schedule %s: %w", s.Name, err)
	}
	return &Hours{schedule: s, zone: zone}, nil
}

// periods returns those that begin on a day; only its date counts.
func (h *Hours) periods(day time.Time) []Period {
	e, is := h.schedule.Dates[day.Format(time.DateOnly)]
	switch {
	case !is:
		return h.schedule.Week[day.Weekday()]
	case e.As != nil:
		return h.schedule.Week[*e.As]
	}
	return e.Periods
}

// At reports whether t is within a period, and when the last period before t ended; zero: none did in the last days.
func (h *Hours) At(t time.Time) (active bool, ended time.Time) {
	year, month, day := t.In(h.zone).Date()
	// A period is at most a day long. Where clocks are set over midnight, that of the next day may have begun.
	for offset := -2; offset <= 1; offset++ {
		date := time.Date(year, month, day+offset, 0, 0, 0, 0, time.UTC)
		for _, p := range h.periods(date) {
			begin := h.first(date.Add(time.Duration(p.From) * time.Minute))
			end := h.last(date.Add(time.Duration(p.To) * time.Minute))
			switch {
			case !begin.Before(end): // clocks skip it
			case !t.Before(begin) && t.Before(end):
				active = true
			case !end.After(t) && end.After(ended):
				ended = end
			}
		}
	}
	return active, ended
}

// farthest is more than the largest offset of a time zone, and more than clocks were ever set.
const farthest = 40 * time.Hour

// first returns the first instant at which clocks show wall, whose fields are those of a UTC time, or a later time.
func (h *Hours) first(wall time.Time) time.Time {
	t := wall.Add(-farthest).In(h.zone)
	for {
		_, offset := t.Zone()
		_, end := t.ZoneBounds()
		shown := wall.Add(-time.Duration(offset) * time.Second)
		if shown.Before(t) {
			shown = t // clocks skipped it
		}
		if end.IsZero() || shown.Before(end) {
			return shown
		}
		t = end
	}
}

// last returns the instant from which on clocks show wall, whose fields are those of a UTC time, or later times
// only.
func (h *Hours) last(wall time.Time) time.Time {
	t := wall.Add(farthest).In(h.zone)
	for {
		_, offset := t.Zone()
		start, end := t.ZoneBounds()
		shown := wall.Add(-time.Duration(offset) * time.Second)
		if !end.IsZero() && shown.After(end) {
			shown = end
		}
		if start.IsZero() || shown.After(start) {
			return shown
		}
		t = start.Add(-1)
	}
}
