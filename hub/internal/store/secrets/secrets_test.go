package secrets_test

import (
	"sync"
	"testing"

	"go.uber.org/goleak"

	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/store/secrets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestHubsShareOneAuthority: two hubs that start at the same time have one authority, and that of the
// folder from which the data comes is kept.
func TestHubsShareOneAuthority(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		old := secrets.InFolder(t.TempDir(), secrets.Authority())
		first, err := authority.Open(t.Context(), old, nil)
		if err != nil {
			t.Fatal(err)
		}
		prints := make([]string, 4)
		var wg sync.WaitGroup
		for i := range prints {
			wg.Go(func() {
				a, err := authority.Open(t.Context(), secrets.InDatabase(d, secrets.Authority(), old), nil)
				if err != nil {
					t.Error(err)
					return
				}
				prints[i] = a.Fingerprint()
			})
		}
		wg.Wait()
		for _, p := range prints {
			if p != first.Fingerprint() {
				t.Errorf("authorities %v, want %s", prints, first.Fingerprint())
			}
		}
		other, err := authority.Open(t.Context(), secrets.InDatabase(d, secrets.Authority(), nil), nil)
		if err != nil || other.Fingerprint() != first.Fingerprint() {
			t.Errorf("a hub without the folder: %v", err)
		}
	})
}
