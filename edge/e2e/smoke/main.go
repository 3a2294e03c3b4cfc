// Command smoke runs the demonstration automatically and prints the result as one line of JSON: an
// incident with its snapshot, the cameras near it, and live video of the first of them in a headless
// browser. The exit status is 0 only if all of it succeeded.
//
// It uses a new data folder, free ports and a new browser profile, so that it can run beside a
// demonstration.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gridpost/edge/e2e/rig"
	"gridpost/hub/api/public"
)

const (
	frames        = 50 // that the browser must decode
	readyLimit    = 2 * time.Minute
	incidentLimit = 2 * time.Minute
	snapshotLimit = 20 * time.Second
	videoLimit    = 30 * time.Second
)

// result is the line of JSON that is printed.
type result struct {
	IncidentMS   int64      `json:"incident_ms"` // from the frame in which the rule's condition held to the hub's event
	Nearby       []rig.Near `json:"nearby"`
	FirstFrameMS int64      `json:"first_frame_ms"` // from the choice of the camera to its first frame on the page
	Frames       int        `json:"frames"`
	OK           bool       `json:"ok"`
	Error        string     `json:"error,omitempty"`
}

func main() {
	programs := flag.String("programs", "bin", "folder of edge, hub and worker")
	footage := flag.String("footage", "", "folder of converted footage")
	flag.Parse()
	ctx := rig.UntilSignal(os.Interrupt, syscall.SIGTERM)
	r := result{Nearby: []rig.Near{}}
	err := r.run(ctx, rig.Programs(*programs), *footage)
	r.OK = err == nil
	if err != nil {
		r.Error = err.Error()
		fmt.Fprintln(os.Stderr, "smoke:", err)
	}
	line, err := json.Marshal(r)
	if err != nil {
		fmt.Fprintln(os.Stderr, "smoke:", err)
		os.Exit(1)
	}
	fmt.Println(string(line))
	if !r.OK {
		os.Exit(1)
	}
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (r *result) run(ctx context.Context, programs rig.Programs, footage string) (err error) {
	if err := programs.Check(); err != nil {
		return err
	}
	if _, err := rig.FindBrowser(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gridpost-smoke-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer func() {
		if err != nil {
			progress("Data and logs of the programs are in %s", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	args := []string{"demo", "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0"}
	if footage != "" {
		args = append(args, "--footage", footage)
	}
	progress("Starting the demonstration")
	demo, err := rig.Start(filepath.Join(dir, "demo.log"), programs.Path("hub"), args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, demo.Stop()) }()
	// If the demonstration exits unexpectedly, all waiting ends.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-demo.Ended():
			cancel()
		case <-ctx.Done():
		}
	}()
	return r.watch(ctx, demo, dir)
}

func (r *result) watch(ctx context.Context, demo *rig.Process, dir string) error {
	ready, err := waitReady(ctx, demo)
	if err != nil {
		return err
	}
	hub := rig.NewClient(ready["url"], ready["token"])
	defer hub.Close()

	progress("Waiting for an incident that a camera opens")
	inc, err := r.incident(ctx, hub)
	if err != nil {
		return err
	}
	progress("%s (%s/%s), %d ms after its frame; waiting for the snapshot", inc.Title, inc.Edge, inc.Device, r.IncidentMS)
	if err := snapshot(ctx, hub, inc.ID); err != nil {
		return err
	}
	if r.Nearby, err = hub.Nearby(ctx, inc.ID); err != nil {
		return err
	}
	if len(r.Nearby) == 0 {
		return errors.New("no camera is near the incident")
	}
	first := r.Nearby[0]
	progress("Playing %s/%s in a browser: %s", first.Edge, first.Device, first.Reason)
	return r.play(ctx, ready, inc.ID, first, filepath.Join(dir, "profile"))
}

// waitReady waits for the output line that begins with "ready" and returns its url, user, password and
// token.
func waitReady(ctx context.Context, demo *rig.Process) (map[string]string, error) {
	found := map[string]string{}
	err := rig.Until(ctx, readyLimit, "the demonstration", func(context.Context) error {
		select {
		case <-demo.Ended():
			return fmt.Errorf("it ended: %s", demo.Tail())
		default:
		}
		out, err := os.Open(demo.Log)
		if err != nil {
			return fmt.Errorf("reading its output: %w", err)
		}
		defer func() { _ = out.Close() }()
		for lines := bufio.NewScanner(out); lines.Scan(); {
			words := strings.Fields(lines.Text())
			if len(words) != 5 || words[0] != "ready" {
				continue
			}
			found["url"] = words[1]
			for _, w := range words[2:] {
				key, value, _ := strings.Cut(w, "=")
				found[key] = value
			}
			return nil
		}
		return rig.ErrNotYet
	})
	return found, err
}

// incident waits for the next incident that a camera opens.
func (r *result) incident(ctx context.Context, hub *rig.Client) (public.Incident, error) {
	ctx, cancel := context.WithTimeout(ctx, incidentLimit)
	defer cancel()
	inc, at, err := hub.FirstIncident(ctx, func(i public.Incident) bool {
		return i.Source == public.SourceEdge && i.Box != nil && i.Version == 1
	}, nil)
	r.IncidentMS = at.Sub(inc.OpenedAt).Milliseconds()
	return inc, err
}

// snapshot waits until the incident has a snapshot, and verifies its hash.
func snapshot(ctx context.Context, hub *rig.Client, id string) error {
	return rig.Until(ctx, snapshotLimit, "the snapshot", func(ctx context.Context) error {
		inc, err := hub.Incident(ctx, id)
		if err != nil {
			return err
		}
		for _, e := range inc.Evidence {
			if !e.Complete || e.ContentType != "image/jpeg" {
				continue
			}
			status, body, err := hub.Do(ctx, http.MethodGet, e.URL, nil)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(body)
			if status != http.StatusOK || hex.EncodeToString(sum[:]) != e.SHA256 {
				return fmt.Errorf("the snapshot %s differs from the one that the edge took: status %d, %d bytes", e.URL, status, len(body))
			}
			return nil
		}
		return rig.ErrNotYet
	})
}

// play plays a camera of the incident in the console until enough frames have been decoded.
func (r *result) play(ctx context.Context, ready map[string]string, incident string, camera rig.Near, profile string) (err error) {
	b, err := rig.OpenBrowser(ctx, ready["url"], profile)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.LogIn(ready["user"], ready["password"]); err != nil {
		return err
	}
	if err := b.Open(incident); err != nil {
		return err
	}
	if err := b.Watch(camera.Edge, camera.Device); err != nil {
		return err
	}
	v, err := b.WaitForFrames(ctx, frames, videoLimit)
	if err != nil {
		return err
	}
	r.FirstFrameMS, r.Frames = int64(v.FirstFrameMS), v.Decoded
	if outside := b.Outside(); len(outside) > 0 {
		return fmt.Errorf("the page sent requests to other hosts: %q", outside)
	}
	return nil
}
