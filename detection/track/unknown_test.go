package track

import (
	"testing"
	"time"

	"gridpost/detection"
)

// looked returns a frame that a model has looked at.
func looked(at time.Duration, moving []detection.Box, found ...detection.Detection) detection.Frame {
	return detection.Frame{Session: 1, PTS: at, Time: time.Unix(0, 0).Add(at), Modelled: true, Moving: moving, Detections: found}
}

func TestATableDoesNotHideAPerson(t *testing.T) {
	tr := New(Options{})
	table := detection.Detection{Class: "dining table", Score: 0.4, Box: detection.Box{X: 0.3, Y: 0.4, W: 0.4, H: 0.55}}
	at := time.Duration(0)
	for ; at < 2*time.Minute; at += 500 * time.Millisecond { // the floor of a quiet site
		tr.Update(looked(at, nil, table))
	}
	began := at
	for ; at < began+5*time.Second; at += 200 * time.Millisecond {
		person := detection.Detection{Class: "person", Score: 0.75, Box: detection.Box{X: 0.45, Y: 0.5, W: 0.1, H: 0.3}}
		person.Box.X += 0.02 * (at - began).Seconds()
		for _, k := range tr.Update(looked(at, []detection.Box{person.Box}, table, person)) {
			if k.Class == "person" && k.Moving && k.Modelled {
				if late := at - began; late > time.Second {
					t.Errorf("the person is a track after %v", late)
				}
				return
			}
		}
	}
	t.Error("the person was never a track")
}

func TestWhatNeverMovedBelongsToTheScene(t *testing.T) {
	tr := New(Options{})
	table := detection.Detection{Class: "dining table", Score: 0.4, Box: detection.Box{X: 0.3, Y: 0.4, W: 0.4, H: 0.55}}
	var got []detection.Track
	for at := time.Duration(0); at < 5*time.Minute; at += 500 * time.Millisecond {
		got = tr.Update(looked(at, nil, table))
	}
	if len(got) != 0 {
		t.Errorf("after five minutes without motion: %+v", got)
	}
}

func TestWhatTheModelDoesNotKnowIsMotion(t *testing.T) {
	tr := New(Options{})
	var got []detection.Track
	for i := range 20 {
		box := detection.Box{X: 0.4, Y: 0.8 - 0.03*float64(i), W: 0.15, H: 0.2}
		got = tr.Update(looked(time.Duration(i)*200*time.Millisecond, []detection.Box{box}))
		if i < 5 && len(got) > 0 {
			t.Errorf("after %d frames it is a track: %+v", i+1, got)
		}
	}
	if len(got) != 1 || got[0].Class != detection.Motion || !got[0].Modelled || !got[0].Moving {
		t.Errorf("got %+v, want one track of class motion", got)
	}
}

func TestWhatTheModelKnowsIsNoMotion(t *testing.T) {
	tr := New(Options{})
	var got []detection.Track
	for i := range 30 {
		box := detection.Box{X: 0.4, Y: 0.8 - 0.02*float64(i), W: 0.15, H: 0.2}
		f := looked(time.Duration(i)*200*time.Millisecond, []detection.Box{box})
		if i%3 > 0 { // the model misses it in one frame of three
			f.Detections = []detection.Detection{{Class: "car", Score: 0.3 + 0.1*float64(i%5), Box: box}}
		}
		got = tr.Update(f)
	}
	if len(got) != 1 || got[0].Class != "car" || got[0].Score < 0.4 || got[0].Score > 0.65 {
		t.Errorf("got %+v, want one car with the median of its scores", got)
	}
}
