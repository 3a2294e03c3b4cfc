package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"time"

	"gridpost/edge/e2e/rig"
	"gridpost/streams/simcam/footage"
)

const (
	startLimit  = time.Minute
	relayWindow = 15 * time.Second // over which CPU time and bytes are counted
	tokenKey    = "GRIDPOST_TOKEN" // in the environment of the viewers' process, where no list of processes shows it
)

// relayReport is what relaying costs the hub.
type relayReport struct {
	Stream  string        `json:"stream"`
	IdleMB  float64       `json:"hub_resident_mb_without_viewers"`
	Figures []relayFigure `json:"viewers"`
}

// relayFigure is one number of viewers.
type relayFigure struct {
	Viewers          int     `json:"viewers"`
	CPUPerGbit       float64 `json:"cpu_s_per_gbit"` // of payload relayed
	MbitPerSecond    float64 `json:"mbit_per_s"`     // payload, all viewers together
	CPUPercent       float64 `json:"hub_cpu_percent"`
	ResidentMB       float64 `json:"hub_resident_mb"`
	ResidentMBViewer float64 `json:"hub_resident_mb_per_viewer"` // above the hub without viewers
	FramesPerSecond  float64 `json:"frames_per_s_per_viewer"`
	LostPackets      uint64  `json:"lost_packets"` // of all viewers, in the window
	FirstKeyP50      float64 `json:"first_key_ms_p50"`
	FirstKeyP95      float64 `json:"first_key_ms_p95"`
}

// relay measures 1, 10, 30 and 60 viewers of one camera, 1080p25 with 4 Mbit/s.
func (b bench) relay(ctx context.Context) (r relayReport, err error) {
	r.Stream = "H.264 1920x1080, 25 frames/s, 4 Mbit/s, keyframe every 2 s"
	file, err := b.video(ctx, footage.Format{Width: 1920, Height: 1080, Rate: 25, Bitrate: 4000, Seconds: 40})
	if err != nil {
		return r, err
	}
	err = b.withHub(ctx, func(h *rig.Hub) error {
		site := rig.SiteOptions{Name: "bench", Footage: file, Cameras: map[string][]rig.Map{"main": nil}}
		return b.withSite(ctx, h, site, func(*rig.Site) error {
			idle, err := rig.Resident(h.PID())
			if err != nil {
				return err
			}
			r.IdleMB = megabytes(idle)
			for _, n := range []int{1, 10, 30, 60} {
				progress("Relaying to %d viewers", n)
				f, err := relayTo(ctx, h, n, idle)
				if err != nil {
					return err
				}
				r.Figures = append(r.Figures, f)
			}
			return nil
		})
	})
	return r, err
}

// video returns footage in a format.
func (b bench) video(ctx context.Context, f footage.Format) (string, error) {
	return footage.Cached(ctx, footage.Pedestrians, b.footage, f, func() { progress("Making footage, once: %+v", f) })
}

// relayTo measures one number of viewers.
func relayTo(ctx context.Context, h *rig.Hub, n int, idle int64) (f relayFigure, err error) {
	self, err := os.Executable()
	if err != nil {
		return f, fmt.Errorf("starting viewers: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "-viewers", strconv.Itoa(n), "-url", h.URL+"/whep/bench/main?reason=bench")
	cmd.Env = append(os.Environ(), tokenKey+"="+h.Token)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return f, fmt.Errorf("starting viewers: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return f, fmt.Errorf("starting viewers: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return f, fmt.Errorf("starting viewers: %w", err)
	}
	f, err = window(ctx, h, n, in, bufio.NewScanner(out))
	if cerr := in.Close(); err == nil { // the viewers end with their input
		err = cerr
	}
	if err != nil {
		cancel()
	}
	err = errors.Join(err, cmd.Wait())
	f.ResidentMBViewer = round(max(0, f.ResidentMB-megabytes(idle)) / float64(n))
	return f, err
}

// window counts for a while, once all viewers see frames.
func window(ctx context.Context, h *rig.Hub, n int, in io.Writer, out *bufio.Scanner) (f relayFigure, err error) {
	f.Viewers = n
	check := func() (c viewCount, cpu time.Duration, at time.Time, err error) {
		if _, err = io.WriteString(in, "\n"); err != nil {
			return c, 0, at, fmt.Errorf("asking the viewers: %w", err)
		}
		if !out.Scan() {
			return c, 0, at, errors.Join(errors.New("the viewers ended"), out.Err())
		}
		at = time.Now()
		if err = json.Unmarshal(out.Bytes(), &c); err != nil {
			return c, 0, at, fmt.Errorf("reading the viewers' count: %w", err)
		}
		cpu, err = rig.CPU(h.PID())
		return c, cpu, at, err
	}
	if _, _, _, err := check(); err != nil { // answers when all have frames
		return f, err
	}
	if err := pause(ctx, 5*time.Second); err != nil { // the catching up at the start is over
		return f, err
	}
	before, cpu0, began, err := check()
	if err != nil {
		return f, err
	}
	if err := pause(ctx, relayWindow); err != nil {
		return f, err
	}
	after, cpu1, ended, err := check()
	if err != nil {
		return f, err
	}
	resident, err := rig.Resident(h.PID())
	if err != nil {
		return f, err
	}
	seconds, cpu := ended.Sub(began).Seconds(), (cpu1 - cpu0).Seconds()
	bits := float64(after.Bytes-before.Bytes) * 8
	f.CPUPerGbit, f.MbitPerSecond = round(cpu/(bits/1e9)), round(bits/1e6/seconds)
	f.CPUPercent, f.ResidentMB = round(100*cpu/seconds), megabytes(resident)
	f.FramesPerSecond = round(float64(after.Frames-before.Frames) / seconds / float64(n))
	f.LostPackets = after.Lost - before.Lost
	f.FirstKeyP50, f.FirstKeyP95 = after.FirstKeyP50, after.FirstKeyP95
	return f, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func megabytes(bytes int64) float64 { return round(float64(bytes) / 1e6) }

// round keeps two digits behind the point: more would say nothing.
func round(v float64) float64 { return math.Round(v*100) / 100 }
