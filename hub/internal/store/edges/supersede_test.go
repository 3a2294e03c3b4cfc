package edges

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
)

// TestCertificatesAreSuperseded: at its first use, a certificate ends those whose place it takes.
func TestCertificatesAreSuperseded(t *testing.T) {
	// "token x" issues the certificate x for a token of its own, "renew x" for an older certificate; "use x" is a request
	// with it, which must be accepted, and "no x" one that must be refused.
	cases := map[string][]string{
		"replacement":                   {"token a", "use a", "token b", "use a", "use b", "no a"},
		"two replacements":              {"token a", "use a", "token b", "token c", "use c", "no a", "no b"},
		"renewal":                       {"token a", "use a", "renew b", "use a", "use b", "use b", "no a"},
		"renewal whose answer was lost": {"token a", "use a", "renew b", "renew c", "use a", "use c", "no a", "no b"},
		"renewal of the old edge while the new one has not connected yet": {"token a", "use a", "token b", "renew c", "use c", "no a", "use b", "no c"},
		"renewal of the old edge that it has not used":                    {"token a", "use a", "renew b", "token c", "use c", "no a", "no b"},
		"not more than a few unused ones": {
			"token a", "use a", "token b", "renew c", "renew d", "renew e", "renew f", "renew g", "no c", "use g", "no f", "use b", "no g",
		},
	}
	start := time.Now()
	clocks := map[string]func() time.Time{
		"system":         nil,
		"stands":         func() time.Time { return start },
		"runs backwards": func() time.Time { start = start.Add(-time.Second); return start },
	}
	for clock, now := range clocks {
		t.Run("clock "+clock, func(t *testing.T) { certificatesAreSuperseded(t, db.Options{Now: now}, cases) })
	}
}

func certificatesAreSuperseded(t *testing.T, o db.Options, cases map[string][]string) {
	dbtest.EachWith(t, o, func(t *testing.T, d *db.DB) {
		r, number := New(d, Options{}), 0
		for name, steps := range cases {
			number++
			edge := fmt.Sprintf("gate-%d", number)
			for i, step := range steps {
				action, letter, _ := strings.Cut(step, " ")
				serial := edge + letter
				var err error
				switch token := []byte("hash of " + serial); action {
				case "token":
					err = errors.Join(r.Add(t.Context(), "test", edge, token, time.Now().Add(time.Hour)),
						r.AddCertificate(t.Context(), edge, serial, token, time.Now().Add(time.Hour)))
				case "renew":
					err = r.AddCertificate(t.Context(), edge, serial, nil, time.Now().Add(time.Hour))
				case "use":
					err = r.CheckCertificate(t.Context(), edge, serial)
				case "no":
					if err = r.CheckCertificate(t.Context(), edge, serial); errors.Is(err, db.ErrNotFound) {
						err = nil
					} else {
						err = fmt.Errorf("it is accepted: %w", err)
					}
				}
				if err != nil {
					t.Errorf("%s: step %d, %s: %v", name, i, step, err)
					break
				}
			}
		}
	})
}

// TestFirstUseIsPerEdge: a certificate supersedes none of another edge.
func TestFirstUseIsPerEdge(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Options{})
		add(t, r, "gate-7", "gate-8")
		for _, edge := range []string{"gate-7", "gate-8"} {
			if err := r.AddCertificate(t.Context(), edge, edge, []byte("hash of "+edge), time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		for _, edge := range slices.Repeat([]string{"gate-7", "gate-8"}, 2) {
			if err := r.CheckCertificate(t.Context(), edge, edge); err != nil {
				t.Errorf("%s: %v", edge, err)
			}
		}
	})
}
