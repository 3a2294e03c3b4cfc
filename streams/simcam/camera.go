package simcam

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// maxLag is how far a camera may fall behind its clock before it skips the lag, in time of the file.
const maxLag = time.Second

// camera plays one file in a loop.
type camera struct {
	frames []*streams.AccessUnit
	start  int           // index of the frame that comes first
	period time.Duration // length of the file
	desc   *description.Session
	media  *description.Media

	changed chan struct{} // of capacity one: off or frozen may have changed

	mu     sync.Mutex
	off    bool
	frozen bool
	stream *gortsplib.ServerStream // nil while off
}

func newCamera(frames []*streams.AccessUnit, offset time.Duration) *camera {
	last := len(frames) - 1
	period := frames[last].DTS - frames[0].DTS
	period += period / time.Duration(last) // the last frame lasts as long as the others on average
	f := &format.H264{PayloadTyp: 96, PacketizationMode: 1}
	for _, nalu := range frames[0].NALUs {
		if h26x.IsParameterSet(streams.H264, nalu) {
			if _, _, err := h26x.Size(streams.H264, nalu); err == nil {
				f.SPS = nalu
			} else if f.PPS == nil {
				f.PPS = nalu
			}
		}
	}
	media := &description.Media{Type: description.MediaTypeVideo, Formats: []format.Format{f}}
	c := &camera{
		frames:  frames,
		period:  period,
		desc:    &description.Session{Medias: []*description.Media{media}},
		media:   media,
		changed: make(chan struct{}, 1),
	}
	if period > 0 {
		offset = (offset%period + period) % period
	}
	for i, p := range frames {
		if p.Keyframe && p.DTS-frames[0].DTS >= offset {
			c.start = i
			break
		}
	}
	return c
}

// run plays the file until ctx ends, and then returns ctx's error.
func (c *camera) run(ctx context.Context, server *gortsplib.Server) error {
	defer c.closeStream()
	encoder := &rtph264.Encoder{PayloadType: 96, PacketizationMode: 1}
	if err := encoder.Init(); err != nil {
		return fmt.Errorf("packetising video: %w", err)
	}
	var seed [4]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return fmt.Errorf("choosing a first timestamp: %w", err)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()

	began := time.Now()
	skipped := time.Duration(0) // real time that the file was behind and that was skipped
	for i, loop := c.start, time.Duration(0); ; i++ {
		if i == len(c.frames) {
			i = 0
			loop += c.period
		}
		p := c.frames[i]
		due := loop + p.DTS - c.frames[c.start].DTS + skipped
		if lag := time.Since(began) - due; lag > maxLag {
			skipped += lag
		} else {
			timer.Reset(-lag)
			if err := c.wait(ctx, timer, server); err != nil {
				return err
			}
		}
		stamp := binary.BigEndian.Uint32(seed[:]) + uint32((loop+p.PTS+skipped)*90/time.Millisecond)
		if err := c.send(encoder, p, stamp); err != nil {
			return err
		}
	}
}

// wait returns when timer fires, and until then applies changes of the state.
func (c *camera) wait(ctx context.Context, timer *time.Timer, server *gortsplib.Server) error {
	for {
		if err := c.applyState(server); err != nil {
			return err
		}
		select {
		case <-c.changed:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// applyState opens or closes the stream, depending on the state.
func (c *camera) applyState(server *gortsplib.Server) error {
	c.mu.Lock()
	off, open := c.off, c.stream != nil
	c.mu.Unlock()
	switch {
	case off && open:
		c.closeStream()
	case !off && !open:
		stream := &gortsplib.ServerStream{Server: server, Desc: c.desc}
		if err := stream.Initialize(); err != nil {
			return fmt.Errorf("opening the stream: %w", err)
		}
		c.mu.Lock()
		c.stream = stream
		c.mu.Unlock()
	}
	return nil
}

// closeStream ends the sessions of all viewers.
func (c *camera) closeStream() {
	c.mu.Lock()
	stream := c.stream
	c.stream = nil
	c.mu.Unlock()
	if stream != nil {
		stream.Close()
	}
}

// current returns the stream, nil while the camera is off.
func (c *camera) current() *gortsplib.ServerStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stream
}

// send packetises p and sends it to all viewers.
func (c *camera) send(encoder *rtph264.Encoder, p *streams.AccessUnit, stamp uint32) error {
	c.mu.Lock()
	stream, silent := c.stream, c.off || c.frozen
	c.mu.Unlock()
	if stream == nil || silent {
		return nil
	}
	packets, err := encoder.Encode(p.NALUs)
	if err != nil {
		return fmt.Errorf("packetising video: %w", err)
	}
	for _, packet := range packets {
		packet.Timestamp = stamp
		if err := stream.WritePacketRTP(c.media, packet); err != nil {
			return fmt.Errorf("sending video: %w", err)
		}
	}
	return nil
}
