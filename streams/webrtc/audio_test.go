package webrtc

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"gridpost/streams"
)

// TestAudioReachesViewers publishes each codec that a camera may send; viewers that offer audio hear it, and viewers
// that do not still see the video.
func TestAudioReachesViewers(t *testing.T) {
	for _, track := range []streams.Track{
		{Codec: streams.PCMA, ClockRate: 8000, Channels: 1},
		{Codec: streams.PCMU, ClockRate: 8000, Channels: 1},
		{Codec: streams.Opus, ClockRate: 48000, Channels: 2},
	} {
		t.Run(string(track.Codec), func(t *testing.T) {
			h := newHub(t)
			start(t, h, newCamera(25, 3000).withAudio(track), 10)
			for _, media := range [][]string{{"audio", "video"}, {"video", "audio"}} {
				v := newForeignViewer(t, media...)
				answer := post(t, h.server.URL+"/whep", v.offer)
				if got := checkAnswer(t, v.offer, answer); !slices.Equal(got, media) {
					t.Errorf("accepted %v of %v", got, media)
				}
				audio := v.receiveAudio(t, answer)
				if !strings.EqualFold(audio.codec, "audio/"+string(track.Codec)) {
					t.Errorf("codec %s", audio.codec)
				}
				for i, p := range audio.packets[1:] {
					last := audio.packets[i]
					if p.SequenceNumber != last.SequenceNumber+1 || numberOf(p) != numberOf(last)+1 || len(p.Payload) != 160 {
						t.Fatalf("packet %d (%d, %d bytes) follows %d (%d)", p.SequenceNumber, numberOf(p), len(p.Payload), last.SequenceNumber, numberOf(last))
					}
					if d, want := p.Timestamp-last.Timestamp, uint32(track.ClockRate/50); d != want {
						t.Fatalf("packets are %d ticks apart, want %d", d, want)
					}
				}
			}
			frames := 0
			if _, err := h.play(t.Context(), PlayOptions{}, func(Frame) bool { frames++; return frames < 15 }); err != nil || frames < 15 {
				t.Errorf("without audio: %d frames, %v", frames, err)
			}
			// The sender reports of the audio must not be taken for those of the video.
			if at, _ := h.feed.clock(); time.Since(at).Abs() > 5*time.Second {
				t.Errorf("the newest frame was captured at %v", at)
			}
			if at, _ := h.feed.audio.clock(); time.Since(at).Abs() > 5*time.Second {
				t.Errorf("the newest audio was captured at %v", at)
			}
			if s := h.feed.Stats(); s.AudioPackets == 0 {
				t.Errorf("feed %+v", s)
			}
		})
	}
}

func numberOf(p *rtp.Packet) uint64 { return binary.BigEndian.Uint64(p.Payload) }

type heard struct {
	codec   string
	packets []*rtp.Packet
}

// receiveAudio sets the answer and returns some packets of the audio.
func (v *foreignViewer) receiveAudio(t *testing.T, answer string) heard {
	t.Helper()
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatalf("%v\n%s", err, answer)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for {
		select {
		case track := <-v.tracks:
			if track.Kind() != webrtc.RTPCodecTypeAudio {
				continue
			}
			got := heard{codec: track.Codec().MimeType}
			if err := track.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			for len(got.packets) < 20 {
				p, _, err := track.ReadRTP()
				if err != nil {
					t.Fatal(err)
				}
				got.packets = append(got.packets, p)
			}
			return got
		case <-ctx.Done():
			t.Fatalf("no audio; the connection is %s; answer:\n%s", v.pc.ConnectionState(), answer)
		}
	}
}

// audioWriterTo collects what an audioSender sends.
type audioWriterTo struct{ packets []rtp.Header }

func (w *audioWriterTo) WriteRTP(h *rtp.Header, _ []byte) (int, error) {
	w.packets = append(w.packets, *h)
	return 0, nil
}
func (w *audioWriterTo) Write([]byte) (int, error) { return 0, nil }

// TestAudioKeepsItsGaps: what was lost before the feed is missing for viewers too, reordering stays, and a pause or a new
// publisher is no gap.
func TestAudioKeepsItsGaps(t *testing.T) {
	f := newAudioFeed(codec{name: streams.PCMA})
	s, out := newAudioSender(f), &audioWriterTo{}
	s.stream = out
	send := func(hold bool) {
		t.Helper()
		if _, err := s.send(hold); err != nil {
			t.Fatal(err)
		}
	}
	first := audioWriter{feed: f}
	write := func(w *audioWriter, n int) { w.write([]byte{1}, uint16(n), uint32(n)*160, false, time.Time{}) }
	write(&first, 65530)
	send(false) // the present is what comes next
	for _, n := range []int{65531, 65532, 65535, 65534, 65539} {
		write(&first, n)
	}
	send(false)
	var distances []int16
	for _, h := range out.packets {
		distances = append(distances, int16(h.SequenceNumber-out.packets[0].SequenceNumber))
	}
	if !slices.Equal(distances, []int16{0, 1, 4, 3, 8}) || out.packets[4].Timestamp-out.packets[3].Timestamp != 5*160 {
		t.Errorf("numbers %v, timestamps %+v", distances, out.packets)
	}

	last := out.packets[4]
	write(&first, 65540)
	send(true) // dropped
	write(&first, 65541)
	second := audioWriter{feed: f}
	write(&second, 700)
	send(false)
	if n := len(out.packets); n != 7 || out.packets[5].SequenceNumber != last.SequenceNumber+1 || !out.packets[5].Marker ||
		out.packets[6].SequenceNumber != last.SequenceNumber+2 || !out.packets[6].Marker || int32(out.packets[6].Timestamp-out.packets[5].Timestamp) <= 0 {
		t.Errorf("after the pause: %+v", out.packets[5:])
	}

	for n := range 3 * audioPackets { // the viewer does not keep up
		write(&second, 701+n)
	}
	send(false)
	write(&second, 701+3*audioPackets)
	send(false)
	if n := len(out.packets); n != 8 || out.packets[7].SequenceNumber != last.SequenceNumber+3 {
		t.Errorf("after falling behind: %+v", out.packets[7:])
	}
}

// TestAudioIsHeldOnAThinLine: audio uses the line only if the video has enough.
func TestAudioIsHeldOnAThinLine(t *testing.T) {
	feed := NewFeed()
	feed.audio = newAudioFeed(codec{name: streams.PCMU})
	out := &audioWriterTo{}
	base := newSender(feed, func(uint32) {})
	base.audio = newAudioSender(feed.audio)
	base.audio.stream = out
	p := newPacedSender(base, PublishOptions{})
	w := audioWriter{feed: feed.audio}
	now := time.Now()
	step := func(n uint16) int {
		t.Helper()
		before := len(out.packets)
		w.write(make([]byte, 160), n, uint32(n)*160, false, now)
		if err := p.sendPacedAudio(now); err != nil {
			t.Fatal(err)
		}
		return len(out.packets) - before
	}
	p.control.budget = 4e6
	step(1)
	free := p.control.wait(now)
	if step(2) != 1 || p.control.wait(now) <= free {
		t.Errorf("with room for all: %d packets, the video waits %v, before %v", len(out.packets), p.control.wait(now), free)
	}
	p.control.budget = 200e3
	if n := step(3); n != 0 {
		t.Errorf("%d packets on a thin line", n)
	}
	p.control.budget = 4e6
	p.yielding = true
	if n := step(4); n != 0 {
		t.Errorf("%d packets while alerts wait", n)
	}
	p.yielding = false
	if n := step(5); n != 1 {
		t.Errorf("%d packets after the pause", n)
	}
}

func TestAudioOffers(t *testing.T) {
	const head = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
	const video = "m=video 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:v\r\na=rtpmap:98 H265/90000\r\n"
	for name, x := range map[string]struct {
		offer string
		want  []streams.Codec
	}{
		"static types":     {head + "a=group:BUNDLE a v\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0 8 9\r\na=mid:a\r\n" + video, []streams.Codec{streams.PCMU, streams.PCMA}},
		"Opus":             {head + "a=group:BUNDLE v a\r\n" + video + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:a\r\na=rtpmap:111 OPUS/48000/2\r\n", []streams.Codec{streams.Opus}},
		"not bundled":      {head + video + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:a\r\n", nil},
		"another rate":     {head + "a=group:BUNDLE a v\r\n" + video + "m=audio 9 UDP/TLS/RTP/SAVPF 100\r\na=mid:a\r\na=rtpmap:100 PCMU/16000\r\n", nil},
		"switched off":     {head + "a=group:BUNDLE v\r\nm=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:a\r\n" + video, nil},
		"inactive":         {head + "a=group:BUNDLE a v\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=inactive\r\na=mid:a\r\n" + video, nil},
		"only with others": {head + "a=group:BUNDLE v a\r\n" + video + "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=bundle-only\r\na=mid:a\r\n", []streams.Codec{streams.PCMU}},
	} {
		o, err := readOffer(x.offer)
		if err != nil || len(o.video) != 1 {
			t.Errorf("%s: %+v, %v", name, o, err)
			continue
		}
		var got []streams.Codec
		for _, c := range o.audio {
			got = append(got, c.name)
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%s: %v, want %v", name, got, x.want)
		}
	}
}

func TestAudioThatWebRTCCannotCarry(t *testing.T) {
	for _, track := range []streams.Track{
		{Codec: streams.PCMA, ClockRate: 16000, Channels: 1}, {Codec: streams.PCMU, ClockRate: 8000, Channels: 2}, {Codec: "MPEG4-GENERIC", ClockRate: 16000, Channels: 1},
	} {
		if c, ok := audioCodecOf(track); ok {
			t.Errorf("%+v became %+v", track, c)
		}
	}
}

// TestLargePacketsOfG711AreDivided: some cameras send half a second in one packet, which fits in no datagram.
func TestLargePacketsOfG711AreDivided(t *testing.T) {
	f := newAudioFeed(codec{name: streams.PCMA})
	w := audioUnitWriter{feed: f}
	w.write(&streams.AccessUnit{Codec: streams.PCMA, Session: 1, Data: make([]byte, 1100)})
	var got [8]*audioPacket
	n, _ := f.read(1, got[:])
	if n != 3 || len(got[0].payload) != 480 || len(got[2].payload) != 140 || got[2].timestamp-got[0].timestamp != 960 || got[2].sequence-got[0].sequence != 2 {
		t.Errorf("%d packets: %+v", n, got[:n])
	}
}
