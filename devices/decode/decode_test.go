package decode

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"
	"gridpost/devices/payload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func received() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func message(topic, payload string) devices.Message {
	return devices.Message{Topic: topic, Payload: []byte(payload), Received: received()}
}

func decoder(t testing.TB, log *bytes.Buffer, m ...Mapping) *Decoder {
	t.Helper()
	o := Options{Mappings: m}
	if log != nil {
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
	}
	return New(o)
}

func path(t testing.TB, s string) Path {
	t.Helper()
	if s == "" {
		return Path{}
	}
	p, err := ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		path, payload string
		want          float64
		ok            bool
	}{
		{"$.level", `{"level":3.25}`, 3.25, true},
		{"$.level", `{"level":"3.25"}`, 3.25, true},
		{"$.level", `{"level":true}`, 1, true},
		{"$.contact", `{"contact":"OPEN"}`, 1, true},
		{"$.contact", `{"contact":"closed"}`, 0, true},
		{"$.values[1].v", `{"values":[{"v":1},{"v":-2e3}]}`, -2000, true},
		{"$['water level']", `{"water level":7}`, 7, true},
		{`$["水位"]`, `{"水位":7}`, 7, true},
		{"$.水位", `{"水位":7}`, 7, true},
		{"$", `12`, 12, true},
		{"", ` 12.5 `, 12.5, true},
		{"", `ON`, 1, true},
		{"", `"off"`, 0, true},
		{"$.level", `{"level":{}}`, 0, false},
		{"$.level", `{"level":"high"}`, 0, false},
		{"$.level", `{"level":1e999}`, 0, false},
		{"$.level", `{"other":1}`, 0, false},
		{"$.level", `[1]`, 0, false},
		{"$.level", `{"level":1} trailing`, 0, false},
		{"$.level", `{"level":`, 0, false},
		{"$.level", ``, 0, false},
		{"", ``, 0, false},
		{"$[5]", `[1]`, 0, false},
		{"$.level", strings.Repeat("[", 60000), 0, false},
		{"", strings.Repeat("1", devices.MaxMessage+1), 0, false},
	} {
		d := decoder(t, nil, Mapping{Device: "river", Topic: "sensors/#", ValueMapping: ValueMapping{Value: path(t, c.path), Unit: "m"}})
		got := d.Decode(message("sensors/river", c.payload)).Readings
		if (len(got) == 1) != c.ok || c.ok && (got[0].Value != c.want || got[0].Unit != "m" || got[0].Quality != devices.Good || !got[0].Time.Equal(received())) {
			t.Errorf("%s of %.60s: %+v", c.path, c.payload, got)
		}
	}
}

func TestScaleAndNull(t *testing.T) {
	d := decoder(t, nil, Mapping{Device: "river", Topic: "r", ValueMapping: ValueMapping{Value: path(t, "$.mm"), Scale: 0.001}})
	if got := d.Decode(message("r", `{"mm":3200}`)).Readings; len(got) != 1 || math.Abs(got[0].Value-3.2) > 1e-9 {
		t.Errorf("scaled: %+v", got)
	}
	if got := d.Decode(message("r", `{"mm":null}`)).Readings; len(got) != 1 || got[0].Quality != devices.Bad {
		t.Errorf("no value: %+v", got)
	}
}

func TestRetained(t *testing.T) {
	d := decoder(t, nil, Mapping{Device: "door", Topic: "d"})
	for _, retained := range []bool{true, false} {
		m := message("d", "open")
		m.Retained = retained
		if got := d.Decode(m).Readings; len(got) != 1 || got[0].Retained != retained {
			t.Errorf("retained %v: %+v", retained, got)
		}
	}
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]time.Time{
		`"2026-03-01T11:59:00Z"`:      received().Add(-time.Minute),
		`"2026-03-01T19:59:00+08:00"`: received().Add(-time.Minute),
		`1772366340`:                  received().Add(-time.Minute),
		`"1772366340"`:                received().Add(-time.Minute),
		`1772366340500`:               received().Add(-time.Minute + 500*time.Millisecond),
		`1772366340.5`:                received().Add(-time.Minute + 500*time.Millisecond),
		`1772366340500000`:            received().Add(-time.Minute + 500*time.Millisecond),
		// What cannot be believed, or is no time: the time of arrival.
		`0`: received(), `"1970-01-01T00:00:05Z"`: received(), `"2026-03-01T13:00:00Z"`: received(), `"soon"`: received(), `{}`: received(), `1e300`: received(),
	} {
		d := decoder(t, nil, Mapping{Device: "river", Topic: "r", ValueMapping: ValueMapping{Value: path(t, "$.v"), Time: path(t, "$.t")}})
		got := d.Decode(message("r", `{"v":1,"t":`+text+`}`)).Readings
		if len(got) != 1 || !got[0].Time.Equal(want) {
			t.Errorf("%s became %+v", text, got)
		}
		if wrong := d.Stats().WrongClock == 1; wrong != want.Equal(received()) {
			t.Errorf("%s: counted as a wrong clock: %v", text, wrong)
		}
	}
}

func TestGarbageIsCountedAndLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	d := decoder(t, &log,
		Mapping{Device: "river", Topic: "sensors/river", ValueMapping: ValueMapping{Value: path(t, "$.level")}},
		Mapping{Device: "all", Topic: "sensors/+", ValueMapping: ValueMapping{Value: path(t, "$.level")}})
	for range 100 {
		d.Decode(message("sensors/river", "\x00\xff garbage"))
	}
	if got := d.Stats(); got.Refused != 200 {
		t.Errorf("counted: %+v", got)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines were logged, want one for each sensor:\n%s", n, log.String())
	}
	if got := d.Decode(message("sensors/river", `{"level":1}`)).Readings; len(got) != 2 {
		t.Errorf("after garbage: %+v", got)
	}
	d.Decode(message("sensors/river", "garbage"))
	if n := strings.Count(log.String(), "\n"); n != 4 {
		t.Errorf("garbage after a good message was not logged again: %d lines", n)
	}
	d.Decode(message("elsewhere", "1"))
	if d.Stats().Unmatched != 1 {
		t.Errorf("counted: %+v", d.Stats())
	}
}

// TestAgeOfRetained: a retained message may be older than what a sensor keeps over an outage; its clock is
// not wrong for that. A time to come is.
func TestAgeOfRetained(t *testing.T) {
	for text, problems := range map[string]int{"2025-03-01T12:00:00Z": 0, "2026-03-01T11:00:00Z": 0, "2027-03-01T12:00:00Z": 1, "soon": 1} {
		d := decoder(t, nil, Mapping{Device: "door", Topic: "d", ValueMapping: ValueMapping{Value: path(t, "$.v"), Time: path(t, "$.t")}})
		m := message("d", `{"v":1,"t":"`+text+`"}`)
		m.Retained = true
		if out := d.Decode(m); len(out.Readings) != 1 || !out.Readings[0].Retained || len(out.Problems) != problems {
			t.Errorf("%s: %+v", text, out)
		}
	}
}

// TestStormOfRefusals: what is wrong with a device is described at most once a second.
func TestStormOfRefusals(t *testing.T) {
	d := decoder(t, nil, Mapping{Device: "river", Topic: "r", ValueMapping: ValueMapping{Value: path(t, "$.level")}})
	seen := map[string]bool{}
	for i := range 3000 { // three seconds
		m := message("r", fmt.Sprintf(`{"error":%d}`, i))
		m.Received = received().Add(time.Duration(i) * time.Millisecond)
		out := d.Decode(m)
		if len(out.Problems) != 1 || out.Problems[0].Device != "river" {
			t.Fatalf("%+v", out)
		}
		seen[out.Problems[0].Cause.Params["excerpt"]] = true
	}
	if len(seen) != 3 || !seen[`{"error":0}`] || !seen[`{"error":2000}`] {
		t.Errorf("%d descriptions: %v", len(seen), seen)
	}
}

func TestBadPaths(t *testing.T) {
	for _, s := range []string{
		"", "level", "$..", "$[x]", "$['x", "$.a b", "$[", "$.1a", "$.-a", "$['']", "$['a\\b']", "$[1000000]", "$[-1]", "$a",
		"$" + strings.Repeat(".a", 33), "$['" + strings.Repeat("a", 5000) + "']",
	} {
		if p, err := ParsePath(s); err == nil {
			t.Errorf("%q was accepted as %+v", s, p)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"level":3.2,"t":1772366340}`, `12`, `ON`, `{"level":null}`, `{"level":[1,{"a":2}]}`, "\xff", `{"level":1e309}`, `{"level":-0,"t":"2026-03-01T11:59:00Z"}`} {
		f.Add("$.level", []byte(seed))
	}
	f.Add("$['a'][0].b", []byte(`{"a":[{"b":1}]}`))
	f.Fuzz(func(t *testing.T, where string, data []byte) {
		p, err := ParsePath(where)
		if err != nil {
			return
		}
		if p.String() != where {
			t.Fatalf("%q became %q", where, p)
		}
		d := New(Options{Mappings: []Mapping{{Device: "x", Topic: "#", ValueMapping: ValueMapping{Value: p, Time: path(t, "$.t"), Scale: 1e10}}}})
		for _, r := range d.Decode(devices.Message{Topic: "a", Payload: data, Received: received()}).Readings {
			if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) || r.Time.After(received().Add(payload.MaxFuture)) || r.Time.Before(received().Add(-payload.MaxPast)) {
				t.Fatalf("made %+v", r)
			}
		}
	})
}
