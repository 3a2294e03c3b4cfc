package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/evidence"
	"gridpost/hub/internal/store/secrets"
	"gridpost/hub/internal/store/telemetry"
)

// place returns a new place on an engine.
func place(t *testing.T, e db.Engine) Place {
	t.Helper()
	if e == db.Postgres {
		return Place{URL: dbtest.URL(t)}
	}
	return Place{Dir: filepath.Join(t.TempDir(), "hub")}
}

// with opens a place as a hub does.
func with(t *testing.T, p Place, do func(h *hub)) {
	t.Helper()
	h, err := p.open(t.Context(), true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	do(h)
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, d *db.DB, text string, args ...any) {
	t.Helper()
	if err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
		_, err := tx.Exec(text, args...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// addPicture saves a complete picture with its record.
func addPicture(t *testing.T, h *hub, incident string, content []byte) {
	t.Helper()
	k := evidence.Key{Incident: incident, Name: "snapshot.jpg"}
	sum := sha256.Sum256(content)
	if err := putFile(t.Context(), h.evidence(), k, opened{bytes.NewReader(content)}, hex.EncodeToString(sum[:])); err != nil {
		t.Fatal(err)
	}
	execute(t, h.dbs["hub"], `INSERT INTO evidence(incident, name, edge, content_type, size, sha256, at, received, complete) VALUES (?, ?, 'weir', 'image/jpeg', ?, ?, 1, ?, 1)`,
		k.Incident, k.Name, len(content), hex.EncodeToString(sum[:]), len(content))
}

type opened struct{ *bytes.Reader }

func picture(t *testing.T, h *hub, incident string) string {
	t.Helper()
	f, err := h.evidence().Open(t.Context(), evidence.Key{Incident: incident, Name: "snapshot.jpg"})
	if err != nil {
		return err.Error()
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// populate makes a small hub with something of everything, and returns its authority's key.
func populate(t *testing.T, p Place) (key []byte) {
	t.Helper()
	with(t, p, func(h *hub) {
		execute(t, h.dbs["hub"], `INSERT INTO edges(name, created_at, site) VALUES ('weir', 1, 'harbour')`)
		execute(t, h.dbs["hub"], `INSERT INTO devices(edge, name, kind, place) VALUES ('weir', 'yard', 'camera', '{"lat":30.5,"lon":120}')`)
		if err := indexPlaces(t.Context(), h.dbs["hub"]); err != nil {
			t.Fatal(err)
		}
		if err := h.dbs["hub"].BeginHistory(t.Context()); err != nil {
			t.Fatal(err)
		}
		publish(t, h, 5)
		addReading(t, h, 1)
		addPicture(t, h, "incident-1", bytes.Repeat([]byte("picture 1 "), 300_000))
		if _, err := authority.Open(t.Context(), h.secret(secrets.Authority()), nil); err != nil {
			t.Fatal(err)
		}
		var err error
		if key, err = h.secret(secrets.Authority()).Load(t.Context()); err != nil || len(key) == 0 {
			t.Fatalf("no key, %v", err)
		}
	})
	return key
}

func publish(t *testing.T, h *hub, n int) {
	t.Helper()
	for i := range n {
		if err := h.dbs["hub"].Update(t.Context(), "test", func(tx *db.Tx) error {
			tx.Publish("test", "", "", i, nil)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func addReading(t *testing.T, h *hub, value float64) {
	t.Helper()
	r := telemetry.Reading{Reading: devices.Reading{Device: "level", Time: time.Unix(1e9, 0), Value: value}}
	_, err := telemetry.New(h.dbs["telemetry"], nil).Apply(t.Context(), telemetry.Batch{Edge: "weir", Epoch: "e", Events: []telemetry.Event{{Seq: uint64(value), Readings: []telemetry.Reading{r}}}})
	if err != nil {
		t.Fatal(err)
	}
}

func stored(t *testing.T, h *hub) int64 {
	t.Helper()
	n, err := telemetry.New(h.dbs["telemetry"], nil).Stored(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// clock gives each backup a name of its own.
func clock() func() time.Time {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	return func() time.Time {
		at = at.Add(time.Second)
		return at
	}
}

func mustBackup(t *testing.T, o Options) string {
	t.Helper()
	dir, err := Backup(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
