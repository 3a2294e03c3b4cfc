package detection

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// edgeTolerance is how far outside a polygon's edge a point still counts as inside, in
// fractions of the frame. Boxes are clipped to the frame, so that feet lie exactly on
// y = 1, where zones end too; rounding must not decide there.
const edgeTolerance = 1e-9

// Bounds of a polygon's corners.
const (
	MinCorners = 3
	MaxCorners = 32
)

// Valid reports whether b is finite, lies within the frame and has an area.
func (b Box) Valid() bool {
	const slack = 1e-6 // sums of rounded pixels over a width
	return finite(b.X, b.Y, b.W, b.H) &&
		b.W > 0 && b.H > 0 && b.X >= -slack && b.Y >= -slack &&
		b.X+b.W <= 1+slack && b.Y+b.H <= 1+slack
}

// Intersection returns the part that b and o share; the zero Box if there is none.
func (b Box) Intersection(o Box) Box {
	x0, y0 := math.Max(b.X, o.X), math.Max(b.Y, o.Y)
	x1, y1 := math.Min(b.X+b.W, o.X+o.W), math.Min(b.Y+b.H, o.Y+o.H)
	if !(x1 > x0 && y1 > y0) {
		return Box{}
	}
	return Box{x0, y0, x1 - x0, y1 - y0}
}

// Union returns the smallest box around b and o.
func (b Box) Union(o Box) Box {
	x0, y0 := math.Min(b.X, o.X), math.Min(b.Y, o.Y)
	x1, y1 := math.Max(b.X+b.W, o.X+o.W), math.Max(b.Y+b.H, o.Y+o.H)
	return Box{x0, y0, x1 - x0, y1 - y0}
}

// IoU returns the area of the intersection of b and o over that of their union, 0..1.
func (b Box) IoU(o Box) float64 {
	shared := b.Intersection(o).Area()
	all := b.Area() + o.Area() - shared
	if !(all > 0) {
		return 0
	}
	return shared / all
}

// CoveredBy returns the fraction of b that lies within o, 0..1.
func (b Box) CoveredBy(o Box) float64 {
	area := b.Area()
	if !(area > 0) {
		return 0
	}
	return b.Intersection(o).Area() / area
}

// MarshalJSON writes b as [x, y, w, h]. A number that is not finite is an error.
func (b Box) MarshalJSON() ([]byte, error) {
	return json.Marshal([4]float64{b.X, b.Y, b.W, b.H})
}

// UnmarshalJSON reads [x, y, w, h]. It does not check the numbers; see Valid.
func (b *Box) UnmarshalJSON(data []byte) error {
	n, err := numbers(data, 4, "[x, y, w, h]")
	if err != nil || n == nil {
		return err
	}
	*b = Box{n[0], n[1], n[2], n[3]}
	return nil
}

// MarshalJSON writes p as [x, y]. A number that is not finite is an error.
func (p Point) MarshalJSON() ([]byte, error) {
	return json.Marshal([2]float64{p.X, p.Y})
}

// UnmarshalJSON reads [x, y]. It does not check the numbers; see InFrame.
func (p *Point) UnmarshalJSON(data []byte) error {
	n, err := numbers(data, 2, "[x, y]")
	if err != nil || n == nil {
		return err
	}
	*p = Point{n[0], n[1]}
	return nil
}

// numbers reads a JSON array of exactly want numbers; nil for null, which by the convention of
// encoding/json changes nothing.
func numbers(data []byte, want int, form string) ([]float64, error) {
	if string(data) == "null" {
		return nil, nil
	}
	var n []*float64
	if err := json.Unmarshal(data, &n); err != nil {
		return nil, fmt.Errorf("reading %s: %w", form, err)
	}
	if len(n) != want {
		return nil, fmt.Errorf("reading %s: got %d numbers", form, len(n))
	}
	out := make([]float64, want)
	for i, v := range n {
		if v == nil {
			return nil, fmt.Errorf("reading %s: number %d is null", form, i+1)
		}
		out[i] = *v
	}
	return out, nil
}

// InFrame reports whether p is finite and within 0..1 in both directions.
func (p Point) InFrame() bool {
	return p.X >= 0 && p.X <= 1 && p.Y >= 0 && p.Y <= 1 // false for NaN
}

// Distance returns the distance of o from p, in fractions of the frame.
func (p Point) Distance(o Point) float64 { return math.Hypot(o.X-p.X, o.Y-p.Y) }

// Polygon is an area of the frame, by its corners in order.
type Polygon []Point

// Check returns why p is not an area: too few or too many corners, a corner outside the frame,
// edges that cross or touch each other, or no area. The error completes the phrase "found ...".
func (p Polygon) Check() error {
	if len(p) < MinCorners || len(p) > MaxCorners {
		return fmt.Errorf("%d corners, expected %d to %d", len(p), MinCorners, MaxCorners)
	}
	for i, c := range p {
		if !c.InFrame() {
			return fmt.Errorf("corner %d [%g, %g] outside the frame, expected numbers from 0 to 1", i+1, c.X, c.Y)
		}
		if c == p[(i+1)%len(p)] {
			return fmt.Errorf("corners %d and %d at the same point", i+1, (i+1)%len(p)+1)
		}
	}
	if i, j, crosses := p.SelfIntersection(); crosses {
		return fmt.Errorf("an intersection of the edges from corner %d and from corner %d", i+1, j+1)
	}
	if !(p.Area() > 0) {
		return errors.New("an area of zero")
	}
	return nil
}

// SelfIntersection returns the indices of the first corners of two edges of p that cross, touch or
// lie on each other although they are not neighbours, or neighbours that run back over each other.
func (p Polygon) SelfIntersection() (i, j int, crosses bool) {
	n := len(p)
	for i := range n {
		a := Segment{p[i], p[(i+1)%n]}
		for j := i + 1; j < n; j++ {
			b := Segment{p[j], p[(j+1)%n]}
			switch {
			case n > 2 && j == i+1:
				if foldsBack(a.A, a.B, b.B) {
					return i, j, true
				}
			case n > 2 && (j+1)%n == i:
				if foldsBack(b.A, b.B, a.B) {
					return i, j, true
				}
			case a.Intersects(b):
				return i, j, true
			}
		}
	}
	return 0, 0, false
}

// foldsBack reports whether the path from a over b to c turns by 180 degrees at b.
func foldsBack(a, b, c Point) bool {
	return turn(a, b, c) == 0 && (a.X-b.X)*(c.X-b.X)+(a.Y-b.Y)*(c.Y-b.Y) > 0
}

// Area returns the fraction of the frame within p, if p does not cross itself.
func (p Polygon) Area() float64 {
	var twice float64
	for i, a := range p {
		b := p[(i+1)%len(p)]
		twice += a.X*b.Y - b.X*a.Y
	}
	return math.Abs(twice) / 2
}

// Contains reports whether q lies inside p or on its edge; false for a q that is not finite.
func (p Polygon) Contains(q Point) bool {
	if !finite(q.X, q.Y) {
		return false
	}
	inside := false
	for i, a := range p {
		b := p[(i+1)%len(p)]
		if (Segment{a, b}).distance(q) <= edgeTolerance {
			return true
		}
		// The ray to the right meets each edge whose ends lie on different sides of it.
		if (a.Y > q.Y) != (b.Y > q.Y) && q.X < a.X+(b.X-a.X)*(q.Y-a.Y)/(b.Y-a.Y) {
			inside = !inside
		}
	}
	return inside
}

// Segment is the straight line from A to B.
type Segment struct{ A, B Point }

// Length returns the distance from A to B.
func (s Segment) Length() float64 { return s.A.Distance(s.B) }

// SignedDistance returns the distance of q from the infinite line through s: negative to the left of the
// direction from A to B as seen in the frame, positive to the right. It is NaN if s has no length.
func (s Segment) SignedDistance(q Point) float64 { return turn(s.A, s.B, q) / s.Length() }

// CrossingAt returns where the path from a to b crosses the infinite line through s, as a fraction of
// s: 0 at A, 1 at B, outside of 0..1 beyond its ends. ok is false if the path does not change sides.
func (s Segment) CrossingAt(a, b Point) (at float64, ok bool) {
	da, db := s.SignedDistance(a), s.SignedDistance(b)
	if !finite(da, db) || (da < 0) == (db < 0) {
		return 0, false
	}
	f := da / (da - db)
	q := Point{a.X + (b.X-a.X)*f, a.Y + (b.Y-a.Y)*f}
	l := s.Length()
	return ((q.X-s.A.X)*(s.B.X-s.A.X) + (q.Y-s.A.Y)*(s.B.Y-s.A.Y)) / (l * l), true
}

// Intersects reports whether s and o have a point in common.
func (s Segment) Intersects(o Segment) bool {
	d1, d2 := turn(o.A, o.B, s.A), turn(o.A, o.B, s.B)
	d3, d4 := turn(s.A, s.B, o.A), turn(s.A, s.B, o.B)
	if opposite(d1, d2) && opposite(d3, d4) {
		return true
	}
	return (d1 == 0 && o.contains(s.A)) || (d2 == 0 && o.contains(s.B)) ||
		(d3 == 0 && s.contains(o.A)) || (d4 == 0 && s.contains(o.B))
}

// contains reports whether q, which lies on the infinite line through s, lies on s.
func (s Segment) contains(q Point) bool {
	return q.X >= math.Min(s.A.X, s.B.X) && q.X <= math.Max(s.A.X, s.B.X) &&
		q.Y >= math.Min(s.A.Y, s.B.Y) && q.Y <= math.Max(s.A.Y, s.B.Y)
}

// distance returns the distance of q from the nearest point of s.
func (s Segment) distance(q Point) float64 {
	dx, dy := s.B.X-s.A.X, s.B.Y-s.A.Y
	l := dx*dx + dy*dy
	if l == 0 {
		return s.A.Distance(q)
	}
	f := math.Max(0, math.Min(1, ((q.X-s.A.X)*dx+(q.Y-s.A.Y)*dy)/l))
	return q.Distance(Point{s.A.X + f*dx, s.A.Y + f*dy})
}

// turn is positive if the path from a over b to c turns right in the frame, whose y axis points down;
// zero if it goes straight on or back.
func turn(a, b, c Point) float64 {
	return (b.X-a.X)*(c.Y-a.Y) - (b.Y-a.Y)*(c.X-a.X)
}

func opposite(a, b float64) bool { return (a < 0 && b > 0) || (a > 0 && b < 0) }

func finite(values ...float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}
