package rules

import (
	"time"

	"gridpost/detection"
)

// ongoing is the incident of a rule that has one at a time: it is open while the rule's condition holds, and
// for a clear time after that. It has the methods of a Judge; the rule adds Frame and Tick.
type ongoing struct {
	opener   Opener
	clear    time.Duration
	open     *OpenIncident
	last     time.Duration // when the condition held last, by the clock of frames
	restored bool          // open was restored, and no frame has come since
}

// Open implements Judge.
func (o *ongoing) Open() []detection.Incident { return openOf(o.open) }

// Restore implements Judge. The clear time of the incident starts anew with the first frame.
func (o *ongoing) Restore(inc detection.Incident) bool {
	if o.open != nil {
		return false
	}
	o.open, o.restored = &OpenIncident{Incident: inc}, true
	return true
}

// frame is called before anything else at each frame.
func (o *ongoing) frame(now time.Duration) {
	if o.restored {
		o.restored, o.last = false, now
	}
}

// met notes that the condition holds at the frame of time at. It returns the incident if it opens by that.
func (o *ongoing) met(now time.Duration, at time.Time) (opened *OpenIncident) {
	o.last = now
	if o.open != nil {
		o.open.Touch(at)
		return nil
	}
	o.open = o.opener.Open(now, at)
	return o.open
}

// metBy notes that tr meets the condition, for the first time if first. It returns the alert if the incident
// opens by that.
func (o *ongoing) metBy(now time.Duration, at time.Time, tr detection.Track, first bool) []detection.Incident {
	if opened := o.met(now, at); opened != nil {
		opened.Show(tr)
		return []detection.Incident{opened.Alert()}
	}
	switch inc := &o.open.Incident; {
	case first:
		inc.Count++
		o.open.Changed()
	case tr.ID == inc.TrackID && tr.Class != inc.Class: // more frames have shown it better
		inc.Class = tr.Class
		o.open.Changed()
	}
	return nil
}

// settle is called after anything else at each frame. It returns the alert that closes the incident or reports
// a change of it.
func (o *ongoing) settle(now time.Duration, at time.Time) []detection.Incident {
	if o.open == nil {
		return nil
	}
	if over := now - o.last - o.clear; over >= 0 {
		return []detection.Incident{o.close(at.Add(-over))}
	}
	return o.open.Change(now)
}

// blind reports whether no frame has come for so long that nobody knows whether the condition still holds.
func (o *ongoing) blind(t Tick) bool { return t.SinceFrame >= o.clear+blindAfter }

// abandon closes the incident because nobody knows whether its condition still holds.
func (o *ongoing) abandon(t Tick) []detection.Incident {
	if o.open == nil {
		return nil
	}
	return []detection.Incident{o.close(t.Now)}
}

func (o *ongoing) close(at time.Time) detection.Incident {
	inc := o.open.Close(at)
	o.open = nil
	return inc
}
