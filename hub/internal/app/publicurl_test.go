package app

import (
	"errors"
	"testing"
)

func TestListenURL(t *testing.T) {
	for _, c := range []struct{ address, name, want string }{
		{"127.0.0.1:8080", "desk", "http://127.0.0.1:8080"},
		{"[::1]:8080", "desk", "http://[::1]:8080"},
		{"0.0.0.0:8080", "desk", "http://desk:8080"},
		{"[::]:8080", "desk", "http://desk:8080"},
		{"[::]:8080", "", "http://localhost:8080"},
	} {
		got := listenURL(c.address, func() (string, error) {
			if c.name == "" {
				return "", errors.New("no name")
			}
			return c.name, nil
		})
		if got != c.want {
			t.Errorf("%s on %q: %s, want %s", c.address, c.name, got, c.want)
		}
	}
}
