package app

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/store/secrets"
)

// findings writes what Check finds as lines.
func findings(t *testing.T, c Config) string {
	t.Helper()
	var lines []string
	for _, f := range Check(t.Context(), c) {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n") + "\n"
}

// local is a configuration that every machine can run.
func local(t *testing.T) Config {
	c := config(t)
	c.Data = filepath.Join(c.Data, "data")
	return c
}

// TestCheckOfDocuments checks each document in testdata: a good one has no problem, and a bad one those
// that its comments name. DATA stands for a folder of the test.
func TestCheckOfDocuments(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			folder := t.TempDir()
			if err := os.Chmod(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "hub.yml")
			if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), "DATA", folder)), 0o600); err != nil {
				t.Fatal(err)
			}
			var found string
			c, err := Load(path)
			if err != nil {
				found = "problem: " + err.Error()
			} else {
				if c.Data == Defaults().Data {
					c.Data = folder
				}
				found = findings(t, c)
			}
			if strings.Contains(file, ".good.") {
				if strings.Contains(found, "problem: ") {
					t.Errorf("a good document has problems:\n%s", found)
				}
				return
			}
			for line := range strings.Lines(string(text)) {
				if want, ok := strings.CutPrefix(strings.TrimSpace(line), "# "); ok && !strings.Contains(found, want) {
					t.Errorf("%q is not found in:\n%s", want, found)
				}
			}
		})
	}
}

func TestCheckMakesNothing(t *testing.T) {
	c := local(t)
	found := findings(t, c)
	for _, want := range []string{
		"note: data: the folder " + c.Data + " does not exist yet; hub run makes it", "note: certificates: the hub has no certificate authority yet",
		"good: listen: ", "good: edge_listen: ", "good: media_listen: ", "has no tables of hub yet",
	} {
		if !strings.Contains(found, want) {
			t.Errorf("%q is not found in:\n%s", want, found)
		}
	}
	if _, err := os.Stat(c.Data); !os.IsNotExist(err) {
		t.Errorf("the check made the folder: %v", err)
	}
}

// TestCheckBesideARunningHub finds the hub's lock and addresses, and no problem.
func TestCheckBesideARunningHub(t *testing.T) {
	c := config(t)
	if err := os.Chmod(c.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	r, _ := start(t, c)
	c.Listen, c.EdgeListen, c.MediaListen = r.Listen, r.EdgeListen, r.MediaListen
	found := findings(t, c)
	for _, want := range []string{
		"note: data: a hub runs on ", "good: listen: " + r.Listen + " is used by the hub that runs", "good: edge_listen: " + r.EdgeListen + " is used",
		"good: media_listen: " + r.MediaListen + " is used", "good: certificates: the certificate authority is valid until ", "of hub\n", "of telemetry\n",
	} {
		if !strings.Contains(found, want) {
			t.Errorf("%q is not found in:\n%s", want, found)
		}
	}
	if strings.Contains(found, "problem: ") {
		t.Errorf("problems beside a hub that runs:\n%s", found)
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // nothing was written
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, c *Config)
		want  string
	}{
		{
			"address in use", func(_ *testing.T, c *Config) { c.Listen = taken.Addr().String() },
			"problem: listen: " + taken.Addr().String() + " is in use by another program",
		},
		{"one address twice", func(t *testing.T, c *Config) {
			free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			c.Listen, c.EdgeListen = free.Addr().String(), free.Addr().String()
			_ = free.Close()
		}, "is in use by another program, or by another key of the configuration"},
		{"folder that others can read", func(t *testing.T, c *Config) { mkdir(t, c.Data, 0o755) }, "note: data: "},
		{"newer schema", func(t *testing.T, c *Config) {
			makeDatabase(t, c.Data)
			exec(t, c.Data, "PRAGMA user_version = 9999")
		}, "problem: data: the database has schema 9999, of a later version"},
		{"older schema", func(t *testing.T, c *Config) {
			makeDatabase(t, c.Data)
			exec(t, c.Data, "PRAGMA user_version = 11")
		}, "hub.db has schema 11 of hub; hub run migrates it to "},
		{"damaged database", func(t *testing.T, c *Config) {
			mkdir(t, c.Data, 0o700)
			write(t, filepath.Join(c.Data, "hub.db"), strings.Repeat("this is no database\n", 100))
		}, "problem: data: reading " + "{data}/hub.db"},
		{"damaged authority", func(t *testing.T, c *Config) {
			mkdir(t, filepath.Join(c.Data, "ca"), 0o700)
			write(t, filepath.Join(c.Data, "ca", "authority.pem"), "nothing")
		}, "problem: certificates: reading the certificate authority: "},
		{"loopback only", func(_ *testing.T, c *Config) {}, "note: edge_listen: 127.0.0.1:0 is for this machine only"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := local(t)
			test.spoil(t, &c)
			want := strings.ReplaceAll(test.want, "{data}", c.Data)
			if found := findings(t, c); !strings.Contains(found, want) {
				t.Errorf("%q is not found in:\n%s", want, found)
			}
		})
	}
}

// TestCheckOfClocks sets the clock of the check.
func TestCheckOfClocks(t *testing.T) {
	c := local(t)
	if _, err := authority.Open(t.Context(), secrets.InFolder(c.Data, secrets.Authority()), nil); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		after        time.Duration
		synchronized bool
		want         string
	}{
		{0, true, "good: clock: it is synchronized"},
		{0, false, "note: clock: this machine's clock is not synchronized"},
		{-60 * 365 * 24 * time.Hour, true, "problem: clock: this machine's clock says 19"},
		{-24 * time.Hour, true, "problem: clock: the certificate authority is valid from "},
		{19*365*24*time.Hour + 24*time.Hour, true, "note: certificates: the certificate authority expires on "},
		{21 * 365 * 24 * time.Hour, true, "problem: certificates: the certificate authority has expired on "},
	} {
		k := &checker{config: c, now: func() time.Time { return time.Now().Add(test.after) }, synchronized: func() bool { return test.synchronized }}
		if found := fmt.Sprint(k.run(t.Context())); !strings.Contains(found, test.want) {
			t.Errorf("%s: %q is not found in:\n%s", test.after, test.want, found)
		}
	}
}

func mkdir(t *testing.T, dir string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(dir, mode); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// makeDatabase makes the hub's database in a folder.
func makeDatabase(t *testing.T, dir string) { exec(t, dir, "SELECT 1") }

// exec executes a statement on the hub's database in a folder.
func exec(t *testing.T, dir, text string) {
	t.Helper()
	d, err := db.Open(t.Context(), db.Options{Dir: dir, Name: "hub", Schema: schema.Hub()})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Update(context.WithoutCancel(t.Context()), "test", func(tx *db.Tx) error {
		_, err := tx.Exec(text)
		return err
	}); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
