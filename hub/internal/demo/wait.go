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
	"gridpost/hub/api"
)

// running is where a hub listens, as its run file says.
type running struct {
	Listen     string `json:"listen"`
	EdgeListen string `json:"edge_listen"`
	PID        int    `json:"pid"`
}

const lookEvery = 100 * time.Millisecond

// poll calls look until it reports true, and fails with its last reason after limit.
func poll(ctx context.Context, limit time.Duration, look func(context.Context) (bool, error)) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		done, err := look(ctx)
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

// hubRuns waits until the hub whose process is pid is ready, and returns where it listens.
func (s *show) hubRuns(ctx context.Context, pid int) (at running, err error) {
	err = poll(ctx, readyLimit, func(ctx context.Context) (bool, error) {
		text, err := os.ReadFile(filepath.Join(s.hubData(), "run.json"))
		if errors.Is(err, fs.ErrNotExist) {
			return false, errors.New("the hub has not bound its ports")
		}
		if err != nil {
			return true, fmt.Errorf("reading where the hub listens: %w", err)
		}
		if err := json.Unmarshal(text, &at); err != nil {
			return true, fmt.Errorf("reading where the hub listens: %w", err)
		}
		if at.PID != pid { // what a hub that was killed has left behind
			return false, errors.New("the hub has not bound its ports")
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

// devicesOnline waits until the hub shows every device, and each has come online since the
// edge was started. What has not is said; it is no reason to end: a camera of the user's own may
// be away.
func (s *show) devicesOnline(ctx context.Context, address string, want int, started time.Time) error {
	s.say("Waiting for pictures and readings of %d devices", want)
	var all []api.DeviceRecord
	waiting := errors.New("the edge has not told its devices")
	err := poll(ctx, readyLimit, func(ctx context.Context) (bool, error) {
		status, body, err := s.get(ctx, "http://"+address+"/api/v1/devices")
		if err != nil {
			return false, err
		}
		if status != http.StatusOK {
			return false, fmt.Errorf("the hub answered %d: %s", status, body)
		}
		var list struct {
			Devices []api.DeviceRecord `json:"devices"`
		}
		if err := json.Unmarshal(body, &list); err != nil {
			return true, fmt.Errorf("reading the hub's devices: %w", err)
		}
		all = list.Devices
		if len(away(all, started)) == 0 && len(all) >= want {
			return true, nil
		}
		return false, waiting
	})
	if err != nil && (!errors.Is(err, waiting) || len(all) < want) {
		return fmt.Errorf("waiting for the edge: %w", err)
	}
	for _, line := range away(all, started) {
		s.say("Not online: %s", line)
	}
	return nil
}

// away describes the devices that have not come online since the edge was started: the hub
// remembers what they were before that.
func away(all []api.DeviceRecord, started time.Time) (lines []string) {
	for _, d := range all {
		if d.State != devices.Online || d.Since == nil || d.Since.Before(started) {
			lines = append(lines, strings.TrimSuffix(d.Edge+"/"+d.Name+": "+d.Cause, ": "))
		}
	}
	return lines
}

// get asks the hub with the demonstration's token, if there is one.
func (s *show) get(ctx context.Context, url string) (status int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("asking the hub: %w", err)
	}
	if s.keys.Token != "" {
		r.Header.Set("Authorization", "Bearer "+s.keys.Token)
	}
	answer, err := s.http.Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("asking the hub: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return 0, nil, fmt.Errorf("asking the hub: %w", err)
	}
	return answer.StatusCode, body, nil
}
