package ui

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gridpost/devices"
	"gridpost/hub/internal/problem"
)

var update = flag.Bool("update", false, "write testdata/codes.json")

// code is a cause code in testdata/codes.json.
type code struct {
	Template string   `json:"template"`
	Params   []string `json:"params,omitempty"`   // those that a cause always has
	Optional []string `json:"optional,omitempty"` // those that it may have
}

// TestCodes: testdata/codes.json lists the codes of devices.Causes and of problem.Kinds. src/i18n/codes.test.ts wants
// words for each of them in every language. After a change of a registry: go test ./hub/ui -run TestCodes -update.
func TestCodes(t *testing.T) {
	name := filepath.Join("testdata", "codes.json")
	codes := map[string]code{}
	optional := regexp.MustCompile(`\[[^\]]*\]`)
	for name, template := range templates() {
		codes[name] = code{
			Template: template,
			Params:   params(optional.ReplaceAllString(template, "")),
			Optional: params(strings.Join(optional.FindAllString(template, -1), "")),
		}
	}
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(codes); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(name, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want.Bytes()) {
		t.Errorf("%s is not the list of devices.Causes and problem.Kinds: go test ./hub/ui -run TestCodes -update, and words in hub/ui/src/i18n/codes.*.json or refusals.*.json", name)
	}
}

// templates returns the sentences of every code of the two registries.
func templates() map[string]string {
	all := map[string]string{}
	for _, k := range devices.Causes() {
		all[k.Code] = k.Template
	}
	for _, k := range problem.Kinds() {
		all[k.Code] = k.Template
	}
	return all
}

func params(template string) []string {
	var names []string
	for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(template, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestCodesAreUsed: every cause and every refusal has a code of a registry, and no code of a registry is unused.
func TestCodesAreUsed(t *testing.T) {
	known := map[string]bool{}
	for name := range templates() {
		known[name] = false
	}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, filepath.Join("devices", "causes.go")) || strings.HasSuffix(path, filepath.Join("problem", "codes.go")) {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range regexp.MustCompile(`(?:NewCause|problem\.New)\(\s*"([^"]*)"`).FindAllStringSubmatch(string(raw), -1) {
			if _, ok := known[m[1]]; !ok {
				t.Errorf("%s makes %q, which is in no registry", path, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`"([a-z][a-z0-9_]+)"`).FindAllStringSubmatch(string(raw), -1) {
			if _, ok := known[m[1]]; ok {
				known[m[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for code, used := range known {
		if !used {
			t.Errorf("nothing makes %q", code)
		}
	}
}
