package rtsptest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// Track is one medium of a camera: how its description reads and what is sent.
type Track struct {
	Control     string   // of a=control
	Media       string   // such as "video 0 RTP/AVP 96"
	Attributes  []string // lines such as "a=rtpmap:96 H264/90000"
	PayloadType uint8
	SSRC        uint32

	// Step is how much the RTP timestamp grows from one frame to the next.
	Step uint32

	// Frame returns the payloads of the RTP packets of frame n, from 0. The last packet has the marker bit.
	Frame func(n int) [][]byte
}

// Interval is the time between two frames of SendMedia. It is shorter than the timestamps say, so that tests are fast.
const Interval = 10 * time.Millisecond

// MaxPayload is the size in bytes above which a NALU is sent in fragments.
const MaxPayload = 1200

// GOP is the number of frames from one keyframe of H264 to the next.
const GOP = 5

func (c *Camera) tracks() []Track {
	if len(c.Tracks) == 0 {
		return []Track{H264()}
	}
	return c.Tracks
}

// H264 returns a track with real video: Width x Height, 25 frames/s, a keyframe every GOP frames, which is sent in fragments
// (FU-A). The parameter sets are in the description and before each keyframe.
func H264() Track {
	frames := Frames()
	sps, pps := frames[0][0], frames[0][1]
	return Track{
		Control: "video", Media: "video 0 RTP/AVP 96", PayloadType: 96, SSRC: 7, Step: 3600,
		Attributes: []string{
			"a=rtpmap:96 H264/90000",
			"a=fmtp:96 packetization-mode=1;sprop-parameter-sets=" + base64.StdEncoding.EncodeToString(sps) + "," + base64.StdEncoding.EncodeToString(pps),
		},
		Frame: func(n int) [][]byte { return PacketizeH264(frames[n%len(frames)]) },
	}
}

// PCMA returns a track of G.711 A-law: silence, 20 ms per packet.
func PCMA() Track {
	silence := bytes.Repeat([]byte{0xd5}, 160)
	return Track{
		Control: "audio", Media: "audio 0 RTP/AVP 8", PayloadType: 8, SSRC: 8, Step: 160,
		Frame: func(int) [][]byte { return [][]byte{silence} },
	}
}

// Describe returns a description of tracks with CRLF.
func Describe(tracks ...Track) string {
	lines := []string{"v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=x", "t=0 0"}
	for _, track := range tracks {
		lines = append(lines, "m="+track.Media)
		lines = append(lines, track.Attributes...)
		if track.Control != "" {
			lines = append(lines, "a=control:"+track.Control)
		}
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

// PacketizeH264 returns the payloads of the packets of one frame (RFC 6184, packetization mode 1, without STAP-A).
func PacketizeH264(nalus [][]byte) [][]byte {
	var payloads [][]byte
	for _, nalu := range nalus {
		if len(nalu) <= MaxPayload {
			payloads = append(payloads, nalu)
			continue
		}
		const fuA, start, end = 28, 0x80, 0x40
		indicator, kind := nalu[0]&0xe0|fuA, nalu[0]&0x1f
		for rest, flags := nalu[1:], byte(start); len(rest) > 0; flags = 0 {
			n := min(len(rest), MaxPayload-2)
			if n == len(rest) {
				flags |= end
			}
			payloads = append(payloads, append([]byte{indicator, flags | kind}, rest[:n]...))
			rest = rest[n:]
		}
	}
	return payloads
}

// SendMedia sends the frames of every track that was set up, one each Interval, until the connection ends.
func (c *Conn) SendMedia() { c.SendFrom(0) }

// SendFrom is SendMedia from frame n on.
func (c *Conn) SendFrom(n int) {
	for ; c.SendFrame(n) && c.Pause(Interval); n++ {
	}
}

// SendFrames sends frames first to last-1, and reports whether the connection is still open.
func (c *Conn) SendFrames(first, last int) bool {
	for n := first; n < last; n++ {
		if !c.SendFrame(n) || !c.Pause(Interval) {
			return false
		}
	}
	return true
}

// SendFrame sends frame n of each track that was set up and reports whether the connection is still open.
func (c *Conn) SendFrame(n int) bool {
	for i := range c.setupCount() {
		track := c.track(i)
		payloads := track.Frame(n)
		for k, payload := range payloads {
			if !c.SendPacket(i, c.Packet(i, payload, uint32(n)*track.Step, k == len(payloads)-1)) {
				return false
			}
		}
	}
	return true
}

func (c *Conn) setupCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.setups)
}

func (c *Conn) track(i int) Track {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Camera.tracks()[c.setups[i].track]
}

// Packet returns the next RTP packet (RFC 3550) of the i-th track that was set up.
func (c *Conn) Packet(i int, payload []byte, timestamp uint32, marker bool) []byte {
	track := c.track(i)
	c.mu.Lock()
	c.seq[i]++
	seq := c.seq[i]
	c.mu.Unlock()
	packet := make([]byte, 12, 12+len(payload))
	packet[0] = 0x80
	packet[1] = track.PayloadType
	if marker {
		packet[1] |= 0x80
	}
	binary.BigEndian.PutUint16(packet[2:], seq)
	binary.BigEndian.PutUint32(packet[4:], timestamp)
	binary.BigEndian.PutUint32(packet[8:], track.SSRC)
	return append(packet, payload...)
}

// SkipPackets makes n sequence numbers of the i-th track look lost.
func (c *Conn) SkipPackets(i, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq[i] += uint16(n)
}

// SendPacket sends an RTP packet of the i-th track that was set up, as the client has asked: inside the connection or by
// UDP.
func (c *Conn) SendPacket(i int, packet []byte) bool {
	c.mu.Lock()
	su := c.setups[i]
	c.mu.Unlock()
	if su.channel >= 0 {
		return c.Write(Interleaved(su.channel, packet))
	}
	_, err := su.udp.WriteToUDP(packet, su.to)
	return err == nil && c.open()
}

// Channel returns the interleaved channel of RTP of the i-th track that was set up, -1 for UDP.
func (c *Conn) Channel(i int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.setups[i].channel
}

// Interleaved returns a frame for the RTSP connection (RFC 2326, section 10.12).
func Interleaved(channel int, data []byte) []byte {
	if len(data) > 1<<16-1 {
		panic(fmt.Sprintf("a packet of %d bytes fits in no interleaved frame", len(data)))
	}
	head := []byte{'$', byte(channel), byte(len(data) >> 8), byte(len(data))}
	return append(head, data...)
}
