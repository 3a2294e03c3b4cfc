package health

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"
)

// pattern is a frame with edges in all directions.
func pattern(w, h, shift int) []byte {
	out := make([]byte, w*h)
	for y := range h {
		for x := range w {
			v := 120 + 50*math.Sin(float64((x+shift)*(x+shift)+3*y*y)/4000) + 40*math.Sin(float64(x+shift)/9+float64(y)/13)
			out[y*w+x] = byte(v)
		}
	}
	return out
}

func TestSamplesAreBounded(t *testing.T) {
	for _, size := range [][2]int{{384, 288}, {442, 248}, {192, 144}, {16, 16}, {2000, 16}, {16, 2000}, {80, 45}, {288, 512}, {1, 1}} {
		w, h := size[0], size[1]
		var sampler Sampler
		for range 2 {
			s := sampler.Sample(make([]byte, w*h), w, h, 0, true)
			if err := s.Check(); err != nil {
				t.Errorf("%v: %v", size, err)
			}
			if s.Width > 150 || s.Height > 150 || len(s.Gray) > 6000 {
				t.Errorf("%v: a thumbnail of %dx%d", size, s.Width, s.Height)
			}
		}
	}
	if s := new(Sampler).Sample(make([]byte, 10), 384, 288, 0, true); s.Decoded() {
		t.Error("ten bytes were taken for a frame")
	}
}

func TestSampleMeasures(t *testing.T) {
	const w, h = 160, 90
	gray := bytes.Repeat([]byte{100}, w*h)
	for y := range 10 { // a checkerboard in the first cell
		for x := range 10 {
			gray[y*w+x] = byte(100 + 10*((x+y)%2))
		}
	}
	var sampler Sampler
	if s := sampler.Sample(gray, w, h, 0, true); len(s.Changed) != 0 || s.Fine[0] < 16*150 || s.Fine[1] != 0 || s.Gray[0] != 105 || s.Gray[79] != 100 {
		t.Errorf("first: %+v", s)
	}
	gray[w*h-1]++
	if s := sampler.Sample(gray, w, h, 0, false); len(s.Changed) != 0 { // the last one was encoded otherwise
		t.Errorf("changes %v", s.Changed)
	}
	if s := sampler.Sample(gray, w, h, 0, true); s.Changed[len(s.Changed)-1] != 1 || s.Changed[0] != 0 {
		t.Errorf("changes %v", s.Changed)
	}
	gray[0] += artefacts
	gray[w*h-1] += artefacts + 1
	if s := sampler.Sample(gray, w, h, 0, false); s.Changed[len(s.Changed)-1] != 1 || s.Changed[0] != 0 {
		t.Errorf("changes without those of encoding: %v", s.Changed)
	}
}

func TestSamplesComeAboutOnceASecond(t *testing.T) {
	for name, test := range map[string]struct {
		fps, gop, analysed float64 // analysed: frames in a second
		least, most        int     // samples in a minute
	}{
		"usual":                {25, 50, 10, 55, 75},
		"only keyframes":       {25, 50, 0.5, 40, 75},
		"each frame by itself": {10, 1, 10, 55, 65},
		"slow":                 {0.2, 10, 0.2, 12, 12},
	} {
		var sampler Sampler
		n, credit := 0, 1.0
		for i := range int(60 * test.fps) {
			pts := time.Hour + time.Duration(float64(i)/test.fps*float64(time.Second))
			credit += test.analysed / test.fps
			analysed := credit >= 1
			if analysed {
				credit--
			}
			if intra := i%int(test.gop) == 0; sampler.Due(pts, intra, analysed) {
				sampler.Sample(make([]byte, 160*90), 160, 90, pts, intra)
				n++
			}
		}
		if n < test.least || n > test.most {
			t.Errorf("%s: %d samples in a minute", name, n)
		}
	}
}

func TestMissing(t *testing.T) {
	var sampler Sampler
	n := 0
	for i := range 100 { // ten seconds
		if sampler.Missing(time.Duration(i) * time.Second / 10) {
			n++
		}
	}
	if n != 4 {
		t.Errorf("%d samples of nothing", n)
	}
}

// learned returns a monitor that has learned a pattern.
func learned(t *testing.T) (*Monitor, *Sampler) {
	t.Helper()
	m, sampler := NewMonitor(Options{Tolerance: 0.04, Relearn: time.Hour}), &Sampler{}
	for range 30 {
		m.Judge(sampler.Sample(pattern(160, 90, 0), 160, 90, 0, true), time.Second)
	}
	if m.Memory() == nil || m.Revision() == 0 {
		t.Fatal("nothing has been learned")
	}
	return m, sampler
}

// verdict returns what a monitor says of a pattern that has been there for some time.
func verdict(m *Monitor, shift int) (f Findings) {
	var sampler Sampler
	for range 30 {
		f = m.Judge(sampler.Sample(pattern(160, 90, shift), 160, 90, 0, false), time.Second)
	}
	return f
}

func TestMemory(t *testing.T) {
	m, _ := learned(t)
	data := m.Memory()
	if len(data) > 20_000 {
		t.Errorf("%d bytes for one reference", len(data))
	}
	restored := NewMonitor(Options{Tolerance: 0.04, Relearn: time.Hour})
	if err := restored.Restore(data); err != nil {
		t.Fatal(err)
	}
	if f := verdict(restored, 0); f.Verdicts[Moved] != Absent || f.Verdicts[Covered] != Absent || f.Verdicts[Blurred] != Absent {
		t.Errorf("the same view: %v", f)
	}
	f := verdict(restored, 16)
	if f.Verdicts[Moved] != Present || math.Abs(f.Shift.X+0.1) > 0.02 || f.Shift.Y != 0 {
		t.Errorf("a tenth aside: %v", f)
	}
	// In the middle of a move, too.
	again := NewMonitor(Options{Tolerance: 0.04, Relearn: time.Hour})
	if err := again.Restore(restored.Memory()); err != nil {
		t.Fatal(err)
	}
	if f := verdict(again, 16); f.Verdicts[Moved] != Present || !again.Accept() {
		t.Errorf("after a restart: %v", f)
	}
	if f := verdict(again, 16); f.Verdicts[Moved] != Absent || again.Accept() {
		t.Errorf("the new view: %v", f)
	}
}

// FuzzRestore: no stored data and no sample of a hostile worker can do more than be refused.
func FuzzRestore(f *testing.F) {
	m, sampler := NewMonitor(Options{Tolerance: 0.04, Relearn: time.Hour}), &Sampler{}
	for range 30 {
		m.Judge(sampler.Sample(pattern(160, 90, 0), 160, 90, 0, true), time.Second)
	}
	sample, err := json.Marshal(sampler.Sample(pattern(160, 90, 0), 160, 90, 0, true))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.Memory(), sample)
	f.Add([]byte(`{"width":9223372036854775807,"height":2}`), []byte(`{"width":10,"height":-10}`))
	f.Add([]byte(`{"width":10,"height":10,"references":[{}]}`), []byte(`{"gray":"AA=="}`))
	f.Fuzz(func(t *testing.T, memory, sample []byte) {
		m := NewMonitor(Options{Tolerance: 0.04, Relearn: time.Hour})
		if err := m.Restore(memory); err != nil && m.Memory() != nil {
			t.Fatal("a part of what is damaged was taken over")
		}
		var s Sample
		if json.Unmarshal(sample, &s) != nil || s.Check() != nil {
			return
		}
		for range 3 {
			m.Judge(&s, time.Second)
		}
	})
}

func BenchmarkSampler(b *testing.B) {
	gray := pattern(442, 248, 0)
	var sampler Sampler
	for b.Loop() {
		sampler.Sample(gray, 442, 248, 0, true)
	}
}

func BenchmarkMonitor(b *testing.B) {
	for name, shift := range map[string]int{"quiet": 0, "moved": 40} {
		b.Run(name, func(b *testing.B) {
			m, sampler := NewMonitor(Options{Tolerance: 0.04, Relearn: time.Hour}), &Sampler{}
			for range 30 {
				m.Judge(sampler.Sample(pattern(442, 248, 0), 442, 248, 0, true), time.Second)
			}
			data, err := json.Marshal(sampler.Sample(pattern(442, 248, shift), 442, 248, 0, true))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				var s Sample
				if err := json.Unmarshal(data, &s); err != nil {
					b.Fatal(err)
				}
				m.Judge(&s, time.Second)
			}
		})
	}
}

func TestClock(t *testing.T) {
	arrived := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for ahead, want := range map[time.Duration]Verdict{
		0: Absent, -400 * time.Millisecond: Absent, 7 * time.Second: Unknown, 11 * time.Second: Present, -time.Minute: Present,
		8 * time.Hour: Absent, 5*time.Hour + 45*time.Minute: Absent, 8*time.Hour + time.Minute: Present, 24 * time.Hour: Present, -20 * 365 * 24 * time.Hour: Present,
		-50 * 365 * 24 * time.Hour: Unknown, -120 * 365 * 24 * time.Hour: Unknown,
	} {
		if got, _ := JudgeClock(arrived.Add(ahead), arrived); got != want {
			t.Errorf("%v ahead: %v, want %v", ahead, got, want)
		}
	}
	if got, _ := JudgeClock(time.Time{}, arrived); got != Unknown {
		t.Error("a time that is not known was judged")
	}
}
