package decode

import (
	"errors"
	"time"

	"gridpost/devices"
	"gridpost/devices/payload"
)

// Codes of the causes why a reading has the time of its arrival although its sensor sends one.
const (
	codeTimeUnreadable  = "reading_time_unreadable"
	codeTimeImplausible = "reading_time_implausible"
)

// noTimeAt is the warning of a document that has nothing at the path of its time.
func noTimeAt(p Path) warning {
	return wrongClock(func() devices.Cause {
		return devices.NewCause(codeTimeUnreadable).Because(devices.NewCause("time_absent", "path", p.String()))
	})
}

// timeCause returns why a time cannot be read, and what a person can do about it.
func timeCause(err error) devices.Cause {
	switch {
	case errors.Is(err, payload.ErrNoZone):
		return devices.NewCause("time_zone_missing")
	case errors.Is(err, payload.ErrNotFormat):
		return devices.NewCause("time_not_format")
	case errors.Is(err, payload.ErrNotText):
		return devices.NewCause("time_not_text")
	}
	return devices.NewCause("time_form_unknown")
}

// time returns when a document was measured; zero: it does not say. warn says why what it says cannot be
// used. sent is what its format found.
func (m *ValueMapping) time(document any, sent time.Time, msg devices.Message) (at time.Time, warn warning) {
	if m.Time.IsZero() {
		if sent.IsZero() {
			return sent, warning{}
		}
		return believed(sent, msg, sent.UTC().Format(time.RFC3339))
	}
	v, found := m.Time.in(document, m.Encoding)
	if !found {
		return time.Time{}, noTimeAt(m.Time)
	}
	text, _ := scalar(v)
	var err error
	if m.Date.IsZero() {
		at, err = m.Times.Time(v, msg.Received)
	} else {
		date, found := m.Date.in(document, m.Encoding)
		if !found {
			return time.Time{}, noTimeAt(m.Date)
		}
		day, _ := scalar(date)
		text = day + " " + text
		at, err = m.Times.TwoFields(date, v, msg.Received)
	}
	if err != nil {
		return time.Time{}, wrongClock(func() devices.Cause {
			return devices.NewCause(codeTimeUnreadable, "excerpt", excerpt(text)).Because(timeCause(err))
		})
	}
	return believed(at, msg, text)
}

// believed returns a time that can be right, or why it cannot. A retained message may be of any age.
func believed(at time.Time, msg devices.Message, text string) (time.Time, warning) {
	switch {
	case payload.Plausible(at, msg.Received):
		return at, warning{}
	case msg.Retained && at.Before(msg.Received):
		return time.Time{}, warning{}
	}
	return time.Time{}, wrongClock(func() devices.Cause { return devices.NewCause(codeTimeImplausible, "excerpt", excerpt(text)) })
}
