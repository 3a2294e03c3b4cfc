package nearby

import "math"

// earthRadius is the mean radius of the earth in metres (IUGG: (2a+b)/3 of WGS-84). Distances on this
// sphere differ from those on the ellipsoid by at most half a percent, which is less than the error of
// the positions.
const earthRadius = 6371008.8

func valid(lat, lon float64) bool {
	return math.Abs(lat) <= 90 && math.Abs(lon) <= 180 // false for NaN too
}

func radians(deg float64) float64 { return deg * math.Pi / 180 }

// distance returns the metres along the great circle (haversine formula, which keeps its
// precision at short distances).
func distance(a, b Point) float64 {
	lat1, lat2 := radians(a.Lat), radians(b.Lat)
	h := square(math.Sin((lat2-lat1)/2)) + math.Cos(lat1)*math.Cos(lat2)*square(math.Sin(radians(b.Lon-a.Lon)/2))
	return 2 * earthRadius * math.Asin(math.Sqrt(min(h, 1)))
}

func square(x float64) float64 { return x * x }

// bearing returns the direction in which b is seen from a: degrees clockwise from true north,
// 0 <= bearing < 360. For two equal points it is 0.
func bearing(a, b Point) float64 {
	lat1, lat2, dlon := radians(a.Lat), radians(b.Lat), radians(b.Lon-a.Lon)
	y := math.Sin(dlon) * math.Cos(lat2)
	// Equal to cos(lat1)sin(lat2) - sin(lat1)cos(lat2)cos(dlon), but without the cancellation that
	// makes the direction of a place a few metres away inexact.
	x := math.Sin(lat2-lat1) + 2*math.Sin(lat1)*math.Cos(lat2)*square(math.Sin(dlon/2))
	deg := math.Mod(math.Atan2(y, x)*180/math.Pi+360, 360)
	return deg
}

// angleBetween returns the angle from heading to bearing in degrees, -180..180; clockwise is positive.
func angleBetween(heading, bearing float64) float64 {
	d := math.Mod(bearing-heading, 360)
	switch {
	case d > 180:
		return d - 360
	case d < -180:
		return d + 360
	}
	return d
}
