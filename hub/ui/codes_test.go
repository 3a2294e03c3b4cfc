package ui

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gridpost/devices"
)

// code is a cause code in testdata/codes.json.
type code struct {
	Template string   `json:"template"`
	Params   []string `json:"params,omitempty"`   // those that a cause always has
	Optional []string `json:"optional,omitempty"` // those that it may have
}

// TestCodes: testdata/codes.json lists the codes of devices.Causes. src/i18n/codes.test.ts wants words for each of
// them in every language. After a change of the registry: go test ./hub/ui -run TestCodes -update.
func TestCodes(t *testing.T) {
	name := filepath.Join("testdata", "codes.json")
	codes := map[string]code{}
	optional := regexp.MustCompile(`\[[^\]]*\]`)
	for _, k := range devices.Causes() {
		codes[k.Code] = code{
			Template: k.Template,
			Params:   params(optional.ReplaceAllString(k.Template, "")),
			Optional: params(strings.Join(optional.FindAllString(k.Template, -1), "")),
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
		t.Errorf("%s is not the list of devices.Causes: go test ./hub/ui -run TestCodes -update, and words in hub/ui/src/i18n/codes.*.json", name)
	}
}

func params(template string) []string {
	var names []string
	for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(template, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestCodesAreUsed: whoever makes a cause takes a code of the registry, and the registry has no code that nobody makes.
func TestCodesAreUsed(t *testing.T) {
	known := map[string]bool{}
	for _, k := range devices.Causes() {
		known[k.Code] = false
	}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, filepath.Join("devices", "causes.go")) {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range regexp.MustCompile(`NewCause\(\s*"([^"]*)"`).FindAllStringSubmatch(string(raw), -1) {
			if _, ok := known[m[1]]; !ok {
				t.Errorf("%s makes the cause %q, which is not in devices.Causes", path, m[1])
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
			t.Errorf("nothing makes the cause %q of devices.Causes", code)
		}
	}
}
