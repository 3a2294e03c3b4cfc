package ui

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write new sentences into testdata/said.json, without samples")

// said is testdata/said.json: by where the console shows them, by the file of Go that makes them, every
// sentence as that file has it, and a sample of it as a person could get to see it. An empty sample says that
// it is for logs and programs only, or says what the answer's status says already. src/i18n/said.test.ts reads it too, and wants words for each sample.
type said map[string]map[string]map[string]string

// TestSaid: no sentence that the Go code puts before people is added or changed without the console's
// knowing of it.
func TestSaid(t *testing.T) {
	name := filepath.Join("testdata", "said.json")
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var all said
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	for _, files := range all {
		for file, samples := range files {
			known := sentences(t, file)
			for _, form := range known {
				if _, ok := samples[form]; !ok && !wrapped.MatchString(form) {
					t.Errorf("%s says %q, which is not in %s: give it a sample there and words in the console, or \"\" if nobody gets to see it", file, form, name)
					samples[form] = ""
				}
			}
			for form, sample := range samples {
				if !slices.Contains(known, form) {
					t.Errorf("%s no longer says %q, which is in %s", file, form, name)
					delete(samples, form)
				}
				if sample != "" && !form2regexp(form).MatchString(sample) {
					t.Errorf("%s: the sample %q is not one of %q", name, sample, form)
				}
			}
		}
	}
	if *update {
		var out bytes.Buffer
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(all); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// wrapped is what errors are wrapped in on their way to a log. It is listed only where a person gets to see it.
var wrapped = regexp.MustCompile(`^[a-z]+ing .*: ?%[wv]$|^%[swT]: %[sw]$|^%w(?:: | \()`)

var verb = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)

// form2regexp matches what a form of fmt can become, anywhere in a text.
func form2regexp(form string) *regexp.Regexp {
	parts := verb.Split(form, -1)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(strings.ReplaceAll(parts[i], "%%", "%"))
	}
	return regexp.MustCompile("(?s)" + strings.Join(parts, ".*"))
}

// sentences returns the literals of a file of two words or more, but for those of logs and of SQL.
func sentences(t *testing.T, file string) []string {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", filepath.FromSlash(file)), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field: // its tag
			return n.Tag == nil
		case *ast.KeyValueExpr: // of the API's description
			if key, ok := n.Key.(*ast.Ident); ok && slices.Contains([]string{"Summary", "Description"}, key.Name) {
				return false
			}
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log"}, s.Sel.Name) {
				return false
			}
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && isSentence(text) && !slices.Contains(found, text) {
				found = append(found, text)
			}
		}
		return true
	})
	return found
}

var sql = regexp.MustCompile(`\b(?:SELECT|INSERT|UPDATE|DELETE|FROM|JOIN|WHERE)\b`)

func isSentence(text string) bool {
	return strings.Contains(strings.TrimSpace(text), " ") && !sql.MatchString(text) && regexp.MustCompile(`[a-z]{2} |: %`).MatchString(text)
}
