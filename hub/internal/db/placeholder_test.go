package db

import (
	"regexp"
	"strings"
	"testing"
)

func TestDollars(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "",
		"SELECT 1":                              "SELECT 1",
		"VALUES (?, ?, ?)":                      "VALUES ($1, $2, $3)",
		"a = ?2 OR b = ?1 OR c = ?":             "a = $2 OR b = $1 OR c = $3",
		"a = ? AND b = '?' AND c = ?":           "a = $1 AND b = '?' AND c = $2",
		"a = 'it''s ?' AND b = ?":               "a = 'it''s ?' AND b = $1",
		`"odd ? name" = ?`:                      `"odd ? name" = $1`,
		"a = ? -- really?\nAND b = ?":           "a = $1 -- really?\nAND b = $2",
		"a /* ? */ = ?":                         "a /* ? */ = $1",
		"a = ? -- to the end?":                  "a = $1 -- to the end?",
		"'没有?' = ?":                             "'没有?' = $1",
		"? /* no end ?":                         "$1 /* no end ?",
		"?10, ?":                                "$10, $11",
		"a - ? / ? - -?":                        "a - $1 / $2 - -$3",
		"?99999999999999999999":                 "$199999999999999999999",
		"(edge, device, at) IN (SELECT ?1, ?1)": "(edge, device, at) IN (SELECT $1, $1)",
	} {
		if got := dollars(text); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// FuzzDollars takes texts apart in another way than dollars does: by one regular expression for what stays
// as it is.
func FuzzDollars(f *testing.F) {
	for _, seed := range []string{"a = ? AND b = '?'", `"?" ?1 ?`, "/* ? */ ?", "-- ?\n?", "'", `"`, "/*", "--", "'a''?'?", "?0", "é?"} {
		f.Add(seed)
	}
	stays := regexp.MustCompile(`(?s)^(?:'[^']*(?:'|$)|"[^"]*(?:"|$)|--[^\n]*(?:\n|$)|/\*.*?(?:\*/|$)|[^?])`)
	placeholder := regexp.MustCompile(`^\?[0-9]*`)
	f.Fuzz(func(t *testing.T, text string) {
		got := dollars(text)
		if again := dollars(got); again != got {
			t.Errorf("%q becomes %q and then %q", text, got, again)
		}
		rest := got
		for text != "" {
			same := stays.FindString(text)
			if same == "" {
				same = text[:1]
			}
			if old := placeholder.FindString(text); old != "" {
				if !strings.HasPrefix(rest, "$") {
					t.Fatalf("no placeholder at %q", rest)
				}
				rest = strings.TrimLeft(rest[1:], "0123456789")
				text = strings.TrimLeft(text[1:], "0123456789")
				continue
			}
			if !strings.HasPrefix(rest, same) {
				t.Fatalf("%q is not at %q", same, rest)
			}
			text, rest = text[len(same):], rest[len(same):]
		}
		if rest != "" {
			t.Errorf("%q is left over", rest)
		}
	})
}
