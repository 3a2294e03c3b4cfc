package scope_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gridpost/hub/internal/scope"
)

func TestZeroValueSeesNothing(t *testing.T) {
	var s scope.Scope
	condition, args := s.Where("site")
	if s.IsAll() || s.Allows("") || s.Allows("harbour") || condition != "1 = 0" || len(args) != 0 {
		t.Errorf("the zero value allows something: %q %v", condition, args)
	}
	if empty := scope.Sites(); empty.Allows("") || empty.IsAll() {
		t.Error("a scope without names allows something")
	}
}

func TestAll(t *testing.T) {
	s := scope.All()
	condition, args := s.Where("site")
	if !s.IsAll() || !s.Allows("harbour") || !s.Allows("") || condition != "1 = 1" || len(args) != 0 {
		t.Errorf("%q %v", condition, args)
	}
}

func TestSites(t *testing.T) {
	names := []string{"harbour", "bridge", "harbour", "it's a site"}
	s := scope.Sites(names...)
	names[1] = "changed" // the scope keeps its own list
	if !s.Allows("bridge") || !s.Allows("it's a site") || s.Allows("changed") || s.Allows("") || s.IsAll() {
		t.Errorf("%v", s.Names())
	}
	condition, args := s.Where("i.site")
	if condition != "i.site IN (?, ?, ?, ?)" || !slices.Equal(args, []any{"bridge", "harbour", "it's a site", "it's a site"}) {
		t.Errorf("%q %v", condition, args)
	}
}

// TestFewTexts: the number of different SQL texts, each of which is prepared once, grows with the
// logarithm of the number of sites.
func TestFewTexts(t *testing.T) {
	texts := map[string]bool{}
	names := []string{}
	for n := range 1000 {
		names = append(names, fmt.Sprint(n))
		condition, args := scope.Sites(names...).Where("site")
		if strings.Count(condition, "?") != len(args) {
			t.Fatalf("%q has %d arguments", condition, len(args))
		}
		texts[condition] = true
	}
	if len(texts) != 11 {
		t.Errorf("%d texts for 1,000 scopes", len(texts))
	}
}

func TestColumn(t *testing.T) {
	for _, s := range []scope.Scope{scope.All(), scope.Sites(), scope.Sites("b", "a", "a")} {
		v, err := s.Value()
		if err != nil {
			t.Fatal(err)
		}
		var got scope.Scope
		if err := got.Scan(v); err != nil || !got.Equal(s) {
			t.Errorf("%v was read as %v, %v", s, got, err)
		}
	}
	for _, bad := range []any{"", "a", []byte("{}"), 3} {
		got := scope.Sites("x")
		if err := got.Scan(bad); err == nil || got.IsAll() {
			t.Errorf("%v was read as %v", bad, got)
		}
	}
}

func TestSets(t *testing.T) {
	none, a, b, ab, all := scope.Sites(), scope.Sites("a"), scope.Sites("b"), scope.Sites("a", "b"), scope.All()
	for _, c := range []struct {
		s, o                      scope.Scope
		equal, overlaps, contains bool
	}{
		{all, all, true, true, true},
		{all, none, false, false, true},
		{none, all, false, false, false},
		{none, none, true, false, true},
		{all, a, false, true, true},
		{a, all, false, true, false},
		{a, b, false, false, false},
		{a, ab, false, true, false},
		{ab, a, false, true, true},
	} {
		if c.s.Equal(c.o) != c.equal || c.s.Overlaps(c.o) != c.overlaps || c.s.Contains(c.o) != c.contains {
			t.Errorf("%v, %v: equal %v, overlaps %v, contains %v", c.s, c.o, c.s.Equal(c.o), c.s.Overlaps(c.o), c.s.Contains(c.o))
		}
	}
}
