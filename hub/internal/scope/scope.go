// Package scope says which sites a caller may see.
//
// Each listing and each read of a repository takes a Scope and filters by it in SQL, so that no
// caller can forget to filter afterwards. The package must import nothing of Gridpost.
package scope

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Scope is a set of sites. The zero value is empty: it allows nothing. A Scope is immutable; its
// methods may be called from any goroutine.
type Scope struct {
	all   bool
	sites []string // sorted, no duplicates; not used when all
}

// All returns the scope of every site, also of those that are added later and of what belongs to no
// site.
func All() Scope { return Scope{all: true} }

// Sites returns the scope of the named sites; without a name it is empty.
func Sites(names ...string) Scope {
	sites := slices.Clone(names)
	slices.Sort(sites)
	return Scope{sites: slices.Compact(sites)}
}

// IsAll reports whether the scope is that of All.
func (s Scope) IsAll() bool { return s.all }

// Allows reports whether the scope contains a site.
func (s Scope) Allows(site string) bool {
	if s.all {
		return true
	}
	_, found := slices.BinarySearch(s.sites, site)
	return found
}

// Of returns the scope of the named sites; that of All for nil.
func Of(names []string) Scope {
	if names == nil {
		return All()
	}
	return Sites(names...)
}

// Names returns the sites of the scope, sorted; nil for All, and only for All.
func (s Scope) Names() []string {
	if s.all {
		return nil
	}
	return append([]string{}, s.sites...)
}

// Where returns an SQL condition that is true for the rows of the scope's sites, and its arguments
// in the order of its placeholders. column is the name of a column that holds a site; it goes into
// the text as it is, so it must be a constant of the program. The condition needs no parentheses
// around it.
//
// The placeholders are unnumbered: in a text with numbered ones the condition comes last. The number
// of placeholders is a power of two, with the last site repeated, so that scopes of different sizes
// share a few prepared statements.
func (s Scope) Where(column string) (condition string, args []any) {
	switch {
	case s.all:
		return "1 = 1", nil
	case len(s.sites) == 0:
		return "1 = 0", nil
	}
	n := 1
	for n < len(s.sites) {
		n *= 2
	}
	for i := range n {
		args = append(args, s.sites[min(i, len(s.sites)-1)])
	}
	return column + " IN (?" + strings.Repeat(", ?", n-1) + ")", args
}

// Equal reports whether two scopes are the same set.
func (s Scope) Equal(o Scope) bool {
	return s.all == o.all && (s.all || slices.Equal(s.sites, o.sites))
}

// Overlaps reports whether a site can be in both scopes.
func (s Scope) Overlaps(o Scope) bool {
	switch {
	case s.all:
		return o.all || len(o.sites) > 0
	case o.all:
		return len(s.sites) > 0
	}
	return slices.ContainsFunc(s.sites, o.Allows)
}

// Contains reports whether every site of o is in s.
func (s Scope) Contains(o Scope) bool {
	if s.all || o.all {
		return s.all
	}
	return !slices.ContainsFunc(o.sites, func(site string) bool { return !s.Allows(site) })
}

// Intersect returns the sites that are in both scopes.
func (s Scope) Intersect(o Scope) Scope {
	switch {
	case s.all:
		return o
	case o.all:
		return s
	}
	return Sites(slices.DeleteFunc(slices.Clone(s.sites), func(site string) bool { return !o.Allows(site) })...)
}

// String returns the sites, separated by commas, or "all".
func (s Scope) String() string {
	if s.all {
		return "all"
	}
	return strings.Join(s.sites, ",")
}

// Value implements driver.Valuer: a column holds null for All, and else a JSON array of names.
func (s Scope) Value() (driver.Value, error) {
	if s.all {
		return nil, nil
	}
	sites := s.sites
	if sites == nil {
		sites = []string{}
	}
	text, err := json.Marshal(sites)
	return string(text), err
}

// Scan implements sql.Scanner for what Value writes.
func (s *Scope) Scan(v any) error {
	var text []byte
	switch v := v.(type) {
	case nil:
		*s = All()
		return nil
	case string:
		text = []byte(v)
	case []byte:
		text = v
	default:
		return fmt.Errorf("a scope cannot be a %T", v)
	}
	var sites []string
	if err := json.Unmarshal(text, &sites); err != nil {
		return fmt.Errorf("reading a scope: %w", err)
	}
	*s = Sites(sites...)
	return nil
}
