package vision

import (
	"image"
	"testing"
)

// present returns in how many of the frames something overlaps box.
func present(frames [][]image.Rectangle, box image.Rectangle) int {
	n := 0
	for _, found := range frames {
		for _, b := range found {
			if b.Overlaps(box) {
				n++
				break
			}
		}
	}
	return n
}

func TestWhatComesAndStandsStaysPresent(t *testing.T) {
	m, s := newMotion(t), newScene()
	s.paint = 200
	watch(t, m, s, 50, nil)
	watch(t, m, s, 20, func(i int) { s.object = image.Rect(20+5*i, 100, 44+5*i, 150) })
	standing := s.object
	const seconds = 40
	if n := present(watch(t, m, s, seconds*testRate, nil), standing); n < seconds*testRate*95/100 {
		t.Errorf("it stood for %d frames and was seen in %d", seconds*testRate, n)
	}
	gone := watch(t, m, s, 30, func(i int) { s.object = standing.Add(image.Pt(8*(i+1), 0)) })
	s.object = image.Rectangle{}
	after := watch(t, m, s, 50, nil)
	if n := present(append(gone[20:], after...), standing); n > 0 {
		t.Errorf("after it had gone it was seen in %d frames", n)
	}
}

func TestWhatIsTakenAwayIsNoGhost(t *testing.T) {
	m, s := newMotion(t), newScene()
	s.paint, s.object = 30, image.Rect(150, 100, 180, 160)
	away := s.object
	watch(t, m, s, 100, nil) // it has always been there
	s.object = image.Rectangle{}
	frames := watch(t, m, s, 50, nil)
	if n := present(frames[testRate*3/2:], away); n > 0 {
		t.Errorf("it is gone and was seen in %d frames later than 1.5 s", n)
	}
	s.object = away // and back at its place
	if n := present(watch(t, m, s, 50, nil), away); n > 2 {
		t.Errorf("it is back and was seen in %d frames", n)
	}
}

func TestABackgroundIsNotLearnedFromNoise(t *testing.T) {
	m, s := newMotion(t), newScene()
	for i := range s.noise {
		s.noise[i] *= 6 // at night
	}
	nothing(t, watch(t, m, s, 60, nil))
	s.paint = 220
	at := func(i int) { s.object = image.Rect(20+5*i, 100, 50+5*i, 160) }
	if n := present(watch(t, m, s, 40, at), image.Rect(0, 0, testW, testH)); n < 35 {
		t.Errorf("it moved for 40 frames and was seen in %d", n)
	}
}
