package connect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/streams"
	"gridpost/streams/rtsp"

	firmwareconfig "gridpost/firmware-config"
)

// streamsOf returns the addresses of a camera's streams: main, and detect if it has one.
func streamsOf(c firmwareconfig.Camera) []address.Stream {
	all := []address.Stream{c.URL}
	if !c.Detect.IsZero() {
		all = append(all, c.Detect)
	}
	return all
}

// show returns an address without what may be secret.
func show(u *url.URL) string {
	u.User = nil
	if u.RawQuery != "" {
		u.RawQuery = "..."
	}
	return u.String()
}

// tryCamera receives one stream of a camera for some seconds and writes to c what it found.
func tryCamera(ctx context.Context, doc firmwareconfig.Camera, at address.Stream, o Options, c *Camera) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stream := streams.New(streams.Options{Name: c.Camera + "/" + c.Stream, RingBytes: 1 << 20})
	reader := stream.Subscribe(streams.ReaderOptions{Queue: 1024})
	defer reader.Close()

	states := &states{stop: stop}
	source := rtsp.NewSource(rtsp.Options{
		URL: at, Transport: doc.Transport, Fingerprint: doc.Fingerprint, Logins: o.logins, Stream: stream, OnState: states.changed,
	})
	done := make(chan error, 1)
	go func() { done <- source.Run(ctx) }()
	m := measure(ctx, reader, o)
	stop(nil)
	if err := <-done; err != nil {
		states.failed = devices.NewCause("camera_not_understood", "address", c.Address, "reason", err.Error())
	}
	c.describe(m, source, stream)
	cause := states.failed
	if cause.IsZero() {
		cause = states.waiting
	}
	if cause.IsZero() && m.frames == 0 {
		cause = devices.NewCause("camera_no_frames", "seconds", devices.Seconds(o.Wait))
	}
	if c.OK = cause.IsZero(); c.OK {
		return
	}
	c.Cause = &cause
	if print := cause.Params["fingerprint"]; print != "" {
		c.Advice = fmt.Sprintf("if the fingerprint is the one that the camera itself shows, write beside its url:\n        fingerprint: %q", print)
	}
}

// states follows the state of a source until it fails. It belongs to the source's goroutine until that has ended.
type states struct {
	stop    context.CancelCauseFunc
	waiting devices.Cause // why nothing comes while the session goes on; zero: frames come, or it has just begun
	failed  devices.Cause // why the first session ended
}

// errFailed says that a source has failed.
var errFailed = errors.New("the connection has failed")

func (s *states) changed(online bool, cause devices.Cause) {
	switch {
	case !s.failed.IsZero():
	case online:
		s.waiting = devices.Cause{}
	case cause.Code == "camera_waiting_for_keyframe" || cause.Code == "camera_no_frames":
		s.waiting = cause
	default:
		s.failed = cause
		s.stop(errFailed)
	}
}

// measurement is what a stream's frames say.
type measurement struct {
	frames      int
	first, last time.Duration // PTS, the smallest and the largest
	bytes       uint64

	keyframes         int
	firstKey, lastKey time.Duration // PTS
	sinceKey          uint64        // bytes since lastKey
	gopBytes          uint64        // bytes from firstKey to lastKey
}

// measure reads frames until enough is known of them, no more come or ctx ends.
func measure(ctx context.Context, reader *streams.Reader, o Options) (m measurement) {
	deadline := time.NewTimer(o.Wait)
	defer deadline.Stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-deadline.C:
			cancel()
		case <-ctx.Done():
		}
	}()
	for !m.enough() {
		u, err := reader.Next(ctx)
		if err != nil {
			return m
		}
		if m.frames == 0 {
			deadline.Reset(o.Measure)
		}
		m.add(u)
	}
	return m
}

// add counts a frame.
func (m *measurement) add(u *streams.AccessUnit) {
	if m.frames == 0 {
		m.first, m.last = u.PTS, u.PTS
	}
	size := uint64(u.Size())
	m.frames++
	m.first, m.last = min(m.first, u.PTS), max(m.last, u.PTS)
	m.bytes += size
	if u.Keyframe {
		if m.keyframes == 0 {
			m.firstKey = u.PTS
		}
		m.keyframes++
		m.lastKey = u.PTS
		m.gopBytes, m.sinceKey = m.gopBytes+m.sinceKey, 0
	}
	m.sinceKey += size
}

// enough reports whether three seconds and two GOPs have been seen.
func (m *measurement) enough() bool { return m.last-m.first >= 3*time.Second && m.keyframes > 2 }

// frameRate returns frames per second, 0 if it is not known.
func (m *measurement) frameRate() float64 { return per(float64(m.frames-1), m.last-m.first) }

// keyframeInterval returns the mean time from keyframe to keyframe, 0 if it is not known.
func (m *measurement) keyframeInterval() time.Duration {
	if m.keyframes < 2 {
		return 0
	}
	return (m.lastKey - m.firstKey) / time.Duration(m.keyframes-1)
}

// bitRate returns bits per second: of whole GOPs if there are any, because keyframes are large.
func (m *measurement) bitRate() float64 {
	if m.keyframes > 1 {
		return per(8*float64(m.gopBytes), m.lastKey-m.firstKey)
	}
	return per(8*float64(m.bytes), m.last-m.first)
}

func per(n float64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return n / d.Seconds()
}

// describe writes what is known of the stream to c.
func (c *Camera) describe(m measurement, source *rtsp.Source, stream *streams.Stream) {
	info := source.Info()
	c.Transport, c.RoundTripMS = info.Transport, milliseconds(info.RoundTrip)
	d := stream.Description()
	video := d.Video()
	c.Codec, c.Width, c.Height, c.Remarks = video.Codec, video.Width, video.Height, d.Remarks
	if audio, _, ok := d.Audio(); ok {
		c.Audio = audio.Codec
	}
	c.FrameRate, c.BitRate = round(m.frameRate(), 10), round(m.bitRate(), 1)
	c.KeyframeS, c.MeasuredS = round(m.keyframeInterval().Seconds(), 100), round((m.last-m.first).Seconds(), 10)
	c.LostPackets = source.Stats().LostPackets
	for _, r := range source.Remarks() {
		c.Repairs = append(c.Repairs, r.String())
	}
}

func milliseconds(d time.Duration) float64 { return round(float64(d)/float64(time.Millisecond), 10) }

// round returns v rounded to a multiple of 1/parts.
func round(v, parts float64) float64 { return math.Round(v*parts) / parts }

// lines returns what is printed of c.
func (c *Camera) lines() []string {
	name := c.Camera + " " + c.Stream + ": "
	if !c.OK {
		lines := []string{name + "DOES NOT WORK: " + c.Cause.Text + " (" + c.Address + ")"}
		return append(lines, c.notes()...)
	}
	parts := []string{string(c.Codec)}
	if c.Width > 0 {
		parts[0] += fmt.Sprintf(" %dx%d", c.Width, c.Height)
	}
	if c.FrameRate > 0 {
		parts = append(parts, number(c.FrameRate)+" frames/s")
	}
	switch {
	case c.KeyframeS > 0:
		parts = append(parts, "a keyframe every "+number(c.KeyframeS)+" s")
	case c.MeasuredS > 0:
		parts = append(parts, "keyframes more than "+number(c.MeasuredS)+" s apart")
	}
	if c.BitRate > 0 {
		parts = append(parts, bitRate(c.BitRate))
	}
	if c.Audio != "" {
		parts = append(parts, "audio "+string(c.Audio))
	}
	parts = append(parts, "round trip "+number(c.RoundTripMS)+" ms", strings.ToUpper(c.Transport))
	return append([]string{name + "ok: " + strings.Join(parts, ", ")}, c.notes()...)
}

// notes returns what is printed below the first line.
func (c *Camera) notes() []string {
	var lines []string
	for _, r := range c.Remarks {
		lines = append(lines, "remark: "+r.Text)
	}
	for _, r := range c.Repairs {
		lines = append(lines, "remark: "+r)
	}
	if c.LostPackets > 0 {
		lines = append(lines, fmt.Sprintf("remark: %d packets were lost in %s s", c.LostPackets, number(c.MeasuredS)))
	}
	if c.Advice != "" {
		lines = append(lines, c.Advice)
	}
	return lines
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// bitRate returns bits per second for people.
func bitRate(v float64) string {
	if v < 1e6 {
		return strconv.FormatFloat(v/1e3, 'f', 0, 64) + " kbit/s"
	}
	return strconv.FormatFloat(v/1e6, 'f', 1, 64) + " Mbit/s"
}
