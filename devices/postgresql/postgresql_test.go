package postgresql_test

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gridpost/devices/postgresql"
)

// TestServerLeavesNothing starts a server and stops it: its socket and its folder must be gone.
func TestServerLeavesNothing(t *testing.T) {
	s, err := postgresql.Start(t.Context(), postgresql.Options{Settings: []string{"max_connections=10"}})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	dir := u.Query().Get("host")
	socket := filepath.Join(dir, ".s.PGSQL.5432")
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Error(err)
	} else if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder after the end: %v", err)
	}
	if c, err := net.Dial("unix", socket); err == nil {
		t.Error("the server accepts connections after its end")
		_ = c.Close()
	}
}

// TestRefusedSetting starts a server that cannot run.
func TestRefusedSetting(t *testing.T) {
	s, err := postgresql.Start(t.Context(), postgresql.Options{Settings: []string{"no_such_setting=1"}})
	if err == nil {
		t.Error("a server with an unknown setting runs")
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	} else if !strings.Contains(err.Error(), "no_such_setting") {
		t.Error(err)
	}
}
