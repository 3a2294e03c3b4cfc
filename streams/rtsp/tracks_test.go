package rtsp

import (
	"bytes"
	"context"
	"encoding/binary"
	"image"
	"image/jpeg"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"

	"gridpost/streams"
	"gridpost/streams/rtsp/rtsptest"
)

// audioTrackTest is a track of any audio format, with n in each packet.
func testAudio(media string, payloadType uint8, step uint32, attributes ...string) rtsptest.Track {
	return rtsptest.Track{
		Control: "audio", Media: media, PayloadType: payloadType, SSRC: 8, Step: step, Attributes: attributes,
		Frame: func(n int) [][]byte { return [][]byte{bytes.Repeat([]byte{byte(n)}, 160)} },
	}
}

// audioUnits returns the next n access units with audio of the source's stream.
func (w *testSource) withAudio(n int) (video, audio []*streams.AccessUnit) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), waitLimit)
	defer cancel()
	reader := w.stream.Subscribe(streams.ReaderOptions{Queue: 1000, Audio: true})
	defer reader.Close()
	for len(video) < n || len(audio) < n {
		u, err := reader.Next(ctx)
		if err != nil {
			w.t.Fatalf("after %d frames and %d packets of audio: %v; log:\n%s", len(video), len(audio), err, w.log)
		}
		if u.Codec.IsAudio() {
			audio = append(audio, u)
		} else {
			video = append(video, u)
		}
	}
	return video, audio
}

func TestAudioThatCanBePassedOn(t *testing.T) {
	for _, test := range []struct {
		name  string
		track rtsptest.Track
		want  streams.Track
	}{
		{"A-law", testAudio("audio 0 RTP/AVP 8", 8, 160), streams.Track{Codec: streams.PCMA, ClockRate: 8000, Channels: 1}},
		{"mu-law", testAudio("audio 0 RTP/AVP 0", 0, 160), streams.Track{Codec: streams.PCMU, ClockRate: 8000, Channels: 1}},
		{
			"Opus", testAudio("audio 0 RTP/AVP 97", 97, 960, "a=rtpmap:97 opus/48000/2", "a=fmtp:97 sprop-stereo=1"),
			streams.Track{Codec: streams.Opus, ClockRate: 48000, Channels: 2},
		},
	} {
		for _, transport := range []string{TCP, UDP} {
			t.Run(test.name+"/"+transport, func(t *testing.T) {
				_, address := rtsptest.StartOne(t, &rtsptest.Camera{Tracks: []rtsptest.Track{test.track, rtsptest.H264()}})
				w := watch(t, Options{URL: parsed(t, address), Transport: transport})
				w.expect(true, "")
				video, audio := w.withAudio(20)
				for _, u := range video {
					if u.Track != 0 || u.Codec != streams.H264 || u.Data != nil {
						t.Fatalf("frame %+v", u)
					}
				}
				for i, u := range audio {
					if u.Track != 1 || u.Codec != test.want.Codec || u.Keyframe || len(u.Data) != 160 || u.NALUs != nil {
						t.Fatalf("audio %+v", u)
					}
					if i > 0 && u.PTS-audio[i-1].PTS != 20*time.Millisecond {
						t.Fatalf("audio at %v after %v, want steps of 20 ms", u.PTS, audio[i-1].PTS)
					}
				}
				d := w.stream.Description()
				got, index, ok := d.Audio()
				if !ok || index != 1 || got != test.want || len(d.Remarks) != 0 {
					t.Errorf("description %+v", d)
				}
				if v := d.Video(); v.Codec != streams.H264 || v.Width != 320 || v.Height != 240 || v.ClockRate != 90000 || v.BFrames {
					t.Errorf("video %+v", v)
				}
				for _, u := range w.accessUnits(5) {
					if u.Codec.IsAudio() {
						t.Fatal("a reader of video received audio")
					}
				}
			})
		}
	}
}

func TestWhatIsLeftOutIsNamed(t *testing.T) {
	second := rtsptest.H264()
	second.Control = "video2"
	aac := testAudio("audio 0 RTP/AVP 98", 98, 1024, "a=rtpmap:98 MPEG4-GENERIC/16000/1",
		"a=fmtp:98 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408")
	server, address := rtsptest.StartOne(t, &rtsptest.Camera{Tracks: []rtsptest.Track{aac, rtsptest.H264(), second}})
	w := watch(t, Options{URL: parsed(t, address)})
	w.expect(true, "")
	w.accessUnits(3)
	d := w.stream.Description()
	if len(d.Tracks) != 1 || len(d.Remarks) != 2 {
		t.Fatalf("description %+v", d)
	}
	if r := d.Remarks[0]; r.Code != "video_left_out" || r.Params["count"] != "1" || !known(r) {
		t.Errorf("remark %+v", r)
	}
	if r := d.Remarks[1]; r.Code != "audio_left_out" || r.Params["codec"] != "AAC" || !known(r) {
		t.Errorf("remark %+v", r)
	}
	if n := server.Count("/main", "SETUP"); n != 1 {
		t.Errorf("%d tracks were set up, want the video alone", n)
	}
	if !strings.Contains(w.log.String(), d.Remarks[1].Text) {
		t.Errorf("the log does not name the audio:\n%s", w.log)
	}
}

// TestVideoSurvivesRefusedAudio: whatever a camera does at the SETUP of its audio, the video plays.
func TestVideoSurvivesRefusedAudio(t *testing.T) {
	isAudio := func(r *rtsptest.Request) bool { return r.Method == "SETUP" && strings.HasSuffix(r.URL, "audio") }
	for name, camera := range map[string]*rtsptest.Camera{
		"an error": {Answer: func(_ *rtsptest.Conn, r *rtsptest.Request, a *rtsptest.Answer) {
			if isAudio(r) {
				a.Status = "RTSP/1.0 500 Internal Server Error"
			}
		}},
		"closes the connection": {Before: func(c *rtsptest.Conn, r *rtsptest.Request) bool {
			if isAudio(r) {
				c.Close()
				return true
			}
			return false
		}},
	} {
		t.Run(name, func(t *testing.T) {
			camera.Tracks = []rtsptest.Track{rtsptest.H264(), rtsptest.PCMA()}
			_, address := rtsptest.StartOne(t, camera)
			w := watch(t, Options{URL: parsed(t, address)})
			w.expect(true, "")
			w.accessUnits(10)
			d := w.stream.Description()
			if len(d.Tracks) != 1 || len(d.Remarks) != 1 || d.Remarks[0].Code != "audio_refused" || !known(d.Remarks[0]) {
				t.Errorf("description %+v", d)
			}
		})
	}
}

// testJPEG returns a track of motion JPEG whose images are wide x high.
func testJPEG(t *testing.T, wide, high int) rtsptest.Track {
	t.Helper()
	encoder, err := (&format.MJPEG{}).CreateEncoder()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, image.NewYCbCr(image.Rect(0, 0, wide, high), image.YCbCrSubsampleRatio420), nil); err != nil {
		t.Fatal(err)
	}
	packets, err := encoder.Encode(buf.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var payloads [][]byte
	for _, p := range packets {
		payloads = append(payloads, p.Payload)
	}
	return rtsptest.Track{
		Control: "video", Media: "video 0 RTP/AVP 26", PayloadType: 26, SSRC: 9, Step: 3600,
		Frame: func(int) [][]byte { return payloads },
	}
}

func TestMotionJPEG(t *testing.T) {
	_, address := rtsptest.StartOne(t, &rtsptest.Camera{Tracks: []rtsptest.Track{testJPEG(t, 640, 360)}})
	w := watch(t, Options{URL: parsed(t, address)})
	w.expect(true, "")
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	for i := range 10 {
		u, err := w.reader.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		c, err := jpeg.DecodeConfig(bytes.NewReader(u.Data))
		if err != nil || c.Width != 640 || c.Height != 360 || !u.Keyframe || u.Codec != streams.JPEG || u.PTS != time.Duration(i)*frameTime {
			t.Fatalf("frame %d at %v: %dx%d, %v", i, u.PTS, c.Width, c.Height, err)
		}
	}
	if v := w.stream.Description().Video(); v.Codec != streams.JPEG || v.Width != 640 || v.Height != 360 {
		t.Errorf("description %+v", v)
	}
}

// TestJPEGOfOtherCameras: restart markers, and quantization tables that come with the first frame only.
func TestJPEGOfOtherCameras(t *testing.T) {
	usual := testJPEG(t, 64, 48).Frame(0)
	decode := func(a *assembler, number *uint16, payloads [][]byte) *streams.AccessUnit {
		t.Helper()
		var u *streams.AccessUnit
		for i, payload := range payloads {
			*number++
			var err error
			if u, err = a.push(packet(*number, uint32(*number)*3600, i == len(payloads)-1, payload...), time.Unix(1e9, 0)); err != nil {
				t.Fatal(err)
			}
		}
		if u == nil {
			t.Fatal("no frame")
		}
		if _, err := jpeg.Decode(bytes.NewReader(u.Data)); err != nil {
			t.Fatal("the frame cannot be decoded:", err)
		}
		return u
	}
	a, err := newAssembler(&format.MJPEG{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	number := uint16(0)
	plain := decode(a, &number, usual)

	if length := int(binary.BigEndian.Uint16(usual[0][10:])); usual[0][5] != 255 || length != 128 {
		t.Fatalf("the encoder's header has changed: %x", usual[0][:12])
	}
	static := slices.Clone(usual)
	static[0] = slices.Clone(static[0])
	static[0][5] = 200
	without := slices.Clone(usual)
	without[0] = slices.Concat(static[0][:8], []byte{0, 0, 0, 0}, static[0][12+128:])
	for i := 1; i < len(usual); i++ {
		static[i], without[i] = slices.Clone(usual[i]), slices.Clone(usual[i])
		static[i][5], without[i][5] = 200, 200
	}
	if u := decode(a, &number, static); !bytes.Equal(u.Data, plain.Data) {
		t.Error("tables for a Q value give another image")
	}
	if u := decode(a, &number, without); !bytes.Equal(u.Data, plain.Data) {
		t.Error("tables that are left out give another image")
	}

	var marked [][]byte
	for _, payload := range usual {
		p := slices.Concat(payload[:8], []byte{0x10, 0, 0xff, 0xff}, payload[8:]) // an interval that is never reached
		p[4] += 64
		marked = append(marked, p)
	}
	if u := decode(a, &number, marked); !bytes.Contains(u.Data, []byte{0xff, 0xdd, 0, 4, 0x10, 0}) {
		t.Error("the restart interval is missing")
	}
}

// TestJPEGWithReservedQuantization: the library would divide by it.
func TestJPEGWithReservedQuantization(t *testing.T) {
	a, err := newAssembler(&format.MJPEG{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := a.push(packet(1, 0, true, 0, 0, 0, 0, 1, 0, 40, 30, 1, 2), time.Unix(1e9, 0)); u != nil || err == nil {
		t.Errorf("gave %+v, %v", u, err)
	}
}

// TestWithoutAudio: nobody hears a sub-stream, so its audio is not set up.
func TestWithoutAudio(t *testing.T) {
	server, address := rtsptest.StartOne(t, &rtsptest.Camera{Tracks: []rtsptest.Track{rtsptest.H264(), rtsptest.PCMA()}})
	w := watch(t, Options{URL: parsed(t, address), WithoutAudio: true})
	w.expect(true, "")
	w.accessUnits(3)
	if d := w.stream.Description(); len(d.Tracks) != 1 || len(d.Remarks) != 0 || server.Count("/main", "SETUP") != 1 {
		t.Errorf("%+v, %d tracks were set up", d, server.Count("/main", "SETUP"))
	}
}
