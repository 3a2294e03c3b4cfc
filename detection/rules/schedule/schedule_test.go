package schedule

import (
	"math/rand/v2"
	"testing"
	"time"
	_ "time/tzdata"
)

func hours(t *testing.T, zone string, week, dates []string) *Hours {
	t.Helper()
	s := Schedule{Name: "s", Zone: zone}
	for _, w := range week {
		if err := s.AddWeek(w); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range dates {
		if err := s.AddDate(d); err != nil {
			t.Fatal(err)
		}
	}
	h, err := s.Hours()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHours(t *testing.T) {
	for _, c := range []struct {
		zone        string
		week, dates []string
		at          string
		want        bool
	}{
		{"Asia/Shanghai", []string{"mon-fri 08:00-18:00"}, nil, "2026-11-30T00:00:00Z", true}, // Monday, 8:00
		{"Asia/Shanghai", []string{"mon-fri 08:00-18:00"}, nil, "2026-11-29T23:59:59Z", false},
		{"Asia/Shanghai", []string{"mon-fri 08:00-18:00"}, nil, "2026-11-30T10:00:00Z", false}, // 18:00
		{"UTC", []string{"fri 22:00-06:00"}, nil, "2026-11-28T05:59:00Z", true},                // Saturday morning
		{"UTC", []string{"fri 22:00-06:00"}, nil, "2026-11-27T05:59:00Z", false},
		{"UTC", []string{"sat,sun 00:00-24:00"}, nil, "2026-11-28T23:59:59Z", true},
		{"UTC", []string{"fri-mon 12:00-13:00"}, nil, "2026-11-30T12:30:00Z", true},
		{"UTC", []string{"12:00-12:00"}, nil, "2026-11-30T03:00:00Z", true}, // the whole day
		{"UTC", []string{"08:00-18:00"}, []string{"2026-12-25 off"}, "2026-12-25T12:00:00Z", false},
		{"UTC", []string{"22:00-06:00"}, []string{"2026-12-25 off"}, "2026-12-25T03:00:00Z", true}, // it began on the 24th
		{"UTC", []string{"22:00-06:00"}, []string{"2026-12-25 off"}, "2026-12-26T03:00:00Z", false},
		{"UTC", []string{"mon 08:00-18:00"}, []string{"2026-10-10 as mon"}, "2026-10-10T12:00:00Z", true}, // a Saturday
		{"UTC", nil, []string{"2026-10-01..2026-10-07 08:00-10:00", "2026-10-03 12:00-13:00"}, "2026-10-03T12:30:00Z", true},
		{"UTC", nil, []string{"2026-10-01..2026-10-07 08:00-10:00"}, "2026-10-08T09:00:00Z", false},
		{"Europe/Berlin", []string{"01:30-02:30"}, nil, "2026-10-25T01:29:00Z", true}, // 2:29 for the second time
		{"Europe/Berlin", []string{"01:30-02:30"}, nil, "2026-10-25T01:30:00Z", false},
		{"Europe/Berlin", []string{"02:30-04:00"}, nil, "2026-03-29T01:00:00Z", true}, // 2:30 is skipped: 3:00
		{"Europe/Berlin", []string{"02:30-04:00"}, nil, "2026-03-29T00:59:00Z", false},
		{"Europe/Berlin", []string{"02:10-02:50"}, nil, "2026-03-29T01:00:00Z", false}, // all of it is skipped
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := hours(t, c.zone, c.week, c.dates).At(at); got != c.want {
			t.Errorf("%+v: active is %t", c, got)
		}
	}
}

// plain says whether a schedule is active by looking at a clock on the wall minute by minute.
type plain struct {
	from time.Time
	wall []time.Time // what the clock shows from minute to minute, as if it were UTC
}

func newPlain(zone *time.Location, from time.Time, days int) plain {
	p := plain{from: from}
	for i := range days * dayMinutes {
		local := from.Add(time.Duration(i) * time.Minute).In(zone)
		_, offset := local.Zone()
		p.wall = append(p.wall, local.UTC().Add(time.Duration(offset)*time.Second))
	}
	return p
}

// active marks the minutes from the first one that shows a period's beginning or later to the last one that shows
// less than its end.
func (p plain) active(h *Hours) []bool {
	on := make([]bool, len(p.wall))
	first := p.wall[0].Truncate(24 * time.Hour)
	for d := range len(p.wall)/dayMinutes + 3 {
		date := first.AddDate(0, 0, d-1)
		for _, period := range h.periods(date) {
			begin, end := date.Add(time.Duration(period.From)*time.Minute), date.Add(time.Duration(period.To)*time.Minute)
			from, to := -1, -1
			for i, w := range p.wall {
				if from < 0 && !w.Before(begin) {
					from = i
				}
				if w.Before(end) {
					to = i
				}
			}
			for i := from; from >= 0 && i <= to; i++ {
				on[i] = true
			}
		}
	}
	return on
}

// TestHoursAgainstAClockOnTheWall compares random schedules with a look at the clock each minute, in the days around
// changes of the clocks: by an hour, by half an hour, at midnight, by a whole day.
func TestHoursAgainstAClockOnTheWall(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7)) // repeatable
	changes := 0
	for _, c := range []struct{ zone, date string }{
		{"Europe/Berlin", "2026-03-29"},
		{"Europe/Berlin", "2026-10-25"},
		{"America/New_York", "2026-03-08"},
		{"America/New_York", "2026-11-01"},
		{"Australia/Lord_Howe", "2026-04-05"},
		{"Australia/Lord_Howe", "2026-10-04"},
		{"America/Havana", "2026-11-01"},
		{"Asia/Beirut", "2026-03-29"},
		{"Pacific/Apia", "2011-12-30"},
		{"Asia/Shanghai", "1991-09-15"},
		{"Asia/Kathmandu", "2026-05-01"},
		{"America/Sao_Paulo", "2018-11-04"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		date, err := time.Parse(time.DateOnly, c.date)
		if err != nil {
			t.Fatal(err)
		}
		p := newPlain(zone, date.AddDate(0, 0, -4), 8)
		for range 6 {
			h := &Hours{zone: zone, schedule: Schedule{Dates: map[string]Exception{}}}
			period := func() Period {
				from := rng.IntN(dayMinutes)
				if rng.IntN(2) == 0 {
					from = rng.IntN(240) // clocks are set at night
				}
				length := 1 + rng.IntN(dayMinutes)
				if rng.IntN(2) == 0 {
					length = 1 + rng.IntN(120)
				}
				return Period{From: from, To: from + length}
			}
			for day := range h.schedule.Week {
				for range rng.IntN(3) {
					h.schedule.Week[day] = append(h.schedule.Week[day], period())
				}
			}
			exception, as := date.AddDate(0, 0, rng.IntN(3)-1).Format(time.DateOnly), time.Weekday(rng.IntN(7))
			switch rng.IntN(3) {
			case 0:
				h.schedule.Dates[exception] = Exception{}
			case 1:
				h.schedule.Dates[exception] = Exception{As: &as}
			default:
				h.schedule.Dates[exception] = Exception{Periods: []Period{period()}}
			}
			on := p.active(h)
			// At the ends of what was looked at the plain function does not see all.
			for i := 2 * dayMinutes; i < len(on)-2*dayMinutes; i++ {
				now := p.from.Add(time.Duration(i) * time.Minute)
				got, ended := h.At(now)
				if got != on[i] {
					t.Fatalf("%s at %v, %+v: active is %t", c.zone, now.In(zone), h.schedule, got)
				}
				if on[i-1] && !on[i] {
					changes++
					if !ended.Equal(now) {
						t.Fatalf("%s at %v, %+v: ended at %v", c.zone, now.In(zone), h.schedule, ended.In(zone))
					}
				}
			}
		}
	}
	if changes < 100 {
		t.Errorf("only %d periods ended: the test shows little", changes)
	}
}

func TestWhatIsNoSchedule(t *testing.T) {
	for _, text := range []string{"", "mon", "mon 8:00-9:00", "mon 08:00", "mon 08:00-25:00", "mon 24:00-06:00", "noday 08:00-09:00", "mon- 08:00-09:00", "mon 08:00-09:60"} {
		if err := (&Schedule{}).AddWeek(text); err == nil {
			t.Errorf("%q was accepted as weekly hours", text)
		}
	}
	for _, text := range []string{"", "2026-12-25", "2026-13-01 off", "2026-12-25 of", "2026-12-25 as holiday", "2026-12-25..2026-12-24 off", "25.12.2026 off", "2026-01-01..2028-01-01 off"} {
		if err := (&Schedule{}).AddDate(text); err == nil {
			t.Errorf("%q was accepted as an exception", text)
		}
	}
	s := &Schedule{}
	if err := s.AddDate("2026-12-25 off"); err != nil {
		t.Fatal(err)
	}
	if err := s.AddDate("2026-12-25 08:00-09:00"); err == nil {
		t.Error("a date was accepted that is off and has hours")
	}
	if _, err := (Schedule{Zone: "Mars/Olympus"}).Hours(); err == nil {
		t.Error("an unknown time zone was accepted")
	}
}
