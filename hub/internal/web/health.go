package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
)

// lowDisk is the free space in bytes below which the hub reports that it is not ready.
const lowDisk = 64 << 20

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	problems := []string{}
	if err := s.readable(r.Context()); err != nil {
		s.o.Logger.Error("checking readiness", "error", err)
		problems = append(problems, "the database does not answer")
	}
	if room, err := diskRoom(s.o.DB.Dir()); err == nil && room < lowDisk {
		problems = append(problems, "the disk is full")
	}
	if len(problems) > 0 {
		problem.New("hub_not_ready", "reason", strings.Join(problems, "; ")).Write(w)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ready\n")
}

// readable reads from the tables that each request needs, and asks how other reads went of late.
func (s *Server) readable(ctx context.Context) error {
	if _, err := s.o.People.TokenByHash(ctx, make([]byte, sha256.Size)); !errors.Is(err, db.ErrNotFound) {
		return fmt.Errorf("reading a token that does not exist: %w", err)
	}
	if _, err := s.o.DB.LastChange(ctx); err != nil {
		return fmt.Errorf("reading the change feed: %w", err)
	}
	return errors.Join(s.o.DB.Ping(ctx), s.o.Telemetry.DB().Ping(ctx))
}

func diskRoom(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}
