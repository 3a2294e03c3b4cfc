// Package nearby ranks cameras by how well they show a place, and says why in words.
//
// It is a pure function of positions: what a viewer may see is the caller's affair, and so is
// where the cameras come from. First come cameras that see the place, of those the ones that
// are online, then the ones that show it larger, then the nearer ones. Buildings that stand in the
// way are not known yet. The package must import nothing of Gridpost but devices.
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

// Camera is what has to be known of a camera to rank it.
type Camera struct {
	Edge   string
	Device string
	Place  *devices.Place // nil: unknown; such a camera is not ranked
	State  devices.State
	Cause  devices.Cause // why it is not online
}

// Sight is how a camera stands to a place. Pages translate it; Reason says it in English.
type Sight string

// The sights.
const (
	AtPlace   Sight = "at_place"   // stands at the place itself
	InView    Sight = "in_view"    // the place is in its sector and range
	TooFar    Sight = "too_far"    // in its sector, but beyond its range
	Beside    Sight = "beside"     // outside its sector, by less than a right angle from its axis
	OtherWay  Sight = "other_way"  // outside its sector, behind it
	NoHeading Sight = "no_heading" // its field of view is not known
)

// Ranked is a camera with its rank's reason. Its place in the list is its rank.
type Ranked struct {
	Edge     string        `json:"edge"`
	Device   string        `json:"device"`
	Sees     bool          `json:"sees"` // the place is in the camera's view; not whether it is online
	Sight    Sight         `json:"sight"`
	Distance float64       `json:"distance"` // metres along the ground, rounded to 0.1
	Bearing  float64       `json:"bearing"`  // degrees clockwise from north, from the camera to the place, 0..360
	State    devices.State `json:"state"`
	Cause    string        `json:"cause"` // in English

	CauseCode   string            `json:"cause_code,omitempty"`
	CauseParams map[string]string `json:"cause_params,omitempty"`

	Reason string `json:"reason"` // in words, such as "sees the place from 23 m"

	scale float64 // how large things at the place appear; comparable, without a unit
}

// atPlace is how near, in metres, a camera is said to stand at the place itself: positions are
// taken from maps and are no better than this.
const atPlace = 2

// assumedRange is taken for a camera whose range is not known, in metres.
const assumedRange = 60

// Rank orders cams by how well they show at. Cameras without a usable place are left out. The
// same cameras in another order give the same list.
func Rank(at Point, cams []Camera) []Ranked {
	ranked := make([]Ranked, 0, len(cams))
	if !usable(at.Lat, at.Lon) {
		return ranked
	}
	for _, c := range cams {
		if c.Place != nil && usable(c.Place.Lat, c.Place.Lon) {
			ranked = append(ranked, rate(at, c))
		}
	}
	slices.SortFunc(ranked, compare)
	return ranked
}

// Sees says whether any of the cameras sees the place, online or not.
func Sees(ranked []Ranked) bool {
	return slices.ContainsFunc(ranked, func(r Ranked) bool { return r.Sees })
}

func compare(a, b Ranked) int {
	return cmp.Or(
		first(a.Sees, b.Sees),
		first(a.State == devices.Online, b.State == devices.Online),
		cmp.Compare(b.scale, a.scale),
		cmp.Compare(a.Distance, b.Distance),
		cmp.Compare(a.Edge, b.Edge),
		cmp.Compare(a.Device, b.Device),
	)
}

// first puts true before false.
func first(a, b bool) int {
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
	sight := look(*c.Place, d, bearing)
	r := Ranked{
		Edge: c.Edge, Device: c.Device,
		Sight: sight, Sees: sight == AtPlace || sight == InView,
		Distance: math.Round(d*10) / 10, Bearing: math.Mod(math.Round(bearing*10)/10, 360),
		State: c.State, Cause: c.Cause.Text, CauseCode: c.Cause.Code, CauseParams: c.Cause.Params,
	}
	if r.Sees {
		r.scale = magnification(*c.Place, d)
	}
	r.Reason = reason(r, *c.Place)
	return r
}

// look tells how a camera stands to a place d metres away in the direction of bearing.
func look(p devices.Place, d, bearing float64) Sight {
	reach := p.Range
	if reach <= 0 {
		reach = assumedRange
	}
	off := math.Abs(turn(p.Heading, bearing))
	switch {
	case d <= atPlace:
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

// angleSlack keeps rounding from deciding, in degrees.
const angleSlack = 1e-6

// magnification is proportional to the pixels per metre at distance d: a picture's width is
// spread over the arc that the camera sees. All cameras are taken to have the same width.
func magnification(p devices.Place, d float64) float64 {
	fov := p.FOV
	if !(fov > 0) {
		fov = 90
	}
	return 1 / (max(d, atPlace) * min(fov, 360) * math.Pi / 180)
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

// metres writes a distance as a person would say it.
func metres(d float64) string {
	if d >= 1000 {
		return strconv.FormatFloat(d/1000, 'f', 1, 64) + " km"
	}
	return strconv.FormatFloat(math.Round(d), 'f', 0, 64) + " m"
}
