package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gridpost/devices"
	"gridpost/hub/api/public"
)

// hubAddresses is the content of the hub's run.json.
type hubAddresses struct {
	Listen     string `json:"listen"`
	EdgeListen string `json:"edge_listen"`
	PID        int    `json:"pid"`
}

const pollInterval = 100 * time.Millisecond

// poll calls check until it returns true, and returns its error. After limit, poll returns the last
// error of check.
func poll(ctx context.Context, limit time.Duration, check func(context.Context) (bool, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		done, err := check(ctx)
		if done {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return fmt.Errorf("after %s: %w", limit, err)
		}
	}
}

// waitForHub waits until the hub with the process ID pid is ready, and returns its addresses.
func (s *demonstration) waitForHub(ctx context.Context, pid int) (at hubAddresses, err error) {
	err = poll(ctx, readyLimit, func(ctx context.Context) (bool, error) {
		text, err := os.ReadFile(filepath.Join(s.hubData(), "run.json"))
		if errors.Is(err, fs.ErrNotExist) {
			return false, errors.New("the hub does not listen yet")
		}
		if err != nil {
			return true, fmt.Errorf("reading where the hub listens: %w", err)
		}
		if err := json.Unmarshal(text, &at); err != nil {
			return true, fmt.Errorf("reading where the hub listens: %w", err)
		}
		if at.PID != pid { // the file of an earlier hub, which was killed
			return false, errors.New("the hub does not listen yet")
		}
		status, body, err := s.get(ctx, "http://"+at.Listen+"/readyz")
		if err != nil || status != http.StatusOK {
			return false, fmt.Errorf("the hub is not ready: %d %s: %w", status, body, err)
		}
		return true, nil
	})
	if err != nil {
		return at, fmt.Errorf("waiting for the hub: %w", err)
	}
	return at, nil
}

// waitForDevices waits until the hub lists want devices and all of them have come online since the
// edge was started. After readyLimit it prints those that are not online and returns nil, because a
// camera of the user may be unreachable.
func (s *demonstration) waitForDevices(ctx context.Context, address string, want int, started time.Time) error {
	s.printf("Waiting for frames and readings of %d devices", want)
	var all []public.DeviceRecord
	waiting := errors.New("the edge has not reported its devices")
	err := poll(ctx, readyLimit, func(ctx context.Context) (bool, error) {
		status, body, err := s.get(ctx, "http://"+address+"/api/v1/devices")
		if err != nil {
			return false, err
		}
		if status != http.StatusOK {
			return false, fmt.Errorf("the hub answered %d: %s", status, body)
		}
		var list struct {
			Devices []public.DeviceRecord `json:"devices"`
		}
		if err := json.Unmarshal(body, &list); err != nil {
			return true, fmt.Errorf("reading the hub's devices: %w", err)
		}
		all = list.Devices
		if len(notOnline(all, started)) == 0 && len(all) >= want {
			return true, nil
		}
		return false, waiting
	})
	if err != nil && (!errors.Is(err, waiting) || len(all) < want) {
		return fmt.Errorf("waiting for the edge: %w", err)
	}
	for _, line := range notOnline(all, started) {
		s.printf("Not online: %s", line)
	}
	return nil
}

// notOnline describes the devices that have not come online since the edge was started. Until the edge
// reports their states, the hub lists those from before the start.
func notOnline(all []public.DeviceRecord, started time.Time) (lines []string) {
	for _, d := range all {
		if d.State != devices.Online || d.Since == nil || d.Since.Before(started) {
			lines = append(lines, strings.TrimSuffix(d.Edge+"/"+d.Name+": "+d.Cause, ": "))
		}
	}
	return lines
}

// get sends a GET request to the hub, with the token if there is one.
func (s *demonstration) get(ctx context.Context, url string) (status int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("requesting from the hub: %w", err)
	}
	if s.secrets.Token != "" {
		r.Header.Set("Authorization", "Bearer "+s.secrets.Token)
	}
	answer, err := s.http.Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("requesting from the hub: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return 0, nil, fmt.Errorf("requesting from the hub: %w", err)
	}
	return answer.StatusCode, body, nil
}
