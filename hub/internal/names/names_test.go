package names_test

import (
	"errors"
	"strings"
	"testing"

	"gridpost/hub/internal/names"
	"gridpost/hub/internal/problem"
)

func TestCheckEdge(t *testing.T) {
	errEdge := problem.New("edge_name_invalid")
	for name, want := range map[string]*problem.Error{
		"gate-7": nil, "7": nil, strings.Repeat("a", 40): nil,
		"": errEdge, "Gate": errEdge, "gate 7": errEdge, "gate_7": errEdge, "gate/7": errEdge, "..": errEdge,
		"gäte": errEdge, "gate\n": errEdge, strings.Repeat("a", 41): errEdge,
	} {
		if err := names.CheckEdge(name); want == nil && err != nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
	}
}

func TestCheckUser(t *testing.T) {
	errLength, errCharacters, errReserved := problem.New("name_length"), problem.New("name_characters"), problem.New("name_reserved")
	for name, want := range map[string]*problem.Error{
		"li": nil, "王芳": nil, "l.i_@-9": nil, strings.Repeat("芳", 40): nil, "hub2": nil,
		"": errLength, "token x": errCharacters, "command line": errCharacters, "a\nb": errCharacters, "a\x00": errCharacters, "a/b": errCharacters,
		"\xff": errCharacters, strings.Repeat("芳", 41): errLength, "hub": errReserved,
	} {
		if err := names.CheckUser(name); want == nil && err != nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("gate-7")
	f.Add("王芳")
	f.Fuzz(func(t *testing.T, name string) {
		if names.CheckEdge(name) == nil && (len(name) > 40 || strings.ContainsAny(name, " /.\n\x00")) {
			t.Errorf("%q is the name of an edge", name)
		}
		if names.CheckUser(name) == nil && strings.ContainsAny(name, " /\n\x00\t") {
			t.Errorf("%q is the name of a user", name)
		}
	})
}
