package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// field returns the level of a payload.
func field(t *testing.T, payload string) any {
	t.Helper()
	v, err := Parse([]byte(payload))
	if err != nil {
		t.Errorf("%.60q: %v", payload, err)
		return nil
	}
	object, _ := v.(map[string]any)
	return object["level"]
}

// TestOtherFieldsAreKept: whatever one field has that JSON does not know, the other one is read.
func TestOtherFieldsAreKept(t *testing.T) {
	for _, other := range []string{
		"nan", "NaN", "-nan", "NAN", "Infinity", "-Infinity", "inf", "-inf", "undefined", "None", "True", "007", "+5", ".5", "5.", "0x1F", "1e999", "1_000", "",
		`'single "quotes"'`, `"\x41\q\u12"`, `"\ud800"`, `"\ud83d\ude00"`, "\"line\nbreak\"", `"\` + "水\"", "\"\xff\xfe\"", "\"\xff\\\"\"",
		"\"\xb3\xac\xbe\x5c\"", // GBK whose last byte is a backslash
		"\"\xcb\xae\xce\xbb\"", "\"\xe6\xb0\"", "[nan, 1,]", "{a: 1, 'b': 2,}", "[[],{}]", "{}", "[,]", "开", "\xff",
	} {
		for _, form := range []string{`{"a":%s,"level":3.5}`, `{"level":3.5,"a":%s}`, " { \"level\" : 3.5 , \"a\" : %s\r\n, } ", "\ufeff{\"a\":%s,\"level\":3.5}\x00", "\x00{\"level\":3.5,\"a\":%s}\x00\x00\n"} {
			if got := field(t, fmt.Sprintf(form, other)); got != json.Number("3.5") {
				t.Errorf("%q in %q: the level is %v", other, form, got)
			}
		}
	}
}

func TestWords(t *testing.T) {
	for text, want := range map[string]any{
		"nan": "nan", "-inf": "-inf", "007": "007", "None": nil, "": nil, "True": true, "FALSE": false, "1e999": json.Number("1e999"), "-0": json.Number("-0"),
		`"on"`: "on", `"a\u6c34\n"`: "a水\n", `"\ud83d\ude00"`: "😀", `"\ud83dx"`: "�x", `"\/\q"`: "/q", `1, "level": 2`: json.Number("2"),
		"\"\xb3\x5c\"": "�",
	} {
		if got := field(t, `{"level":`+text+`}`); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v, expected %#v", text, got, want)
		}
	}
	for text, want := range map[string]any{
		"12.5": json.Number("12.5"), " ON\x00": "ON", `"off"`: "off", "true": true, "null": nil, "": "", "12 mm": "12 mm", `"a" b`: `"a" b`, "\xff\xfe": "\xff\xfe", "-": "-", "nan": "nan",
	} {
		if got, err := Parse([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %#v, expected %#v (%v)", text, got, want, err)
		}
	}
}

func TestNotJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"level":1} trailing`:                 "expected the end at byte 12",
		`{"level":`:                            "expected the end of a word at byte 9",
		`{"level":"a`:                          "expected the end of a text at byte 11",
		`{"level" 1}`:                          "expected a colon at byte 9",
		`{"level":1 2}`:                        "expected a comma or } at byte 11",
		`{"level":1"a"}`:                       "expected a value at byte 10",
		`[1:2]`:                                "expected a value at byte 2",
		`{:1}`:                                 "expected a key at byte 1",
		`[` + strings.Repeat("x", 100) + `]`:   "expected the end of a word",
		"[" + strings.Repeat(",", maxValues+1): "more than 131072 values",
		strings.Repeat("[", 60000):             "nested more than 64 deep",
		strings.Repeat(" ", maxSize) + "1":     "more than 1048576 bytes",
	} {
		v, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, expected %q", text, err, want)
		}
		if v != nil && v != text {
			t.Errorf("%.40q: the text is %.60v", text, v)
		}
	}
}

// TestParseIsJSON: what is JSON is read as encoding/json reads it.
func TestParseIsJSON(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 1))
	for range 2000 {
		want := randomValue(random, 4)
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got, err := Parse(data); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s is\n%#v, expected\n%#v (%v)", data, got, want, err)
		}
	}
}

func randomValue(r *rand.Rand, depth int) any {
	if depth == 0 {
		return []any{nil, true, r.Float64(), -r.Int64(), "水\u2028\"\\'\x01\U0001f600", "12", ""}[r.IntN(7)]
	}
	if r.IntN(2) == 0 {
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = randomValue(r, depth-1)
		}
		return list
	}
	object := map[string]any{}
	for range r.IntN(4) {
		object[fmt.Sprint("k ", r.IntN(9))] = randomValue(r, depth-1)
	}
	return object
}

// FuzzParse: whatever is read can be written as JSON and read again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"a":nan,'b':[1,,],c:"\u00e9\x"}`, "\ufeff{\"a\":\"\xb3\x5c\"}\x00", `[[[{"a":{}}]]]`, "12 mm", `"x"`, `{"a":1,"a":2}`, "\xff", `{"水位":-1.5e3}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Parse(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%q became %#v, which is not JSON: %v", data, v, err)
		}
		if _, isText := v.(string); isText || len(again) > maxSize {
			return
		}
		if w, err := Parse(again); err != nil || !reflect.DeepEqual(v, w) {
			t.Fatalf("%q became %#v and then %#v, %v", data, v, w, err)
		}
	})
}
