package arrows

import (
	"os"
	"strings"
	"testing"
)

func TestArrowsThatMustNeverBe(t *testing.T) {
	packages, err := List("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range Check(packages) {
		t.Error(broken)
	}
	// Rules over trees that do not exist hold nothing.
	for _, tree := range lower {
		if !listed(packages, tree) {
			t.Errorf("no package %s was found: the rules about it hold nothing", tree)
		}
	}
}

// The module in testdata/planted breaks every rule; want.txt says how.
func TestPlantedViolationsAreFound(t *testing.T) {
	packages, err := List("testdata/planted")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/planted/want.txt")
	if err != nil {
		t.Fatal(err)
	}
	got, want := Check(packages), strings.TrimSpace(string(text))
	if strings.Join(got, "\n") != want {
		t.Errorf("found:\n%s\nplanted:\n%s", strings.Join(got, "\n"), want)
	}
	for _, r := range rules() {
		if !strings.Contains(want, r.name+": ") {
			t.Errorf("nothing planted breaks %q", r.name)
		}
	}
}

func listed(packages []Package, tree string) bool {
	for _, p := range packages {
		if inside(p.ImportPath, []string{tree}) {
			return true
		}
	}
	return false
}
