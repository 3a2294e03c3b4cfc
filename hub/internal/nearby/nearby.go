// Package nearby ranks cameras by how well they show a place, and gives a reason for each rank.
//
// Rank is a pure function of positions and states; the caller selects the cameras that the user may
// see. The order is: cameras that see the place before others, online before offline, larger
// magnification before smaller, nearer before farther. Obstacles such as buildings are not taken into
// account. The package must import nothing of Gridpost but devices.
package nearby

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"gridpost/devices"
)

// Point is a place on the ground, WGS-84.
type Point struct {
	Lat float64 // degrees north, -90..90
	Lon float64 // degrees east, -180..180
}

// Camera is the input of Rank for one camera.
type Camera struct {
	Edge   string
	Device string
	Place  *devices.Place // nil: unknown; Rank leaves the camera out
	State  devices.State
	Cause  devices.Cause // why it is not online
}

// Sight is the relation of a camera's view to a place. The console translates it; Ranked.Reason
// describes it in English.
type Sight string

// The values of Sight.
const (
	AtPlace   Sight = "at_place"   // the camera is within atPlaceDistance of the place
	InView    Sight = "in_view"    // the place is within the camera's field of view and range
	TooFar    Sight = "too_far"    // the place is within the field of view, but beyond the range
	Beside    Sight = "beside"     // the place is outside the field of view, at most 90 degrees off the axis
	OtherWay  Sight = "other_way"  // the place is outside the field of view, more than 90 degrees off the axis
	NoHeading Sight = "no_heading" // heading or field of view is not known
)

// Ranked is a camera in the list that Rank returns.
type Ranked struct {
	Edge     string        `json:"edge"`
	Device   string        `json:"device"`
	Sees     bool          `json:"sees"` // the place is in the camera's view, whether or not the camera is online
	Sight    Sight         `json:"sight"`
	Distance float64       `json:"distance"` // metres along the ground, rounded to 0.1
	Bearing  float64       `json:"bearing"`  // degrees clockwise from north, from the camera to the place, 0..360
	State    devices.State `json:"state"`
	Cause    string        `json:"cause"` // in English

	CauseCode   string            `json:"cause_code,omitempty"`
	CauseParams map[string]string `json:"cause_params,omitempty"`

	Reason string `json:"reason"` // in English, such as "sees the place from 23 m"

	magnification float64 // relative size of objects at the place in the frame; no unit
}

// atPlaceDistance is the distance in metres up to which a camera counts as being at the place.
// Positions are taken from maps and are not more precise.
const atPlaceDistance = 2

// assumedRange is the range in metres of a camera whose range is not known.
const assumedRange = 60

// Rank returns cams, ordered by how well they show the place at. It leaves out cameras without a valid
// place. The result does not depend on the order of cams.
func Rank(at Point, cams []Camera) []Ranked {
	ranked := make([]Ranked, 0, len(cams))
	if !valid(at.Lat, at.Lon) {
		return ranked
	}
	for _, c := range cams {
		if c.Place != nil && valid(c.Place.Lat, c.Place.Lon) {
			ranked = append(ranked, rate(at, c))
		}
	}
	slices.SortFunc(ranked, compare)
	return ranked
}

// Sees reports whether any of the cameras sees the place, online or not.
func Sees(ranked []Ranked) bool {
	return slices.ContainsFunc(ranked, func(r Ranked) bool { return r.Sees })
}

func compare(a, b Ranked) int {
	return cmp.Or(
		trueFirst(a.Sees, b.Sees),
		trueFirst(a.State == devices.Online, b.State == devices.Online),
		cmp.Compare(b.magnification, a.magnification),
		cmp.Compare(a.Distance, b.Distance),
		cmp.Compare(a.Edge, b.Edge),
		cmp.Compare(a.Device, b.Device),
	)
}

// trueFirst compares two Booleans such that true comes before false.
func trueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

func rate(at Point, c Camera) Ranked {
	from := Point{c.Place.Lat, c.Place.Lon}
	d, bearing := distance(from, at), bearing(from, at)
	sight := sightOf(*c.Place, d, bearing)
	r := Ranked{
		Edge: c.Edge, Device: c.Device,
		Sight: sight, Sees: sight == AtPlace || sight == InView,
		Distance: math.Round(d*10) / 10, Bearing: math.Mod(math.Round(bearing*10)/10, 360),
		State: c.State, Cause: c.Cause.Text, CauseCode: c.Cause.Code, CauseParams: c.Cause.Params,
	}
	if r.Sees {
		r.magnification = magnification(*c.Place, d)
	}
	r.Reason = reason(r, *c.Place)
	return r
}

// sightOf returns the Sight of a camera for a place that is d metres away in the direction bearing.
func sightOf(p devices.Place, d, bearing float64) Sight {
	reach := p.Range
	if reach <= 0 {
		reach = assumedRange
	}
	off := math.Abs(angleBetween(p.Heading, bearing))
	switch {
	case d <= atPlaceDistance:
		return AtPlace
	case !(p.FOV > 0) || math.IsNaN(p.Heading) || math.IsInf(p.Heading, 0):
		return NoHeading
	case p.FOV < 360 && off > p.FOV/2+angleSlack && off > 90:
		return OtherWay
	case p.FOV < 360 && off > p.FOV/2+angleSlack:
		return Beside
	case d > reach:
		return TooFar
	default:
		return InView
	}
}

// angleSlack is a tolerance in degrees for rounding errors.
const angleSlack = 1e-6

// magnification returns a number proportional to the pixels per metre at distance d: the width of the
// frame divided by the length of the arc that the camera sees at d. All cameras are assumed to have the
// same width in pixels.
func magnification(p devices.Place, d float64) float64 {
	fov := p.FOV
	if !(fov > 0) {
		fov = 90
	}
	return 1 / (max(d, atPlaceDistance) * min(fov, 360) * math.Pi / 180)
}

func reason(r Ranked, p devices.Place) string {
	var s string
	switch far := metres(r.Distance); r.Sight {
	case AtPlace:
		s = "stands at the place"
	case InView:
		s = "sees the place from " + far
	case TooFar:
		s = "looks towards the place, but is " + far + " away"
		if p.Range > 0 {
			s += " and sees " + metres(p.Range) + " far"
		}
	case Beside:
		s = "looks past the place, " + far + " away"
	case OtherWay:
		s = "looks the other way, " + far + " away"
	case NoHeading:
		s = far + " away, where it looks is not known"
	}
	switch {
	case r.State == devices.Online:
		return s
	case r.Cause == "":
		return fmt.Sprintf("%s, but is %s", s, state(r.State))
	default:
		return fmt.Sprintf("%s, but is %s: %s", s, state(r.State), r.Cause)
	}
}

func state(s devices.State) string {
	if s == devices.Offline {
		return "offline"
	}
	return "not heard of"
}

// metres formats a distance for people: in m below 1 km, else in km.
func metres(d float64) string {
	if d >= 1000 {
		return strconv.FormatFloat(d/1000, 'f', 1, 64) + " km"
	}
	return strconv.FormatFloat(math.Round(d), 'f', 0, 64) + " m"
}
