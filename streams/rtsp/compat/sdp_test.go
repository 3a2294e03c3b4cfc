package compat

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	libdescription "github.com/bluenviron/gortsplib/v4/pkg/description"
	libformat "github.com/bluenviron/gortsplib/v4/pkg/format"
	libsdp "github.com/bluenviron/gortsplib/v4/pkg/sdp"
)

// read parses a rebuilt description as the library does.
func read(t *testing.T, text []byte) *libdescription.Session {
	t.Helper()
	var parsed libsdp.SessionDescription
	if err := parsed.Unmarshal(text); err != nil {
		t.Fatalf("the library refuses it: %v\n%s", err, text)
	}
	var d libdescription.Session
	if err := d.Unmarshal(&parsed); err != nil {
		t.Fatalf("the library refuses it: %v\n%s", err, text)
	}
	return &d
}

// TestAudioIsKept: what can be repaired is not left out.
func TestAudioIsKept(t *testing.T) {
	const video = "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
	for name, test := range map[string]struct {
		audio string
		ok    func(libformat.Format) bool
	}{
		"fmtp for another type": {
			"m=audio 0 RTP/AVP 104\na=rtpmap:104 MPEG4-GENERIC/16000\na=fmtp:97 mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408",
			func(f libformat.Format) bool {
				a, ok := f.(*libformat.MPEG4Audio)
				return ok && a.Config.SampleRate == 16000
			},
		},
		"AAC without configuration": {
			"m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/44100/2",
			func(f libformat.Format) bool {
				a, ok := f.(*libformat.MPEG4Audio)
				return ok && a.Config.SampleRate == 44100 && a.Config.ChannelCount == 2 && a.SizeLength == 13
			},
		},
		"AAC with an odd profile": {
			"m=audio 0 RTP/AVP 97\na=rtpmap:97 MPEG4-GENERIC/8000/1\na=fmtp:97 streamtype=abc;profile-level-id=x;mode=AAC-hbr;config=1588;sizelength=;IndexLength=3; profile=1;",
			func(f libformat.Format) bool {
				a, ok := f.(*libformat.MPEG4Audio)
				return ok && a.Config.SampleRate == 8000
			},
		},
		"Opus without channels": {"m=audio 0 RTP/AVP 97\na=rtpmap:97 opus/48000", func(f libformat.Format) bool { _, ok := f.(*libformat.Opus); return ok }},
		"Opus in stereo": {
			"m=audio 0 RTP/AVP 97\na=rtpmap:97 OPUS/48000/1\na=fmtp:97 sprop-stereo=1",
			func(f libformat.Format) bool { o, ok := f.(*libformat.Opus); return ok && o.ChannelCount == 2 },
		},
		"G.711 without rtpmap": {"m=audio 0 RTP/AVP 0", func(f libformat.Format) bool { g, ok := f.(*libformat.G711); return ok && g.MULaw }},
		"A-law":                {"m=audio 0 RTP/AVP 8\na=rtpmap:8 pcma/8000", func(f libformat.Format) bool { g, ok := f.(*libformat.G711); return ok && !g.MULaw }},
		"dynamic A-law":        {"m=audio 0 RTP/AVP 97\na=rtpmap:97 PCMA/16000", func(f libformat.Format) bool { g, ok := f.(*libformat.G711); return ok && g.SampleRate == 16000 }},
	} {
		rebuilt, err := RebuildSDP([]byte(video + test.audio))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d := read(t, rebuilt.Text)
		if len(d.Medias) != 2 || !test.ok(d.Medias[1].Formats[0]) {
			t.Errorf("%s became\n%s%v", name, rebuilt.Text, rebuilt.Remarks)
		}
	}
}

// TestWhatIsLeftOutIsSaid: the reason stands in a remark.
func TestWhatIsLeftOutIsSaid(t *testing.T) {
	const video = "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
	for text, want := range map[string]string{
		video: "",
		video + "m=application 0 RTP/AVP 107\na=rtpmap:107 vnd.onvif.metadata/90000":            "",
		video + "m=audio 0 RTP/AVP 8\na=sendonly":                                               "",
		video + "m=audio 0 RTP/AVP 97\na=rtpmap:97 G726-32/8000":                                "audio 97 G726-32: it is not supported",
		video + "m=audio 0 RTP/AVP":                                                             "audio: it names no format",
		video + "m=audio 0 RTP/AVP 97\na=rtpmap:97 MPEG4-GENERIC/8000\na=fmtp:97 config=zz":     "configuration cannot be read",
		video + "m=audio 0 RTP/AVP 97\na=rtpmap:97 MPEG4-GENERIC/8000\na=fmtp:97 mode=CELP-cbr": "its mode celp-cbr is not supported",
		video + "m=audio 0 RTP/AVP 8\na=rtpmap:8 PCMU/8000":                                     "belongs to another codec",
		video + video: "video: it is described twice",
		"m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 sprop-parameter-sets=!":                     "parameter sets cannot be read",
		"m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=2":                       "interleaved packets",
		video + "m=video 0 RTP/AVP 97\na=rtpmap:97 \x01\xffAV1/90000":                                        "video 97 ??AV1: it is not supported",
		"m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=fmtp:96 sprop-sps=QgEB;sprop-vps=QAEM;sprop-pps=RA": "cannot be read",
	} {
		rebuilt, err := RebuildSDP([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		var said []string
		for _, r := range rebuilt.Remarks {
			said = append(said, r.String())
		}
		if got := strings.Join(said, "; "); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: remarks %q, want %q", text, got, want)
		}
	}
}

// FuzzRebuildSDP holds that the library reads every rebuilt description, that every URL that it makes of one can be
// parsed, and that the video is never lost to what stands beside it.
func FuzzRebuildSDP(f *testing.F) {
	for _, s := range []string{
		"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LADdkBQfsBEAAAAwAQAAADAyDxQqSA,aMuDyyA=\r\na=control:video\r\n",
		"m=video -1 RTP/AVP 96 97\na=rtpmap:97 H265/90000\na=fmtp:97 sprop-vps=QAEMAf//AUAAAAMAAAMAAAMAAAMAmawJ;sprop-sps=QgEBAUAAAAMAAAMAAAMAAAMAmaADwIARB8uWu5G4NcqqbAgAAAMACAAAAwB4QA==;sprop-pps=RAHAc8BBgwk=\na=control:rtsp://[::1",
		"m=video 0 RTP/AVP 26\nm=audio 0 RTP/AVP 0 8 97 98 99\na=rtpmap:97 opus/48000\na=rtpmap:98 mpeg4-generic/16000/1\na=fmtp:98 mode=AAC-hbr;config=1408\na=rtpmap:99 PCMA/0/0\na=sendonly",
		"a=control:*\rm=video RTP/AVP\ra=rtpmap:96 h.264\ra=control:%zz {}#?\ra=inactive",
	} {
		f.Add([]byte(s))
	}
	of, err := base.ParseURL("rtsp://camera:554/main?x=y")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rebuilt, err := RebuildSDP(text)
		if len(rebuilt.Remarks) > maxRemarks {
			t.Fatalf("%d remarks", len(rebuilt.Remarks))
		}
		if err != nil {
			var noVideo *NoVideoError
			if !errors.As(err, &noVideo) {
				t.Fatalf("%v is no reason", err)
			}
		} else {
			d := read(t, rebuilt.Text)
			videos := 0
			for _, m := range d.Medias {
				if m.Type == libdescription.MediaTypeVideo {
					videos++
				}
				if u, err := m.URL(of); err != nil || u == nil {
					t.Errorf("control %q makes no URL: %v", m.Control, err)
				}
				if m.IsBackChannel {
					t.Error("a back channel is left")
				}
			}
			if videos == 0 {
				t.Error("no video is left")
			}
		}
		message := &message{fields: []field{{"Content-Base", string(text)}}}
		if u := baseURL("rtsp://camera/main", message, rebuilt.Control); u != "" {
			if _, err := base.ParseURL(u); err != nil {
				t.Errorf("base URL %q: %v", u, err)
			}
		}
		// What stands behind a good video cannot lose it, unless it says more about the same medium.
		if !bytes.ContainsAny(text, "aAmM") {
			good := append([]byte("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n"), text...)
			if _, err := RebuildSDP(good); err != nil {
				t.Errorf("%q loses the video: %v", text, err)
			}
		}
	})
}

// TestRebuildSDPIsLinear: twice the description costs twice the memory at most, whatever it repeats.
func TestRebuildSDPIsLinear(t *testing.T) {
	for _, part := range []string{
		"m=video 0 RTP/AVP 96\n", "a=rtpmap:96 H264/90000\n", "a=fmtp:96 sprop-parameter-sets=Z0LA,aMuD\n", "m=audio 0 RTP/AVP 0 8 97\na=rtpmap:97 opus/48000\n",
		"\n", "=", "a=fmtp:96 ;;;;;;;;;;;;;;;;;;;;;;;;;;\n", "m=x\n",
	} {
		cost := func(size int) float64 {
			text := bytes.Repeat([]byte(part), size/len(part))
			return testing.AllocsPerRun(3, func() { _, _ = RebuildSDP(text) })
		}
		if half, full := cost(maxDescription/2), cost(maxDescription); full > 2.5*half+100 {
			t.Errorf("%q: %.0f allocations for half, %.0f for all", part, half, full)
		}
	}
}
