package rtsptest_test

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"

	"gridpost/streams/rtsp/rtsptest"
)

// TestServesAnotherClient reads every track by TCP and by UDP, with a client that knows nothing of the server.
func TestServesAnotherClient(t *testing.T) {
	server := rtsptest.Start(t, map[string]*rtsptest.Camera{
		"/main": {Tracks: []rtsptest.Track{rtsptest.H264(), rtsptest.PCMA()}},
		"/locked": {
			Tracks: []rtsptest.Track{rtsptest.H264(), rtsptest.PCMA()},
			Auth:   &rtsptest.Auth{User: "u", Password: "p"},
		},
	})
	for name, address := range map[string]string{"main": server.URL("/main"), "locked": server.UserURL("/locked", "u", "p")} {
		for _, transport := range []gortsplib.Transport{gortsplib.TransportTCP, gortsplib.TransportUDP} {
			t.Run(name+"/"+transport.String(), func(t *testing.T) {
				read(t, address, transport)
			})
		}
	}
	if server.Count("/main", "PLAY") != 2 || server.Sessions() != 4 {
		t.Errorf("%d requests, %d sessions", server.Count("/main", "PLAY"), server.Sessions())
	}
}

func read(t *testing.T, address string, transport gortsplib.Transport) {
	u, err := base.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	c := &gortsplib.Client{Scheme: u.Scheme, Host: u.Host, Transport: &transport}
	if err := c.Start2(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	desc, _, err := c.Describe(u)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetupAll(desc.BaseURL, desc.Medias); err != nil {
		t.Fatal(err)
	}
	var f *format.H264
	media := desc.FindFormat(&f)
	if media == nil || len(desc.Medias) != 2 {
		t.Fatalf("the description has %d media", len(desc.Medias))
	}
	decoder, err := f.CreateDecoder()
	if err != nil {
		t.Fatal(err)
	}
	video, audio := make(chan int, 100), make(chan []byte, 100)
	c.OnPacketRTP(media, f, func(p *rtp.Packet) {
		if nalus, err := decoder.Decode(p); err == nil {
			push(video, len(nalus))
		}
	})
	c.OnPacketRTP(desc.Medias[1], desc.Medias[1].Formats[0], func(p *rtp.Packet) { push(audio, p.Payload) })
	if _, err := c.Play(nil); err != nil {
		t.Fatal(err)
	}
	for n := range 2 * rtsptest.GOP {
		got, want := <-video, 1
		if n%rtsptest.GOP == 0 {
			want = 3
		}
		if got != want {
			t.Errorf("frame %d has %d NALUs, want %d", n, got, want)
		}
	}
	if p := <-audio; len(p) != 160 {
		t.Errorf("%d bytes of audio", len(p))
	}
}

func push[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

func TestFramesAreWhole(t *testing.T) {
	frames := rtsptest.Frames()
	if len(frames) != 25 {
		t.Fatalf("%d frames", len(frames))
	}
	for n, frame := range frames {
		if key := n%rtsptest.GOP == 0; key != (len(frame) == 3) {
			t.Errorf("frame %d has %d NALUs", n, len(frame))
		}
	}
}

// TestFramesCanBeDecoded decodes the video with ffmpeg, which must have nothing to say about it.
func TestFramesCanBeDecoded(t *testing.T) {
	var stream []byte
	for _, frame := range rtsptest.Frames() {
		for _, nalu := range frame {
			stream = append(append(stream, 0, 0, 0, 1), nalu...)
		}
	}
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "warning", "-f", "h264", "-i", "-", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
	cmd.Stdin = bytes.NewReader(stream)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	const luma = rtsptest.Width * rtsptest.Height
	const size = luma * 3 / 2
	if len(out) != len(rtsptest.Frames())*size {
		t.Fatalf("%d bytes of samples", len(out))
	}
	for n := range rtsptest.Frames() {
		corner := out[n*size+luma-rtsptest.Width*15-16]
		if want := byte(64 + n*9%128); n%rtsptest.GOP != 0 && corner != want {
			t.Errorf("frame %d shows %d in its last macroblock, want %d", n, corner, want)
		}
	}
}
