package nearby

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"gridpost/devices"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// at returns the point that is d metres from p in a direction. It is the inverse of distance and bearing.
func at(p Point, d, direction float64) Point {
	a, b, lat := d/earthRadius, radians(direction), radians(p.Lat)
	lat2 := math.Asin(math.Sin(lat)*math.Cos(a) + math.Cos(lat)*math.Sin(a)*math.Cos(b))
	lon2 := radians(p.Lon) + math.Atan2(math.Sin(b)*math.Sin(a)*math.Cos(lat), math.Cos(a)-math.Sin(lat)*math.Sin(lat2))
	return Point{lat2 * 180 / math.Pi, math.Mod(lon2*180/math.Pi+540, 360) - 180}
}

func camera(name string, where Point, heading, fov, reach float64) Camera {
	return Camera{
		Edge: "e", Device: name, State: devices.Online,
		Place: &devices.Place{Lat: where.Lat, Lon: where.Lon, Heading: heading, FOV: fov, Range: reach},
	}
}

var town = Point{30.9201, 120.9302}

func TestReasons(t *testing.T) {
	south := at(town, 23, 180) // the town is to the north of this point
	offline := camera("f", south, 0, 90, 60)
	offline.State, offline.Cause = devices.Offline, devices.Cause{Text: "no pictures for 20 s"}
	unheard := camera("g", at(town, 40, 180), 180, 90, 60)
	unheard.State = devices.Unknown
	for _, c := range []struct {
		camera Camera
		sees   bool
		sight  Sight
		reason string
	}{
		{camera("a", south, 0, 90, 60), true, InView, "sees the place from 23 m"},
		{camera("b", at(town, 40, 180), 180, 90, 60), false, OtherWay, "looks the other way, 40 m away"},
		{camera("c", south, 60, 90, 60), false, Beside, "looks past the place, 23 m away"},
		{camera("d", at(town, 1240, 180), 0, 90, 60), false, TooFar, "looks towards the place, but is 1.2 km away and sees 60 m far"},
		{camera("e", south, 0, 0, 60), false, NoHeading, "23 m away, where it looks is not known"},
		{offline, true, InView, "sees the place from 23 m, but is offline: no pictures for 20 s"},
		{unheard, false, OtherWay, "looks the other way, 40 m away, but is not heard of"},
		{camera("h", town, 90, 10, 60), true, AtPlace, "stands at the place"},
		{camera("i", at(town, 59, 180), 0, 90, 0), true, InView, "sees the place from 59 m"},
		{camera("j", at(town, 61, 180), 0, 90, 0), false, TooFar, "looks towards the place, but is 61 m away"},
	} {
		got := Rank(town, []Camera{c.camera})[0]
		if got.Sees != c.sees || got.Sight != c.sight || got.Reason != c.reason {
			t.Errorf("%s: %v %s %q, expected %v %s %q", c.camera.Device, got.Sees, got.Sight, got.Reason, c.sees, c.sight, c.reason)
		}
	}
}

func TestOrder(t *testing.T) {
	away := func(name string, d float64) Camera { return camera(name, at(town, d, 180), 180, 90, 100) }
	offline := camera("5-sees-offline", at(town, 5, 180), 0, 90, 100)
	offline.State = devices.Offline
	cams := []Camera{
		camera("1-near-narrow", at(town, 30, 180), 0, 30, 100),
		camera("2-nearer-wide", at(town, 20, 180), 0, 100, 100), // a third of the pixels per degree, so the place appears smaller although it is nearer
		camera("3-far-narrow", at(town, 90, 180), 0, 30, 100),
		camera("4-all-round", at(town, 20, 180), 0, 360, 100),
		offline,
		away("6-away", 10),
		away("7-away-farther", 11),
		{Edge: "e", Device: "nowhere"},
	}
	rand.Shuffle(len(cams), func(i, j int) { cams[i], cams[j] = cams[j], cams[i] })
	var got []string
	for _, r := range Rank(town, cams) {
		got = append(got, r.Device)
	}
	want := []string{"1-near-narrow", "2-nearer-wide", "3-far-narrow", "4-all-round", "5-sees-offline", "6-away", "7-away-farther"}
	if !slices.Equal(got, want) {
		t.Errorf("order %q, expected %q", got, want)
	}
}

func TestSector(t *testing.T) {
	for _, c := range []struct {
		heading, fov, to float64
		sees             bool
	}{
		{0, 90, 44, true},
		{0, 90, 46, false},
		{0, 90, 316, true},  // over north
		{0, 90, 314, false}, // over north
		{350, 40, 9, true},
		{350, 40, 11, false},
		{10, 40, 351, true},
		{10, 40, 349, false},
		{360, 20, 0, true},
		{180, 300, 31, true},
		{180, 300, 29, false},
		{90, 360, 270, true},
	} {
		p := devices.Place{Heading: c.heading, FOV: c.fov, Range: 100}
		if got := sightOf(p, 50, c.to) == InView; got != c.sees {
			t.Errorf("heading %v, field of view %v: sees %v: %v, expected %v", c.heading, c.fov, c.to, got, c.sees)
		}
	}
}

func TestKnownDistances(t *testing.T) {
	for _, c := range []struct {
		a, b              Point
		metres, direction float64
	}{
		{Point{0, 0}, Point{0, 1}, 111195, 90},
		{Point{0, 0}, Point{1, 0}, 111195, 0},
		{Point{0, 179.9995}, Point{0, -179.9995}, 111.195, 90}, // across the antimeridian
		{Point{0, -179.9995}, Point{0, 179.9995}, 111.195, 270},
		{Point{60, 180}, Point{60, -180}, 0, 0},
		{Point{51.5, 0}, Point{51.5, 0.001}, 69.22, 90},
		{Point{30.9201, 120.9302}, Point{30.9210, 120.9311}, 131.9, 40.6},
		{Point{90, 0}, Point{89.999, 120}, 111.195, 60},
	} {
		if d := distance(c.a, c.b); math.Abs(d-c.metres) > 0.001*c.metres+0.01 {
			t.Errorf("distance %v %v = %v, expected %v", c.a, c.b, d, c.metres)
		}
		if b := bearing(c.a, c.b); c.a.Lat < 89 && c.metres > 0 && math.Abs(angleBetween(b, c.direction)) > 0.1 {
			t.Errorf("bearing %v %v = %v, expected %v", c.a, c.b, b, c.direction)
		}
	}
}

// TestAnywhere places cameras around random points of the globe, including the antimeridian and the
// surroundings of the poles, and checks properties that hold everywhere.
func TestAnywhere(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4)) // fixed seed: reproducible
	for range 20000 {
		lon := rnd.Float64()*360 - 180
		if rnd.IntN(3) == 0 {
			lon = math.Copysign(180-rnd.Float64()*1e-4, lon)
		}
		from := Point{rnd.Float64()*179 - 89.5, lon}
		d, direction := 3+rnd.Float64()*997, rnd.Float64()*360
		place := at(from, d, direction)
		if got := distance(from, place); math.Abs(got-d) > 0.01 {
			t.Fatalf("from %v, %v m to %v: distance %v", from, d, direction, got)
		}
		if math.Abs(distance(from, place)-distance(place, from)) > 1e-6 {
			t.Fatalf("distance between %v and %v depends on the direction", from, place)
		}
		if got := bearing(from, place); math.Abs(angleBetween(got, direction)) > 0.01 {
			t.Fatalf("from %v, %v m to %v: bearing %v", from, d, direction, got)
		}
		fov, off := 1+rnd.Float64()*358, rnd.Float64()*360-180
		if math.Abs(math.Abs(off)-fov/2) < 0.02 {
			continue // too close to the limit of the field of view: rounding decides
		}
		heading := math.Mod(direction+off+360, 360)
		got := Rank(place, []Camera{camera("x", from, heading, fov, 1001)})[0]
		if got.Sees != (math.Abs(off) < fov/2) {
			t.Fatalf("%v off the axis of a sector of %v: sees %v", off, fov, got.Sees)
		}
		if got.Bearing < 0 || got.Bearing >= 360 || got.Reason == "" {
			t.Fatalf("%+v", got)
		}
	}
}

// TestRankIsAnOrder: for any order of the input and any numbers, the list is the same, has each camera
// with a valid place once, and has cameras that see the place before others, and online ones before
// offline ones.
func TestRankIsAnOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6)) // fixed seed: reproducible
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 0, 1e300}
	number := func(scale float64) float64 {
		if rnd.IntN(20) == 0 {
			return odd[rnd.IntN(len(odd))]
		}
		return rnd.Float64() * scale
	}
	states := []devices.State{devices.Online, devices.Offline, devices.Unknown}
	for range 500 {
		var cams []Camera
		usableCams := 0
		for i := range rnd.IntN(20) {
			c := camera(string(rune('a'+i)), at(town, rnd.Float64()*200, rnd.Float64()*360), number(360), number(360), number(200))
			c.State = states[rnd.IntN(3)]
			if rnd.IntN(10) == 0 {
				c.Place.Lat = number(200)
			}
			if valid(c.Place.Lat, c.Place.Lon) {
				usableCams++
			}
			cams = append(cams, c)
		}
		want := Rank(town, cams)
		if len(want) != usableCams {
			t.Fatalf("%d of %d cameras ranked", len(want), usableCams)
		}
		rnd.Shuffle(len(cams), func(i, j int) { cams[i], cams[j] = cams[j], cams[i] })
		got := Rank(town, cams)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("the result depends on the order of the input:\n%+v\n%+v", got, want)
		}
		for i := 1; i < len(got); i++ {
			a, b := got[i-1], got[i]
			if !a.Sees && b.Sees || a.Sees == b.Sees && a.State != devices.Online && b.State == devices.Online {
				t.Fatalf("%+v\nbefore\n%+v", a, b)
			}
		}
		if _, err := json.Marshal(got); err != nil {
			t.Fatal(err)
		}
		if Sees(got) != (len(got) > 0 && got[0].Sees) {
			t.Fatal("Sees differs from the first camera's Sees")
		}
	}
}

func TestNowhere(t *testing.T) {
	for _, p := range []Point{{math.NaN(), 0}, {91, 0}, {0, 181}, {0, math.Inf(1)}} {
		if got := Rank(p, []Camera{camera("a", town, 0, 90, 60)}); got == nil || len(got) != 0 {
			t.Errorf("%v: %v, expected an empty list", p, got)
		}
	}
}
