package decode

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gridpost/devices"
	"gridpost/devices/format"
	"gridpost/devices/payload"
)

// read reads a payload by a mapping.
func read(t testing.TB, m ValueMapping, text string) (devices.Reading, devices.Cause, error) {
	t.Helper()
	document, err := payload.Parse([]byte(text))
	if err != nil {
		return devices.Reading{}, devices.Cause{}, err
	}
	of := Mapping{Device: "river", ValueMapping: m}
	return said(of.read(format.Report{Document: document, HasValues: true}, message("r", text)))
}

// said describes the warning of a reading.
func said(r devices.Reading, warn warning, err error) (devices.Reading, devices.Cause, error) {
	if warn.cause == nil {
		return r, devices.Cause{}, err
	}
	return r, warn.cause(), err
}

func ptr(f float64) *float64 { return &f }

// TestMappings: what a value becomes. A result that begins with ! is what the error says.
func TestMappings(t *testing.T) {
	level := path(t, "$.v")
	for _, c := range []struct {
		m             ValueMapping
		payload, want string
	}{
		// Words.
		{ValueMapping{Value: level}, `{"v":"Leak"}`, "1"},
		{ValueMapping{Value: level}, `{"v":"Not Detected"}`, "0"},
		{ValueMapping{Value: level}, `{"v":"no_leak"}`, "0"},
		{ValueMapping{Value: level}, `{"v":"开"}`, "1"},
		{ValueMapping{Value: level}, `{"v":"关"}`, "0"},
		{ValueMapping{Value: level, Map: map[string]float64{"halb": 50, "false": 1, "true": 0, "2": 7}}, `{"v":"Halb"}`, "50"},
		{ValueMapping{Value: level, Map: map[string]float64{"false": 1, "true": 0}, Scale: 10}, `{"v":false}`, "1"},
		{ValueMapping{Value: level, Map: map[string]float64{"2": 7}}, `{"v":2.0}`, "7"},
		{ValueMapping{Value: level, Map: map[string]float64{"2": 7}, Scale: 10}, `{"v":3}`, "30"},
		{ValueMapping{Value: level, Map: map[string]float64{"2": 7}}, `{"v":"high"}`, `!the value "high" is neither a number nor a known word`},
		{ValueMapping{Value: level, Map: map[string]float64{"unknown": 3}}, `{"v":"Unknown"}`, "3"},
		// There is no value.
		{ValueMapping{Value: level}, `{"v":nan}`, "0 bad"},
		{ValueMapping{Value: level}, `{"v":-Infinity}`, "0 bad"},
		{ValueMapping{Value: level}, `{"v":"unavailable"}`, "0 bad"},
		{ValueMapping{Value: level}, `{"v":""}`, "0 bad"},
		{ValueMapping{}, `nan`, "0 bad"},
		{ValueMapping{}, `Unknown`, "0 bad"},
		{ValueMapping{Value: level}, `{"v":"-----"}`, "0 bad"},
		{ValueMapping{Value: level}, `{"v":1.#QNAN}`, "0 bad"},
		{ValueMapping{Value: level}, `{"v":"-1.#IND00"}`, "0 bad"},
		{ValueMapping{Value: level}, `{"v":"n.a."}`, "0 bad"},
		{ValueMapping{}, "", "!the payload is empty"},
		{ValueMapping{Value: level}, `{"v":[]}`, "!the value is an object or a list"},
		// Scale, offset, range, sentinels.
		{ValueMapping{Value: level, Scale: 0.1, Offset: -40, Unit: "°C"}, `{"v":652}`, "25.2 °C"},
		{ValueMapping{Value: level, Offset: 1}, `{"v":"2,5"}`, "3.5"},
		{ValueMapping{Value: level, Range: Range{Min: -5, Max: 5, Set: true}}, `{"v":5}`, "5"},
		{ValueMapping{Value: level, Range: Range{Min: -5, Max: 5, Set: true}}, `{"v":5.1}`, "5.1 bad"},
		{ValueMapping{Value: level, Range: Range{Min: 0, Max: 10, Set: true}, Scale: 0.01}, `{"v":1500}`, "15 bad"},
		{ValueMapping{Value: level, Invalid: []string{"65535", "no probe"}, Scale: 0.1}, `{"v":65535}`, "0 bad"},
		{ValueMapping{Value: level, Invalid: []string{"65535", "no probe"}}, `{"v":"65535.0"}`, "0 bad"},
		{ValueMapping{Value: level, Invalid: []string{"65535", "no probe"}, Unit: "mm"}, `{"v":"65535 mm"}`, "0 mm bad"},
		{ValueMapping{Value: level, Invalid: []string{"65535", "no probe"}}, `{"v":"No Probe"}`, "0 bad"},
		{ValueMapping{Value: level, Scale: 1e300}, `{"v":1e300}`, "!the value is out of the range of a number"},
		{ValueMapping{Value: level}, `{"v":1e999}`, "!the value is out of the range of a number"},
		// Numbers as texts, with units.
		{ValueMapping{Value: level, Unit: "m"}, `{"v":"1234 mm"}`, "1.234 m"},
		{ValueMapping{Value: level, Unit: "m"}, `{"v":"1234mm"}`, "1.234 m"},
		{ValueMapping{Value: level, Unit: "m"}, `{"v":"3,5 m"}`, "3.5 m"},
		{ValueMapping{Value: level}, `{"v":"3,5 m"}`, "3.5 m"},
		{ValueMapping{Value: level, Unit: "°C"}, `{"v":"68 F"}`, "20 °C"},
		{ValueMapping{Value: level, Unit: "°C"}, `{"v":"21,5℃"}`, "21.5 °C"},
		{ValueMapping{Value: level, Unit: "MPa"}, `{"v":"1 mPa"}`, "1e-09 MPa"},
		{ValueMapping{Value: level, Unit: "m"}, `{"v":"12 °C"}`, `!the value is in "°C", which cannot be converted to "m"; scale would say how`},
		{ValueMapping{Value: level, Unit: "m", Scale: 0.001}, `{"v":"1234 ticks"}`, "1.234 m"},
		{ValueMapping{Value: level, Unit: "Ticks"}, `{"v":"12 ticks"}`, "12 Ticks"},
		{ValueMapping{Value: level}, `{"v":"5a3f"}`, `!the value "5a3f" is neither a number nor a known word`},
		{ValueMapping{Value: level}, `{"v":"5c"}`, `!the value "5c" is neither a number nor a known word`},
		{ValueMapping{Value: level}, `{"v":"5 a"}`, "5 a"},
		{ValueMapping{Value: level}, `{"v":"3.3V\u0000"}`, "3.3 V"},
		{ValueMapping{Value: level}, `{"v":"2026-03-01"}`, `!the value "2026-03-01" is neither a number nor a known word`},
		{ValueMapping{Value: level}, `{"v":"12:30"}`, `!the value "12:30" is neither a number nor a known word`},
		{ValueMapping{Value: level}, `{"v":"1.2.3"}`, `!the value "1.2.3" is neither a number nor a known word`},
		{ValueMapping{Value: level}, `{"v":"−5"}`, "-5"},
		{ValueMapping{Value: level}, `{"v":"+5.0e1"}`, "50"},
		{ValueMapping{Value: level}, `{"v":007}`, "7"},
		{ValueMapping{Value: level, Unit: "m"}, `{"v":"5."}`, "5 m"},
		{ValueMapping{Value: level}, `{"v":"5, mm"}`, "5 mm"},
		{ValueMapping{Value: level}, `{"v":"270°"}`, "270 °"},
		{ValueMapping{Value: level}, `{"v":"1.#5"}`, "0 bad"},
		{ValueMapping{Value: level}, `{"v":"12.x"}`, `!the value "12.x" is neither a number nor a known word`},
		{ValueMapping{Value: level}, `{"v":"≥ 12"}`, `!the value "≥ 12" is neither a number nor a known word`},
		{ValueMapping{Value: level}, `{"v":"0x1F"}`, `!the value "0x1F" is neither a number nor a known word`},
		{ValueMapping{Value: level}, `{"v":"0,125"}`, "0.125"},
		{ValueMapping{Value: level}, `{"v":"1,234"}`, `!the value "1,234" can be read in two ways; decimal: comma or decimal: point would say which`},
		{ValueMapping{Value: level, Decimal: Comma}, `{"v":"1,234"}`, "1.234"},
		{ValueMapping{Value: level, Decimal: Point}, `{"v":"1,234"}`, "1234"},
		{ValueMapping{Value: level, Decimal: Comma}, `{"v":"1.234,5"}`, "1234.5"},
		{ValueMapping{Value: level}, `{"v":"1.234,5"}`, "1234.5"},
		{ValueMapping{Value: level}, `{"v":"1,234.5"}`, "1234.5"},
		{ValueMapping{Value: level}, `{"v":"1,234,567"}`, "1.234567e+06"},
		{ValueMapping{Value: level}, `{"v":"12,34,567"}`, `!the value "12,34,567" can be read in two ways; decimal: comma or decimal: point would say which`},
		{ValueMapping{Value: level}, `{"v":9007199254740992}`, "9.007199254740992e+15"},
		{ValueMapping{Value: level}, `{"v":9007199254740993}`, "!the integer 9007199254740993 has more digits than a number holds; type: text would keep them"},
		{ValueMapping{Value: level}, `{"v":"18446744073709551615"}`, "!the integer 18446744073709551615 has more digits than a number holds; type: text would keep them"},
		{ValueMapping{Value: level}, `{"v":0.12345678901234567890}`, "0.123456789012"},
		// Missing.
		{ValueMapping{Value: level, Missing: ptr(0)}, `{"battery":3}`, "0"},
		{ValueMapping{Value: path(t, "$.object.leak"), Missing: ptr(0)}, `{"object":{}}`, "0"},
		{ValueMapping{Value: path(t, "$.object.leak"), Missing: ptr(0), Scale: 10, Offset: 5}, `{"object":{"battery":3}}`, "0"},
		{ValueMapping{Value: path(t, "$.object.leak"), Missing: ptr(0)}, `{"devAddr":"01"}`, "!there is no value at $.object.leak"},
		{ValueMapping{Value: level, Missing: ptr(0)}, `{}`, "!there is no value at $.v"},
		{ValueMapping{Value: level, Missing: ptr(0)}, `[1]`, "!there is no value at $.v"},
		{ValueMapping{Value: level, Missing: ptr(0)}, `offline`, "!there is no value at $.v"},
		{ValueMapping{Value: level, Missing: ptr(0), Time: path(t, "$.time")}, `{"joined":true}`, "!there is no value at $.v"},
		{ValueMapping{Value: level, Missing: ptr(0)}, `{"v":null}`, "0 bad"},
		{ValueMapping{Value: path(t, "$.l[name=a].value"), Missing: ptr(0)}, `{"l":[{"name":"a"}]}`, "0"},
		{ValueMapping{Value: path(t, "$.l[name=a].value"), Missing: ptr(0)}, `{"l":[{"name":"b"}]}`, "!there is no value at $.l[name=a].value"},
		{ValueMapping{Value: path(t, "$.l[0]"), Missing: ptr(0)}, `{"l":[]}`, "!there is no value at $.l[0]"},
		// Elements by name.
		{ValueMapping{Value: path(t, "$.values[name=level].value")}, `{"values":[{"name":"t","value":1},7,{"name":"level","value":2}]}`, "2"},
		{ValueMapping{Value: path(t, `$[id="7 ]"]['v']`)}, `[{"id":7,"v":1},{"id":"7 ]","v":3}]`, "3"},
		{ValueMapping{Value: path(t, "$.a[n=7].v")}, `{"a":[{"n":7,"v":4}]}`, "4"},
		{ValueMapping{Value: path(t, "$.a[水位=是].v")}, `{"a":[{"水位":"是","v":4}]}`, "4"},
		// Quality.
		{ValueMapping{Value: level, Quality: Quality{Path: path(t, "$.q")}}, `{"v":1,"q":"GOOD"}`, "1"},
		{ValueMapping{Value: level, Quality: Quality{Path: path(t, "$.q")}}, `{"v":1,"q":192}`, "1"},
		{ValueMapping{Value: level, Quality: Quality{Path: path(t, "$.q")}}, `{"v":1,"q":"uncertain"}`, "1 bad"},
		{ValueMapping{Value: level, Quality: Quality{Path: path(t, "$.q")}}, `{"v":1,"q":null}`, "1 bad"},
		{ValueMapping{Value: level, Quality: Quality{Path: path(t, "$.q")}}, `{"v":1}`, "1"},
		{ValueMapping{Value: level, Quality: Quality{Path: path(t, "$.e"), Good: []string{"0"}}}, `{"v":1,"e":0}`, "1"},
		{ValueMapping{Value: level, Quality: Quality{Path: path(t, "$.e"), Good: []string{"0"}}}, `{"e":2014}`, "0 bad"},
		{ValueMapping{Value: level, Quality: Quality{Path: path(t, "$.e"), Bad: []string{"defekt"}}}, `{"v":1,"e":"Defekt"}`, "1 bad"},
		{ValueMapping{Value: level, Quality: Quality{Path: path(t, "$.e"), Bad: []string{"defekt"}}}, `{"v":1,"e":"fein"}`, "1"},
		// Encodings.
		{ValueMapping{Value: path(t, "$.data.level"), Encoding: JSONString}, `{"data":"{\"level\":3.5}"}`, "3.5"},
		{ValueMapping{Value: path(t, "$.level"), Encoding: JSONString}, `"{\"level\":3.5}"`, "3.5"},
		{ValueMapping{Value: path(t, "$.a.b.c"), Encoding: JSONString}, `{"a":"{\"b\":\"{\\\"c\\\":nan}\"}"}`, "0 bad"},
		{ValueMapping{Value: path(t, "$.data.level")}, `{"data":"{\"level\":3.5}"}`, "!there is no value at $.data.level"},
		{ValueMapping{Value: path(t, "$.data.level"), Encoding: Base64}, `{"data":"eyJsZXZlbCI6M30="}`, "3"},
		{ValueMapping{Value: path(t, "$.data"), Encoding: Base64}, `{"data":"MTIgbW0"}`, "12 mm"},
		{ValueMapping{Value: path(t, "$.data"), Encoding: Hex, Bytes: Bytes{At: 1, Length: 2, As: Unsigned}}, `{"data":"01 0C-E4:ff"}`, "3300"},
		{ValueMapping{Value: path(t, "$.data"), Encoding: Hex, Bytes: Bytes{At: 1, Length: 2, As: Signed, Little: true}, Scale: 0.1}, `{"data":"0x01ceffff"}`, "-5"},
		{ValueMapping{Value: path(t, "$.data"), Encoding: Hex, Bytes: Bytes{Length: 4, As: Float}}, `{"data":"40490fdb"}`, "3.1415927"},
		{ValueMapping{Value: path(t, "$.data"), Encoding: Hex, Bytes: Bytes{Length: 4, As: Float}}, `{"data":"7fc00000"}`, "0 bad"},
		{ValueMapping{Value: path(t, "$.data"), Encoding: Hex, Bytes: Bytes{Length: 8, As: Unsigned}}, `{"data":"ffffffffffffffff"}`, "!the integer 18446744073709551615 has more digits than a number holds; type: text would keep them"},
		{ValueMapping{Value: path(t, "$.data"), Encoding: Base64, Bytes: Bytes{At: 2, Length: 2, As: Unsigned}}, `{"data":"AQID"}`, "!the value has 3 bytes, and bytes 2 to 3 are to be read"},
		{ValueMapping{Value: path(t, "$.data"), Encoding: Hex, Bytes: Bytes{Length: 1, As: Unsigned}}, `{"data":12}`, "!the value is not hex"},
		{ValueMapping{Value: path(t, "$.data"), Encoding: Hex}, `{"data":null}`, "0 bad"},
		{ValueMapping{Value: path(t, "$.data"), Encoding: Hex}, `{"data":"zz"}`, "!the value is not hex"},
		{ValueMapping{Value: path(t, "$.data"), Encoding: Base64}, `{"data":"%%"}`, "!the value is not base64"},
		{ValueMapping{Encoding: Hex, Bytes: Bytes{Length: 1, As: Unsigned}}, `0a`, "10"},
		// Texts.
		{ValueMapping{Value: level, Text: true}, `{"v":" Pumpe 2\nläuft "}`, "'Pumpe 2 läuft'"},
		{ValueMapping{Value: level, Text: true}, `{"v":9007199254740993}`, "'9007199254740993'"},
		{ValueMapping{Value: level, Text: true}, `{"v":true}`, "'true'"},
		{ValueMapping{Value: level, Text: true}, `{"v":"Unavailable"}`, "'Unavailable' bad"},
		{ValueMapping{Value: level, Text: true}, `{"v":null}`, "0 bad"},
		{ValueMapping{Value: level, Text: true}, `{"v":" \n"}`, "0 bad"},
		{ValueMapping{Value: level, Text: true}, `{"v":"` + strings.Repeat("水", 300) + `"}`, "'" + strings.Repeat("水", 200) + "'"},
		{ValueMapping{Value: path(t, "$.data"), Text: true, Encoding: Hex}, `{"data":"4f4b00"}`, "'OK'"},
	} {
		r, problem, err := read(t, c.m, c.payload)
		got := fmt.Sprint(float64(math.Round(r.Value*1e12)/1e12), " ", r.Unit)
		if math.Abs(r.Value) < 1e-6 || math.Abs(r.Value) > 1e6 {
			got = fmt.Sprint(r.Value, " ", r.Unit)
		}
		switch {
		case err != nil:
			got = "!" + err.Error()
		case r.Text != "":
			got = "'" + r.Text + "'"
		}
		if r.Quality == devices.Bad {
			got = strings.TrimSpace(got) + " bad"
		}
		if strings.TrimSpace(got) != c.want || !problem.IsZero() {
			t.Errorf("%s of %+v: %s, expected %s (%v)", c.payload, c.m, got, c.want, problem)
		}
	}
}

func TestReadingTimes(t *testing.T) {
	times := payload.Times{Zone: time.FixedZone("", 8*3600)}
	plain := ValueMapping{Value: path(t, "$.v"), Time: path(t, "$.t"), Times: times}
	two := ValueMapping{Value: path(t, "$.v"), Date: path(t, "$.d"), Time: path(t, "$.t"), Times: times}
	want := received().Add(-time.Minute)
	for _, c := range []struct {
		m             ValueMapping
		payload, code string
		excerpt       string
	}{
		{plain, `{"v":1,"t":"2026-03-01 19:59:00"}`, "", ""},
		{plain, `{"v":1,"t":20260301195900}`, "", ""},
		{two, `{"v":1,"d":"2026-03-01","t":"19:59"}`, "", ""},
		{plain, `{"v":1,"t":"soon"}`, "reading_time_unreadable", "soon"},
		{plain, `{"v":1,"t":nan}`, "reading_time_unreadable", "nan"},
		{plain, `{"v":1,"t":{}}`, "reading_time_unreadable", ""},
		{plain, `{"v":1}`, "reading_time_unreadable", ""},
		{two, `{"v":1,"t":"19:59"}`, "reading_time_unreadable", ""},
		{two, `{"v":1,"d":"gestern","t":"19:59"}`, "reading_time_unreadable", "gestern 19:59"},
		{plain, `{"v":1,"t":"1970-01-01 00:00:00"}`, "reading_time_implausible", "1970-01-01 00:00:00"},
		{plain, `{"v":1,"t":"2026-03-01T11:59:00-08:00"}`, "reading_time_implausible", "2026-03-01T11:59:00-08:00"},
		{ValueMapping{Value: path(t, "$.v"), Time: path(t, "$.t")}, `{"v":1,"t":"2026-03-01 19:59:00"}`, "reading_time_unreadable", "2026-03-01 19:59:00"},
	} {
		r, problem, err := read(t, c.m, c.payload)
		at := want
		if c.code != "" {
			at = received()
		}
		if err != nil || !r.Time.Equal(at) || problem.Code != c.code || problem.Params["excerpt"] != c.excerpt {
			t.Errorf("%s: %+v, %+v, %v", c.payload, r, problem, err)
		}
	}
}

func TestExcerpts(t *testing.T) {
	for text, want := range map[string]string{
		`{"level": "x",  "b":1}`:                              `{"level": "x", "b":1}`,
		"\xff\x00\x01 garbage\n水":                             "\ufffd garbage 水",
		`{"wifi_password":"hunter2","level":1}`:               `{"wifi_password":…,"level":1}`,
		`{"apiKey": 'a, b', "AuthToken":17}`:                  `{"apiKey": …, "AuthToken":…}`,
		`{"d":"{\"token\":\"abc\"}"}`:                         `{"d":"{\"token\":…}`,
		`url=rtsp://user:pa%20ss@host/x&password=abc`:         `url=rtsp://…@host/x&password=…`,
		`{"password":"` + strings.Repeat("s", 700):            `{"password":…`,
		strings.Repeat("水", 100):                              strings.Repeat("水", 79) + "…",
		strings.Repeat(" ", 700) + `{"secret":"a"}`:           "",
		strings.Repeat("x", 70) + `{"secret":"hunter2hunter2`: strings.Repeat("x", 70) + `{"secret"…`,
	} {
		if got := excerpt(text); got != want {
			t.Errorf("%q: %q, expected %q", text, got, want)
		}
	}
	c := notUnderstood([]byte(`{"v":"x"}`), fmt.Errorf("there is no value at %s, password=hunter2 \x00", strings.Repeat("x", 300)))
	if len([]rune(c.Params["reason"])) > 160 || strings.ContainsRune(c.Text, 0) || c.Params["excerpt"] != `{"v":"x"}` {
		t.Errorf("%+v", c)
	}
}

// randomMapping returns a mapping of any combination of keys.
func randomMapping(t testing.TB, random *rand.Rand) ValueMapping {
	pick := func(paths ...string) Path { return path(t, paths[random.IntN(len(paths))]) }
	m := ValueMapping{Value: pick("", "$.a", "$.a.b", "$.l[0]", "$.l[name=a].v", "$.a.a.a"), Unit: []string{"", "m", "°C"}[random.IntN(3)]}
	some := func() bool { return random.IntN(3) == 0 }
	if some() {
		m.Time = pick("$.t", "$.a", "$.l[1]")
	}
	if some() {
		m.Date = pick("$.d", "$.a")
	}
	if some() {
		m.Missing = ptr(0)
	}
	if some() {
		m.Map = map[string]float64{"on": 3, "5": 4}
	}
	if some() {
		m.Scale, m.Offset = 1e200, -1
	}
	if some() {
		m.Range = Range{Min: -1, Max: 100, Set: true}
	}
	if some() {
		m.Invalid = []string{"5", "x"}
	}
	if some() {
		m.Quality.Path = pick("$.q", "$.a")
	}
	m.Encoding = []Encoding{"", "", JSONString, Hex, Base64}[random.IntN(5)]
	if some() {
		m.Bytes = Bytes{At: random.IntN(4), Length: random.IntN(9), Little: some(), As: []string{Unsigned, Signed, Float}[random.IntN(3)]}
	}
	m.Text = some()
	m.Times.Zone = []*time.Location{nil, time.UTC}[random.IntN(2)]
	return m
}

func randomField(random *rand.Rand, depth int) string {
	words := []string{
		"5", "-0", "1e308", "1e999", "nan", "null", "true", `"on"`, `"5 mm"`, `"3,5"`, `"65535"`, `"0A0b"`, `"eyJhIjoxfQ=="`, `"{\"a\":1}"`, `"2026-03-01T11:59:00Z"`, "1772366340", "20260301115900",
		`"` + strings.Repeat("9", 80) + `"`, "\"\xb3\x5c\"", `"\ud800"`, "", "9007199254740993", `"水"`, `"unavailable"`, "{}", "[]",
	}
	if depth == 0 || random.IntN(2) == 0 {
		return words[random.IntN(len(words))]
	}
	if random.IntN(2) == 0 {
		return fmt.Sprintf(`[%s,{"name":"a","v":%s}]`, randomField(random, depth-1), randomField(random, depth-1))
	}
	return fmt.Sprintf(`{"a":%s,"b":%s}`, randomField(random, depth-1), randomField(random, depth-1))
}

// TestAnyDocumentAndMapping: nothing panics, what is made is sound, and no field loses another one.
func TestAnyDocumentAndMapping(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 3))
	other := ValueMapping{Value: path(t, "$.other")}
	for range 4000 {
		fields := []string{`"other":42.5`}
		for _, name := range []string{"a", "l", "t", "d", "q", "a"} {
			if random.IntN(4) > 0 {
				fields = append(fields, fmt.Sprintf("%q:%s", name, randomField(random, 2)))
			}
		}
		random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
		text := "{" + strings.Join(fields, ",") + "}"
		if r, _, err := read(t, other, text); err != nil || r.Value != 42.5 {
			t.Fatalf("%s: the other field is %+v, %v", text, r, err)
		}
		m := randomMapping(t, random)
		r, problem, err := read(t, m, text)
		checkReading(t, m, text, r, problem, err)
	}
}

func checkReading(t *testing.T, m ValueMapping, text string, r devices.Reading, problem devices.Cause, err error) {
	t.Helper()
	switch {
	case err != nil:
		cause := notUnderstood([]byte(text), err)
		if len([]rune(cause.Params["excerpt"])) > maxExcerpt || !utf8.ValidString(cause.Text) || cause.Params["reason"]+cause.Params["cause"] == "" {
			t.Fatalf("%q by %+v: %+v", text, m, cause)
		}
	case math.IsNaN(r.Value), math.IsInf(r.Value, 0), !payload.Plausible(r.Time, received()), len([]rune(r.Text)) > devices.MaxText, !utf8.ValidString(r.Text), m.Text && r.Value != 0, len([]rune(r.Unit)) > maxUnit,
		r.Quality != devices.Good && r.Quality != devices.Bad, !problem.IsZero() && !r.Time.Equal(received()):
		t.Fatalf("%q by %+v: %+v, %+v", text, m, r, problem)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Fatal(err)
	}
}

func FuzzValue(f *testing.F) {
	for _, seed := range []string{`{"a":"1234 mm","q":0}`, `{"a":"3,5"}`, `{"a":{"b":nan}}`, `{"l":[{"name":"a","v":"0a0b"}]}`, `{"a":"eyJhIjoxfQ==","t":"2026-03-01 11:59"}`, `1e309`, "开", `{"a":9007199254740993}`} {
		f.Add(uint64(1), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, data []byte) {
		document, err := payload.Parse(data)
		if err != nil {
			return
		}
		m := Mapping{Device: "river", ValueMapping: randomMapping(t, rand.New(rand.NewPCG(seed, 0)))}
		r, problem, err := said(m.read(format.Report{Document: document, HasValues: true, Partial: seed%2 == 0}, devices.Message{Payload: data, Received: received()}))
		checkReading(t, m.ValueMapping, string(data), r, problem, err)
	})
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{"$.a", "$.values[name=level].value", `$[id="7 ]"]['v']`, "$[0]", "$.水位"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePath(text)
		if err != nil {
			return
		}
		// A document that is made by the path has its value there.
		var document any = json.Number("7")
		for i := len(p.steps) - 1; i >= 0; i-- {
			switch st := p.steps[i]; {
			case st.named:
				object, ok := document.(map[string]any)
				if _, taken := object[st.name]; !ok || taken || strings.TrimSpace(strings.ToValidUTF8(st.want, "\ufffd")) != st.want {
					return // no object is there to have the name
				}
				object[st.name] = st.want
				document = []any{object}
			case st.index >= 0:
				if st.index > 1000 {
					return
				}
				list := make([]any, st.index+1)
				list[st.index] = document
				document = list
			default:
				document = map[string]any{st.name: document}
			}
		}
		if v, ok := p.in(document, ""); !ok || v != json.Number("7") {
			t.Fatalf("%s in %v is %v", text, document, v)
		}
	})
}

// TestRefusalsHaveCodes: what is wrong is said by a code within the cause, or in words when there is more to
// say than a code does.
func TestRefusalsHaveCodes(t *testing.T) {
	_, _, err := read(t, ValueMapping{Value: path(t, "$.v")}, `{"w":1}`)
	if c := notUnderstood(nil, err); c.Params["cause_code"] != "value_absent" || c.Params["cause_path"] != "$.v" || c.Params["reason"] != "" {
		t.Errorf("%+v", c)
	}
	if c := notUnderstood(nil, fmt.Errorf("%w: it has been renamed", err)); c.Params["cause_code"] != "" || c.Params["reason"] != "there is no value at $.v: it has been renamed" {
		t.Errorf("%+v", c)
	}
	_, _, err = read(t, ValueMapping{Value: path(t, "$.v")}, `{"v":`)
	if c := notUnderstood([]byte(`{"v":`), err); c.Params["cause_code"] != "payload_not_json" || c.Params["cause_at"] != "5" || c.Params["excerpt"] != `{"v":` {
		t.Errorf("%+v", c)
	}
	_, problem, err := read(t, ValueMapping{Value: path(t, "$.v"), Time: path(t, "$.t")}, `{"v":1,"t":"2026-03-01 11:59"}`)
	if err != nil || problem.Params["cause_code"] != "time_zone_missing" {
		t.Errorf("%+v, %v", problem, err)
	}
}
