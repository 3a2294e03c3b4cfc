package payload

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

func near() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := ParseZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestAmbiguousDigits: of the times that digits can mean, the plausible one is taken.
func TestAmbiguousDigits(t *testing.T) {
	for _, at := range []time.Time{near(), time.Date(2012, 3, 4, 5, 6, 0, 0, time.UTC), time.Date(2020, 12, 3, 4, 5, 0, 0, time.UTC), time.Date(2040, 12, 31, 23, 59, 0, 0, time.UTC)} {
		for _, text := range []string{at.Format("20060102150405"), at.Format("200601021504"), at.Format("060102150405"), at.Format("20060102150405000"), fmt.Sprint(at.Unix()), fmt.Sprint(at.UnixMilli())} {
			if got, err := (Times{Zone: time.UTC}).Time(text, at.Add(time.Second)); err != nil || !got.Equal(at) {
				t.Errorf("%s is %v, %v, expected %v", text, got, err, at)
			}
		}
	}
	// Without a zone digits are seconds or milliseconds since 1970, or refused.
	if got, err := (Times{}).Time("20260301115900", near()); err == nil && Plausible(got, near()) {
		t.Errorf("local time without a zone is %v", got)
	}
}

// TestForms: a minute before near, in every form that is known. The zone is that of Beijing.
func TestForms(t *testing.T) {
	beijing := Times{Zone: zone(t, "Asia/Shanghai")}
	want := near().Add(-time.Minute)
	for _, text := range []string{
		"2026-03-01T11:59:00Z", "2026-03-01t11:59:00z", "2026-03-01 11:59:00 UTC", "2026-03-01 11:59Z", "2026-03-01T11:59:00.000000000+00:00", "20260301T115900Z",
		"2026-03-01T19:59:00+08:00", "2026-03-01T19:59:00+0800", "2026-03-01T19:59:00+08", "2026-03-01 19:59:00 +0800", "2026-03-01 19:59:00,000+08:00", "2026-03-01T06:59:00-05:00", "2026-03-01T17:29+0530",
		"2026-03-01T19:59:00", "2026-03-01 19:59:00", "2026-03-01 19:59", "2026-03-01 19:59:00.0", "2026/3/1 19:59:00", "2026/03/01 19:59", "2026.03.01 19:59:00", "2026-03-01  19:59:00", "2026-03-01 19:59:00 CST",
		"2026年03月01日 19时59分00秒", "2026年3月1日19:59", "2026年3月1日 19时59分",
		"2026-03-01 07:59:00 PM", "2026-3-1 7:59 pm CST", "2026-03-01 11:59:00 AM UTC", "2026-03-01_19:59:00", "20260301_195900", "20260301-1959", "20260301115900Z", "20260301195900+0800", "202603011159Z", "20260301195900000 +08:00", "20260301T1159Z",
		"2026-03-01 19:59:00 GMT+8", "2026-03-01 19:59:00 UTC+08:00", "2026-03-01 19:59:00:000", "2026-03-01T19:59:00+08:00\x00",
		"2026-03-01T19:59:00.000+08:00[Asia/Shanghai]", "2026-03-01T11:59Z[UTC]", "/Date(1772366340000)/", "/Date(1772366340000+0800)/",
		"20260301195900", "202603011959", "260301195900", "20260301195900.000", "20260301195900000",
		"1772366340", "1772366340000", "1772366340000000", "1772366340000000000", "1772366340.0",
		"Sun, 01 Mar 2026 11:59:00 GMT", "Sun, 01 Mar 2026 19:59:00 +0800", "Sun, 1 Mar 2026 19:59:00", "Sunday, 01-Mar-26 11:59:00 UTC", "Sun Mar  1 19:59:00 2026", "01 Mar 2026 19:59:00 CST", "Sun Mar  1 11:59:00 UTC 2026", "Sun Mar 1 19:59:00 CST 2026",
	} {
		if got, err := beijing.Time(text, near()); err != nil || !got.Equal(want) {
			t.Errorf("%s is %v, %v", text, got, err)
		}
		_, _, number := cutDigits(text)
		if got, err := beijing.Time(json.Number(text), near()); number && (err != nil || !got.Equal(want)) {
			t.Errorf("%s as a number is %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]time.Time{
		"2026-03-01T11:59:00.5Z":      near().Add(-time.Minute + 500*time.Millisecond),
		"2026-03-01T11:59:00,123456Z": near().Add(-time.Minute + 123456*time.Microsecond),
		"1.77236634025e+9":            near().Add(-time.Minute + 250*time.Millisecond),
		"1772366340.25":               near().Add(-time.Minute + 250*time.Millisecond),
		"1772366340123":               near().Add(-time.Minute + 123*time.Millisecond),
		"2016-12-31T23:59:60Z":        time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC),
		"2026-02-28T24:00:00Z":        time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
	} {
		if got, err := (Times{}).Time(json.Number(text), near()); err != nil || !got.Equal(want) {
			t.Errorf("%s is %v, %v, expected %v", text, got, err, want)
		}
	}
}

func TestNoTimes(t *testing.T) {
	for _, v := range []any{
		"", "soon", "0", json.Number("-5"), json.Number("1e300"), json.Number("1e400"), json.Number("1e-9"), "99999999999999999999", nil, true,
		map[string]any{},
		[]any{},
		"2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-00-10T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:01Z", "2026-01-01T25:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z",
		"2026-01-01", "2026-01-01T", "2026-01-01T10", "2026-01-01T10:00:00.Z", "2026-01-01T10:00:00 nowhere", "2026-01-01T10:00:00+25:00", "2026-01-01T10:00:00+8:0", "2026-01-01T10:00:00Zx",
		"01.03.2026 11:59", "03/01/2026 11:59:00", "11:59:00", "2026-03-01 13:00 PM", "2026-03-01 0:30 AM", "2026-03-01 10:00 PMX1", "/Date()/", "2026-03-01 10:00[x]", strings.Repeat("1", 70), "2026-03-01T11:59:00Z" + strings.Repeat(" ", 60) + "x", "-2026-03-01T11:59:00Z", "Feb 30", "Mon, 30 Feb 2026 11:59:00 GMT",
	} {
		if got, err := (Times{Zone: time.UTC}).Time(v, near()); err == nil {
			t.Errorf("%v is %v", v, got)
		}
	}
	for _, text := range []string{"2026-03-01T11:59:00", "2026/3/1 11:59", "Sun Mar  1 11:59:00 2026", "2026-03-01 11:59:00 CST"} {
		if got, err := (Times{}).Time(text, near()); !errors.Is(err, ErrNoZone) {
			t.Errorf("%s names no zone and is %v, %v", text, got, err)
		}
	}
}

// TestWhenSummerEnds: a local time that comes twice is the one that is near the message's arrival.
func TestWhenSummerEnds(t *testing.T) {
	berlin := Times{Zone: zone(t, "Europe/Berlin")}
	format, err := ParseFormat("dd.MM.yyyy HH:mm:ss")
	if err != nil {
		t.Fatal(err)
	}
	formatted := Times{Zone: berlin.Zone, Format: format}
	for at := time.Date(2026, 10, 24, 23, 30, 0, 0, time.UTC); at.Before(time.Date(2026, 10, 25, 2, 30, 0, 0, time.UTC)); at = at.Add(time.Minute) {
		local := at.In(berlin.Zone)
		for _, received := range []time.Time{at, at.Add(20 * time.Second), at.Add(-20 * time.Second)} {
			for _, layout := range []string{"2006-01-02 15:04:05", "20060102150405", time.ANSIC} {
				if got, err := berlin.Time(local.Format(layout), received); err != nil || !got.Equal(at) {
					t.Errorf("%s, received at %v, is %v, %v, expected %v", local.Format(layout), received, got, err, at)
				}
			}
			if got, err := formatted.Time(local.Format("02.01.2006 15:04:05"), received); err != nil || !got.Equal(at) {
				t.Errorf("%v by a format is %v, %v", local, got, err)
			}
		}
	}
	// An offset says which one is meant.
	zoned, err := ParseFormat("yyyy-MM-dd HH:mm Z")
	if err != nil {
		t.Fatal(err)
	}
	first := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)
	for _, o := range []Times{berlin, {Zone: berlin.Zone, Format: zoned}} {
		if got, err := o.Time("2026-10-25 02:30 +02:00", first.Add(time.Hour)); err != nil || !got.Equal(first) {
			t.Errorf("02:30 +02:00 is %v, %v", got, err)
		}
	}
	// In spring an hour is left out; a clock that was not set forward is an hour ahead then.
	spring := time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)
	if got, err := berlin.Time("2026-03-29 02:30:00", spring); err != nil || got.Sub(spring).Abs() > time.Hour {
		t.Errorf("a time that does not exist is %v, %v", got, err)
	}
}

func TestTwoFields(t *testing.T) {
	want := near().Add(-3 * time.Hour)
	for _, c := range [][2]any{
		{"2026-03-01", "09:00:00"},
		{"2026-03-01", "9:00"},
		{"20260301", "090000"},
		{json.Number("20260301"), json.Number("90000")},
		{"260301", json.Number("900")},
		{"2026/3/1", "09:00:00.000"},
		{"2026年3月1日", "9时00分"},
		{"20260301", "090000.00"},
	} {
		if got, err := (Times{Zone: time.UTC}).TwoFields(c[0], c[1], near()); err != nil || !got.Equal(want) {
			t.Errorf("%v is %v, %v", c, got, err)
		}
	}
	for _, c := range [][2]any{{nil, "09:00"}, {"2026-03-01", nil}, {"2026-03-01", ""}, {"2026-03-01", "soon"}, {"2026-03-01", "25:00"}, {"1", "1"}, {"20260301", "1234567"}} {
		if got, err := (Times{Zone: time.UTC}).TwoFields(c[0], c[1], near()); err == nil {
			t.Errorf("%v is %v", c, got)
		}
	}
}

func TestFormats(t *testing.T) {
	want := near().Add(-time.Minute)
	for _, c := range [][2]string{
		{"dd.MM.yyyy HH:mm:ss", "01.03.2026 19:59:00"},
		{"d/M/yy H:m", "1/3/26 19:59"},
		{"MM-dd-yyyy HH:mm:ss.SSS", "03-01-2026 19:59:00.000"},
		{"yyyyMMddHHmmss", "20260301195900"},
		{"yyyyMMddTHHmmssZ", "20260301T115900Z"},
		{"dd.MM.yyyy HH:mm Z", "01.03.2026 19:59 +08:00"},
		{"dd.MM.yyyy HH:mm Z", "01.03.2026 19:59 +0800"},
		{"yyyy年MM月dd日 HH:mm", "2026年03月01日 19:59"},
		{"unix_s", "1772366340"},
		{"unix_ms", "1772366340000"},
		{"unix_us", "1772366340000000"},
		{"unix_ns", "1772366340000000000"},
		{"unix_s", "1772366340.000"},
	} {
		f, err := ParseFormat(c[0])
		if err != nil {
			t.Fatalf("%s: %v", c[0], err)
		}
		if got, err := (Times{Zone: zone(t, "+08:00"), Format: f}).Time(c[1], near()); err != nil || !got.Equal(want) {
			t.Errorf("%s as %s is %v, %v", c[1], c[0], got, err)
		}
		if got, err := (Times{Format: f}).Time("tomorrow", near()); err == nil {
			t.Errorf("%s: tomorrow is %v", c[0], got)
		}
		if date, clock, ok := strings.Cut(c[0], " "); ok && clock != "HH:mm Z" {
			d, c, _ := strings.Cut(c[1], " ")
			if got, err := (Times{Zone: zone(t, "+08:00"), Format: f}).TwoFields(d, c, near()); err != nil || !got.Equal(want) {
				t.Errorf("%s in two fields is %v, %v", date, got, err)
			}
		}
	}
	for _, bad := range []string{"", "yyyy", "yyyy-MM-dd", "yyyy-MM-dd HH:mm:ss:ss", "yyyy-MM-dd hh:mm", "Mon yyyy-MM-dd HH:mm", "yyyy-MM-dd HH:mm 2006", "yyyyy-MM-dd HH:mm", "SSS yyyy-MM-dd HH:mm", "yyyy-MM-dd HH:mm SSS", "unix", "yyyy_MM_dd HH:mm", "yyyy-MM-dd HH:mm\x00"} {
		if f, err := ParseFormat(bad); err == nil {
			t.Errorf("%q is %+v", bad, f)
		}
	}
}

func TestZones(t *testing.T) {
	for text, offset := range map[string]int{"Asia/Shanghai": 8 * 3600, "UTC": 0, "+08:00": 8 * 3600, "-0330": -12600, "+8": 8 * 3600, "Europe/Berlin": 3600} {
		if _, got := near().In(zone(t, text)).Zone(); got != offset {
			t.Errorf("%s is %d s from UTC", text, got)
		}
	}
	for _, bad := range []string{"", "Local", "Beijing", "+25", "+8:0", "../etc/passwd", "8", "+"} {
		if z, err := ParseZone(bad); err == nil {
			t.Errorf("%q is %v", bad, z)
		}
	}
}

// TestRoundTrips: what is written in a zone is read as the same time, whatever the form.
func TestRoundTrips(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 2))
	zones := []string{"UTC", "Asia/Shanghai", "Asia/Kolkata", "Europe/Berlin", "America/St_Johns", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "+05:45", "-11"}
	named := []string{
		"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05.000Z07:00", "2006-01-02 15:04:05.000000 -0700", "2006-01-02T15:04:05,000-0700", "2006/01/02 15:04:05Z0700",
		time.RFC1123Z, time.RFC3339Nano, "20060102T150405Z0700",
	}
	bare := []string{
		"2006-01-02T15:04:05", "2006-01-02 15:04:05.000", "2006/1/2 15:04:05", "2006年01月02日 15时04分05秒", "20060102150405", "20060102150405.000", "060102150405", time.ANSIC, "Mon, 02 Jan 2006 15:04:05",
	}
	for range 3000 {
		in := zone(t, zones[random.IntN(len(zones))])
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(random.Int64N(int64(5 * 365 * 24 * time.Hour)))).Truncate(time.Millisecond)
		received := at.Add(time.Duration(random.Int64N(int64(24 * time.Hour))))
		check := func(text string, exact bool) {
			t.Helper()
			got, err := Times{Zone: in}.Time(text, received)
			// A local time may come twice; then it reads the same again.
			if same := exact && got.Equal(at) || !exact && got.In(in).Format("2006-01-02 15:04:05") == at.In(in).Format("2006-01-02 15:04:05"); err != nil || !same && !(exact && got.Equal(at.Truncate(time.Second))) {
				t.Fatalf("%s in %s is %v, %v, expected %v", text, in, got, err, at)
			}
		}
		for _, layout := range named {
			check(at.In(in).Format(layout), true)
		}
		for _, layout := range bare {
			check(at.In(in).Format(layout), false)
		}
		for _, n := range []int64{at.Unix(), at.UnixMilli(), at.UnixMicro(), at.UnixNano()} {
			check(fmt.Sprint(n), true)
		}
		for pattern, layout := range map[string]string{"dd.MM.yyyy HH:mm:ss": "02.01.2006 15:04:05", "M/d/yyyy H:mm:ss": "1/2/2006 15:04:05", "yyMMdd HHmmss.SSS": "060102 150405.000"} {
			f, err := ParseFormat(pattern)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Times{Zone: in, Format: f}.Time(at.In(in).Format(layout), received)
			if err != nil || got.In(in).Format("2006-01-02 15:04:05") != at.In(in).Format("2006-01-02 15:04:05") {
				t.Fatalf("%s as %s is %v, %v", at.In(in).Format(layout), pattern, got, err)
			}
		}
	}
}

func FuzzTime(f *testing.F) {
	for _, seed := range []string{"2026-03-01T11:59:00Z", "20260301115900", "1772366340.5", "Sun, 01 Mar 2026 11:59:00 GMT", "2026年3月1日 9时", "260301115900", "2026-03-01 11:59:00 +0800"} {
		f.Add(seed, "090000", "dd.MM.yyyy HH:mm:ss")
	}
	f.Fuzz(func(t *testing.T, text, clock, pattern string) {
		o := Times{Zone: zone(t, "Asia/Shanghai")}
		for _, v := range []any{text, json.Number(text)} {
			if got, err := o.Time(v, near()); (err == nil) == got.IsZero() {
				t.Fatalf("%q is %v, %v", text, got, err)
			}
		}
		_, _ = o.TwoFields(text, clock, near())
		format, err := ParseFormat(pattern)
		if err != nil {
			return
		}
		o.Format = format
		if got, err := o.Time(text, near()); err == nil && got.Nanosecond()%1000 != 0 {
			t.Fatalf("%q as %q is %v, finer than a microsecond", text, pattern, got)
		}
	})
}
