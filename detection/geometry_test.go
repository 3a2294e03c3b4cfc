package detection

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestJSONForms(t *testing.T) {
	for _, c := range []struct {
		in   string
		into any
		want string // of the value; or of the error, after "!"
	}{
		{"[0.1,0.2,0.3,0.4]", new(Box), "[0.1,0.2,0.3,0.4]"},
		{"[1,2]", new(Point), "[1,2]"},
		{"null", new(Box), "[0,0,0,0]"},
		{"[1,2,3]", new(Box), "!got 3 numbers"},
		{"[1,2,3,4,5]", new(Box), "!got 5 numbers"},
		{"[1]", new(Point), "!got 1 numbers"},
		{"[1,null]", new(Point), "!number 2 is null"},
		{`{"x":1}`, new(Point), "!reading [x, y]"},
		{`["1","2"]`, new(Point), "!reading [x, y]"},
		{"[1e999,0]", new(Point), "!reading [x, y]"},
	} {
		err := json.Unmarshal([]byte(c.in), c.into)
		if want, bad := strings.CutPrefix(c.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s into %T: got error %v, want one with %q", c.in, c.into, err, want)
			}
			continue
		}
		got, merr := json.Marshal(c.into)
		if err != nil || merr != nil || string(got) != c.want {
			t.Errorf("%s into %T: got %s, %v, %v", c.in, c.into, got, err, merr)
		}
	}
	if _, err := json.Marshal(Box{X: math.NaN()}); err == nil {
		t.Error("a box that is not a number was written")
	}
	inc, err := json.Marshal(Incident{Box: &Box{0.5, 0.5, 0.25, 0.125}})
	if err != nil || !strings.Contains(string(inc), `"box":[0.5,0.5,0.25,0.125]`) {
		t.Errorf("incident: %s, %v", inc, err)
	}
}

func TestBoxes(t *testing.T) {
	a, b := Box{0, 0, 0.4, 0.4}, Box{0.2, 0.2, 0.4, 0.4}
	if got := a.IoU(b); math.Abs(got-0.04/0.28) > 1e-12 {
		t.Errorf("IoU = %g", got)
	}
	if got := a.CoveredBy(b); math.Abs(got-0.25) > 1e-12 {
		t.Errorf("Covered = %g", got)
	}
	if got, want := a.Union(b), (Box{0, 0, 0.6000000000000001, 0.6000000000000001}); got != want {
		t.Errorf("Union = %v", got)
	}
	if far := (Box{0.5, 0.5, 0.1, 0.1}); a.IoU(far) != 0 || a.Intersection(far) != (Box{}) {
		t.Error("boxes apart share something")
	}
	for _, bad := range []Box{
		{},
		{0, 0, -0.1, 0.1},
		{0.95, 0, 0.1, 0.1},
		{-0.1, 0, 0.2, 0.2},
		{math.NaN(), 0, 0.1, 0.1},
		{0, 0, math.Inf(1), 0.1},
		{0, math.Inf(-1), 0.1, 0.1},
		{0, 0, 0.1, math.NaN()},
	} {
		if bad.Valid() {
			t.Errorf("%v is valid", bad)
		}
	}
	if !(Box{0.9, 0.9, 0.1, 0.1}).Valid() || !(Box{0, 0, 1, 1}).Valid() {
		t.Error("boxes that reach the frame's edge are refused")
	}
}

func TestPolygonContains(t *testing.T) {
	yard := Polygon{{0.1, 0.4}, {0.9, 0.4}, {0.9, 1}, {0.1, 1}}
	notched := Polygon{{0, 0}, {1, 0}, {1, 1}, {0.5, 0.2}, {0, 1}} // the wedge from below is outside
	for _, c := range []struct {
		p    Polygon
		q    Point
		want bool
	}{
		{yard, Point{0.5, 0.7}, true},
		{yard, Point{0.5, 1}, true}, // the foot of a box that is cut off by the frame
		{yard, Point{0.1, 0.4}, true},
		{yard, Point{0.9, 0.7}, true},
		{yard, Point{0.5, 0.39}, false},
		{yard, Point{0.05, 0.4}, false},
		{yard, Point{0.95, 1}, false},
		{notched, Point{0.5, 0.1}, true},
		{notched, Point{0.5, 0.5}, false},
		{notched, Point{0.05, 0.5}, true},
		{notched, Point{0.95, 0.5}, true},
		{yard, Point{math.NaN(), 0.7}, false},
		{yard, Point{0.5, math.Inf(1)}, false},
		{nil, Point{0.5, 0.5}, false},
		{Polygon{{0.5, 0.5}}, Point{0.4, 0.5}, false},
	} {
		if got := c.p.Contains(c.q); got != c.want {
			t.Errorf("%v contains %v: %v", c.p, c.q, got)
		}
	}
}

func TestPolygonCheck(t *testing.T) {
	square := Polygon{{0, 0}, {1, 0}, {1, 1}, {0, 1}}
	for _, c := range []struct {
		p    Polygon
		want string // "" for a good one
	}{
		{square, ""},
		{Polygon{{0, 0}, {0.5, 0}, {1, 0}, {1, 1}}, ""}, // a corner on a straight edge
		{Polygon{{0, 0}, {1, 0}, {1, 1}, {0.5, 0.2}, {0, 1}}, ""},
		{square[:2], "2 corners, expected 3 to 32"},
		{make(Polygon, 33), "33 corners, expected 3 to 32"},
		{Polygon{{0, 0}, {1, 1}, {1, 0}, {0, 1}}, "an intersection of the edges from corner 1 and from corner 3"},
		{Polygon{{0, 0}, {1, 0}, {0.5, 0}}, "an intersection of the edges"},
		{Polygon{{0, 0}, {1, 0}, {0.5, 0.5}, {0.5, 0}, {0, 0.5}}, "an intersection of the edges"}, // a corner on another edge
		{Polygon{{0, 0}, {0, 0}, {1, 1}}, "corners 1 and 2 at the same point"},
		{Polygon{{0, 0}, {1, 0}, {1, 1}, {0, 0}}, "corners 4 and 1 at the same point"},
		{Polygon{{0, 0}, {1.1, 0}, {1, 1}}, "corner 2 [1.1, 0] outside the frame"},
		{Polygon{{0, 0}, {math.NaN(), 0}, {1, 1}}, "corner 2 [NaN, 0] outside the frame"},
		{Polygon{{0, 0}, {math.Inf(1), 0}, {1, 1}}, "outside the frame"},
	} {
		err := c.p.Check()
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: got %v, want %q", c.p, err, c.want)
		}
	}
}

func TestSegments(t *testing.T) {
	s := Segment{Point{0.2, 0.5}, Point{0.8, 0.5}}
	if d := s.SignedDistance(Point{0.5, 0.7}); math.Abs(d-0.2) > 1e-12 {
		t.Errorf("below a line drawn to the right: %g, want 0.2", d)
	}
	if d := s.SignedDistance(Point{0, 0.3}); math.Abs(d+0.2) > 1e-12 {
		t.Errorf("above, beyond its end: %g, want -0.2", d)
	}
	at, ok := s.CrossingAt(Point{0.5, 0.4}, Point{0.5, 0.6})
	if !ok || math.Abs(at-0.5) > 1e-12 {
		t.Errorf("met at %g, %v", at, ok)
	}
	if at, ok = s.CrossingAt(Point{0.95, 0.4}, Point{0.95, 0.6}); !ok || math.Abs(at-1.25) > 1e-12 {
		t.Errorf("beyond its end: met at %g, %v", at, ok)
	}
	if _, ok = s.CrossingAt(Point{0.5, 0.4}, Point{0.6, 0.45}); ok {
		t.Error("met without changing sides")
	}
	if _, ok = (Segment{}).CrossingAt(Point{0.5, -0.4}, Point{0.5, 0.6}); ok {
		t.Error("a line without length was met")
	}
}

// FuzzGeometry holds that no numbers, however odd, panic or contradict each other.
func FuzzGeometry(f *testing.F) {
	nan, inf := math.NaN(), math.Inf(1)
	f.Add(0.1, 0.4, 0.9, 0.4, 0.9, 1.0, 0.1, 1.0, 0.5, 0.7)
	f.Add(nan, 0.4, inf, 0.4, 0.9, -inf, 0.1, 1.0, nan, nan)
	f.Add(math.MaxFloat64, -math.MaxFloat64, 5e-324, 0.0, 1e300, 1e-300, math.Copysign(0, -1), 0.0, 1e308, 1e308)
	f.Add(0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.5, 0.5)
	f.Fuzz(func(t *testing.T, ax, ay, bx, by, cx, cy, dx, dy, qx, qy float64) {
		p := Polygon{{ax, ay}, {bx, by}, {cx, cy}, {dx, dy}}
		q := Point{qx, qy}
		inside := p.Contains(q)
		if inside && !finite(qx, qy) {
			t.Errorf("%v contains %v", p, q)
		}
		if err := p.Check(); err == nil {
			for _, c := range p {
				if !c.InFrame() {
					t.Errorf("%v passed with a corner outside", p)
				}
			}
			if inside && !(qx > -0.01 && qx < 1.01 && qy > -0.01 && qy < 1.01) {
				t.Errorf("%v contains %v, which outside the frame", p, q)
			}
			for _, c := range p {
				if !p.Contains(c) {
					t.Errorf("%v does not contain its corner %v", p, c)
				}
			}
		}
		a, b := Box{ax, ay, bx, by}, Box{cx, cy, dx, dy}
		if a.Valid() && b.Valid() {
			if iou := a.IoU(b); !(iou >= 0 && iou <= 1+1e-9) || math.Abs(iou-b.IoU(a)) > 1e-9 {
				t.Errorf("IoU of %v and %v is %g", a, b, iou)
			}
			if c := a.CoveredBy(b); !(c >= 0 && c <= 1+1e-9) {
				t.Errorf("%v covered by %v: %g", a, b, c)
			}
		}
		s := Segment{p[0], p[1]}
		if at, ok := s.CrossingAt(p[2], p[3]); ok && finite(ax, ay, bx, by, cx, cy, dx, dy) && p[2].InFrame() && p[3].InFrame() &&
			p[0].InFrame() && p[1].InFrame() && s.Length() > 1e-6 && !finite(at) {
			t.Errorf("%v met at %g", s, at)
		}
		text, err := json.Marshal(a)
		if (err == nil) != finite(ax, ay, bx, by) {
			t.Errorf("writing %v: %v", a, err)
		}
		if err == nil {
			var back Box
			if err := json.Unmarshal(text, &back); err != nil || back != a {
				t.Errorf("%v came back as %v, %v", a, back, err)
			}
		}
	})
}

// FuzzFormsFromOutside holds that any JSON is read or refused, and that what was read can be written.
func FuzzFormsFromOutside(f *testing.F) {
	for _, seed := range []string{"[0,0,1,1]", "[0.1,0.2]", "null", "[[0]]", `{"X":1}`, "[1e308,1,2,3]", "[", "[1,2,3,4]garbage"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b Box
		if json.Unmarshal(data, &b) == nil {
			if _, err := json.Marshal(b); err != nil {
				t.Errorf("%s was read but cannot be written: %v", data, err)
			}
			_, _ = b.Valid(), b.Foot()
		}
		var p Point
		if json.Unmarshal(data, &p) == nil {
			if _, err := json.Marshal(p); err != nil {
				t.Errorf("%s was read but cannot be written: %v", data, err)
			}
		}
	})
}
