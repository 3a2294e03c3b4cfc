package spreadsheet_test

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"gridpost/hub/internal/spreadsheet"
)

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "",
		"Li Wei":            "Li Wei",
		"gate-7/yard":       "gate-7/yard",
		"1-2":               "1-2",
		`=HYPERLINK("x")`:   `'=HYPERLINK("x")`,
		"+86 10 1234":       "'+86 10 1234",
		"-1":                "-1",
		"-33.9":             "-33.9",
		"-1+1":              "'-1+1",
		"-":                 "'-",
		"\u00a0=1":          "'\u00a0=1",
		"\ufeff=1":          "'\ufeff=1",
		"@SUM(A1)":          "'@SUM(A1)",
		" =1+1":             "' =1+1",
		"\t=1+1":            "'\t=1+1",
		"\n=1+1":            "'\n=1+1",
		"＝1＋1":              "'＝1＋1",
		"'=already a quote": "'=already a quote",
	} {
		if got := spreadsheet.Text(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzRow: what is written is read back as it was, but for the apostrophe, and no cell is a formula.
func FuzzRow(f *testing.F) {
	f.Add("a", "=b", `c"d,e`)
	f.Add("", "\r\n", "一，二\n三")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var out bytes.Buffer
		w, err := spreadsheet.NewWriter(&out, "a", "b", "c")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Row(a, b, c); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		text, ok := strings.CutPrefix(out.String(), "\ufeff")
		if !ok {
			t.Fatal("there is no byte order mark")
		}
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[1]) != 3 {
			t.Fatalf("%q: %v", rows, err)
		}
		// The reader makes line ends of one kind: so are the texts compared.
		plain := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "") }
		for i, want := range []string{a, b, c} {
			if !utf8.ValidString(want) {
				continue
			}
			got := rows[1][i]
			if plain(got) != plain(want) && plain(got) != plain("'"+want) {
				t.Errorf("%q was written, %q is read", want, got)
			}
			if first, _ := utf8.DecodeRuneInString(strings.TrimSpace(got)); strings.ContainsRune("=+-@＝＋－＠", first) && !isNumber(got) {
				t.Errorf("%q is a formula", got)
			}
		}
	})
}

func isNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}
