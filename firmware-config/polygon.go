package firmwareconfig

import "gridpost/detection"

// selfCrossing returns the first two sides of a closed polygon that meet anywhere but in the
// corner that they share. Side i goes from point i to the next. A corner given twice, a spike
// that turns back on itself and a polygon without area meet in this sense too.
func selfCrossing(p []detection.Point) (i, j int, crosses bool) {
	n := len(p)
	for i := range n {
		if p[i] == p[(i+1)%n] {
			return i, (i + 1) % n, true
		}
	}
	for i := range n {
		for j := i + 1; j < n; j++ {
			a, b, c, d := p[i], p[(i+1)%n], p[j], p[(j+1)%n]
			switch {
			case j == i+1: // b == c
				if turnsBack(a, b, d) {
					return i, j, true
				}
			case i == 0 && j == n-1: // d == a
				if turnsBack(c, a, b) {
					return i, j, true
				}
			case meet(a, b, c, d):
				return i, j, true
			}
		}
	}
	return 0, 0, false
}

// side tells on which side of the line from a to b the point c lies: its sign, or 0 on it.
func side(a, b, c detection.Point) float64 {
	return (b.X-a.X)*(c.Y-a.Y) - (b.Y-a.Y)*(c.X-a.X)
}

// turnsBack says that the way a, b, c goes back over itself after b.
func turnsBack(a, b, c detection.Point) bool {
	return side(a, b, c) == 0 && (b.X-a.X)*(c.X-b.X)+(b.Y-a.Y)*(c.Y-b.Y) < 0
}

// meet says whether the segments ab and cd have a point in common.
func meet(a, b, c, d detection.Point) bool {
	s1, s2 := side(a, b, c), side(a, b, d)
	s3, s4 := side(c, d, a), side(c, d, b)
	if s1*s2 < 0 && s3*s4 < 0 {
		return true
	}
	return s1 == 0 && within(a, b, c) || s2 == 0 && within(a, b, d) ||
		s3 == 0 && within(c, d, a) || s4 == 0 && within(c, d, b)
}

// within says whether c, which lies on the line through a and b, lies between them.
func within(a, b, c detection.Point) bool {
	return min(a.X, b.X) <= c.X && c.X <= max(a.X, b.X) && min(a.Y, b.Y) <= c.Y && c.Y <= max(a.Y, b.Y)
}
