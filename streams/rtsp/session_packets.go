package rtsp

import (
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/pion/rtp"
)

// onPacket handles a packet of the video. It never blocks.
func (n *session) onPacket(media *description.Media, packet *rtp.Packet) {
	now := time.Now()
	n.packets.Add(1)
	if len(packet.Payload) > 0 {
		n.lastPacket.Store(n.since(now))
	}
	n.receiving.Lock()
	defer n.receiving.Unlock()
	au, err := n.assembler.push(packet, now)
	c := &n.source.count
	lost := n.assembler.resetCount(&n.assembler.lost)
	c.packets.Add(1)
	c.lostPackets.Add(lost)
	n.source.loss.add(now, 1, lost)
	c.dropped.Add(n.assembler.resetCount(&n.assembler.dropped))
	c.timestampJumps.Add(n.assembler.resetCount(&n.assembler.clock.timestampJumps))
	if err != nil {
		n.countDecodeError(err)
	}
	if au == nil {
		return
	}
	au.CaptureTime = n.captureTime(media, packet)
	first := !n.hadFrames()
	if first {
		n.videoAt = now
	}
	warns := false
	if first || n.assembler.changed {
		warns = n.describe()
	}
	n.source.o.Stream.Publish(au)
	c.frames.Add(1)
	n.lastFrame.Store(n.since(now))
	n.foreign.Store(0)
	if n.awaited.Swap(false) || warns {
		select {
		case n.gotFrame <- struct{}{}:
		default: // watch has not yet read the last one
		}
	}
}

// onAudio handles a packet of the audio. Audio before the first frame is dropped: without video the camera is not
// online.
func (n *session) onAudio(media *description.Media, packet *rtp.Packet) {
	n.receiving.Lock()
	defer n.receiving.Unlock()
	if n.videoAt.IsZero() {
		return
	}
	if au := n.audio.push(packet, time.Now(), n.videoAt); au != nil {
		au.CaptureTime = n.captureTime(media, packet)
		n.source.o.Stream.Publish(au)
	}
}

// captureTime returns the time of a packet by the camera's clock, zero before its first sender report.
func (n *session) captureTime(media *description.Media, packet *rtp.Packet) time.Time {
	at, ok := n.client.PacketNTP(media, packet)
	if !ok {
		return time.Time{}
	}
	return at
}

// foreignPackets is how many packets of another SSRC come by UDP, without a frame between them, until the session is
// ended: the library would drop them for ever.
const foreignPackets = 20

// countDecodeError counts what could not be parsed. Only the first of a source is logged; the count is logged
// when the camera goes offline.
func (n *session) countDecodeError(err error) {
	if n.source.transport == gortsplib.TransportUDP && strings.Contains(err.Error(), "wrong SSRC") && n.foreign.Add(1) == foreignPackets {
		n.end(errSourceChanged)
	}
	if n.source.count.decodeErrors.Add(1) == 1 {
		n.source.o.Logger.Warn("camera sends packets that cannot be parsed; further ones are only counted",
			"stream", n.source.o.Stream.Name(), "error", sanitize(err.Error(), n.source.address()))
	}
}
