package firmwareconfig

import (
	"maps"
	"slices"
	"testing"
	"time"

	"gridpost/devices/decode"
)

// TestSensorValues holds what the keys of values mean.
func TestSensorValues(t *testing.T) {
	doc, err := parseFile(t, "testdata/values.good.yml")
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]decode.ValueMapping{}
	for _, s := range doc.Sensors {
		of[s.Name] = s.ValueMapping
	}
	if m := of["leak"].Missing; m == nil || *m != 0 {
		t.Errorf("missing is %v", m)
	}
	if want := map[string]float64{"open": 1, "close": 0, "开": 1, "关": 0, "on": 2, "65535": -1}; !maps.Equal(of["door"].Map, want) {
		t.Errorf("map is %v", of["door"].Map)
	}
	level := of["level"]
	if level.Range != (decode.Range{Min: 0, Max: 12.5, Set: true}) || !slices.Equal(level.Invalid, []string{"65535", "-9999", "no probe"}) || level.Quality.Path.String() != "$.values[name=level].quality" {
		t.Errorf("level is %+v", level)
	}
	if cold := of["cold"]; cold.Scale != 0.1 || cold.Offset != -40 || cold.Decimal != decode.Comma || !slices.Equal(cold.Quality.Good, []string{"0"}) || !slices.Equal(cold.Quality.Bad, []string{"1", "2"}) {
		t.Errorf("cold is %+v", cold)
	}
	if b := of["counter"].Bytes; b != (decode.Bytes{At: 2, Length: 4, Little: true, As: decode.Signed}) || of["counter"].Encoding != decode.Hex {
		t.Errorf("bytes are %+v", b)
	}
	if state := of["state"]; !state.Text || state.Times.Zone == nil {
		t.Errorf("state is %+v", state)
	}
	river := of["river"]
	if _, offset := time.Unix(0, 0).In(river.Times.Zone).Zone(); offset != 8*3600 || river.Date.String() != "$.d" || river.Times.Format.String() != "yyyy-MM-dd HH:mm:ss" || river.Text {
		t.Errorf("river is %+v", river)
	}
}
