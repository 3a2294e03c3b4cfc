package rtsp

import (
	"strings"
	"testing"
	"time"

	"gridpost/streams/rtsp/rtsptest"
)

// base64 of the parameter sets of rtsptest's video.
func videoSets() string {
	for _, line := range rtsptest.H264().Attributes {
		if _, sets, ok := strings.Cut(line, "sprop-parameter-sets="); ok {
			return sets
		}
	}
	return ""
}

// sdp returns a description with the lines, and CRLF.
func sdp(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n" }

const rtpmap96 = "a=rtpmap:96 H264/90000"

// session lines of a camera that has read the standard, and its video.
var (
	sessionLines = []string{"v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=x", "t=0 0"}
	videoLines   = []string{"m=video 0 RTP/AVP 96", rtpmap96, "a=control:video"}
)

func withSession(lines ...string) string {
	return sdp(append(append([]string{}, sessionLines...), lines...)...)
}

func withVideo(lines ...string) string {
	return withSession(append(append([]string{}, videoLines...), lines...)...)
}

// describedAs returns a camera with a description.
func describedAs(text string) *rtsptest.Camera { return &rtsptest.Camera{SDP: text} }

// sdpCases are descriptions that cameras have sent; each must play. The comments name public reports.
func sdpCases() map[string]*rtsptest.Camera {
	sets := videoSets()
	flat := func(camera *rtsptest.Camera) *rtsptest.Camera { return camera }
	cases := map[string]string{
		// gortsplib#658
		"fmtp for another payload type": withVideo("m=audio 0 RTP/AVP 104", "a=rtpmap:104 MPEG4-GENERIC/16000",
			"a=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408", "a=control:audio"),
		"opus without channels":                withVideo("m=audio 0 RTP/AVP 97", "a=rtpmap:97 opus/48000", "a=control:audio"),
		"AAC with an unreadable configuration": withVideo("m=audio 0 RTP/AVP 97", "a=rtpmap:97 MPEG4-GENERIC/8000/1", "a=fmtp:97 mode=AAC-hbr;config=zz;sizelength=13", "a=control:audio"),
		"AAC without a configuration":          withVideo("m=audio 0 RTP/AVP 97", "a=rtpmap:97 MPEG4-GENERIC/7000", "a=control:audio"),
		"audio without a format":               withVideo("m=audio 0 RTP/AVP", "a=control:audio"),
		"audio with an unknown codec":          withVideo("m=audio 0 RTP/AVP 99", "a=rtpmap:99 FOO/8000", "a=control:audio"),
		"audio with a broken clock":            withVideo("m=audio 0 RTP/AVP 99", "a=rtpmap:99 PCMA/eight", "a=control:audio"),
		"G.726":                                withVideo("m=audio 0 RTP/AVP 97", "a=rtpmap:97 G726-32/8000", "a=control:audio"),
		"LATM without fmtp":                    withVideo("m=audio 0 RTP/AVP 97", "a=rtpmap:97 MP4A-LATM/16000", "a=control:audio"),
		"a WebSocket":                          withVideo("m=application 0 TCP/WEBSOCKET *"),
		"smart media":                          withVideo("m=application/tp-link 0 RTP/AVP smart/0/25000", "a=rtpmap:95 tp-link/25000", "a=control:track3"), // go-sdp#5
		"metadata":                             withVideo("m=application 0 RTP/AVP 107", "a=rtpmap:107 vnd.onvif.metadata/90000", "a=control:metadata", "a=recvonly"),
		"an image":                             withVideo("m=image 0 udptl t38"),
		"data":                                 withVideo("m=data 0 RTP/AVP 109", "a=rtpmap:109 X/1"),

		"an origin that overflows":     sdp(append([]string{"v=0", "o=RTSP 19599440071187478912 13656283801756621937 IN IP4 0.0.0.0", "s=x", "t=0 0"}, videoLines...)...),
		"an origin without network":    sdp(append([]string{"v=0", "o=- 1 1 IP IP4 192.0.2.1", "s=x", "t=0 0"}, videoLines...)...),
		"an origin that ends":          sdp(append([]string{"v=0", "o=- 1001 1 IN", "s=VCP IPC Realtime stream"}, append(videoLines, "c=IN")...)...), // go2rtc#1663
		"an origin with three numbers": sdp(append([]string{"v=0", "o=- 14665860 31787219 1 IN IP4 192.168.35.39", "s=x", "t=0 0"}, videoLines...)...),
		"a connection without type":    sdp(append([]string{"v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=x", "c=IN 198.51.100.1", "t=0 0"}, videoLines...)...),
		"garbage as address":           withSession("m=video -1353744643 RTP/AVP 96", "c=IN IP4 '&\xef\xbf\xff\x01", rtpmap96, "a=control:video"), // go2rtc#2316
		"no session lines":             sdp(videoLines...),                                                                                        // go2rtc#679
		"another version":              sdp(append([]string{"v=1", "s=x"}, videoLines...)...),
		"lines of no kind":             withVideo("x=y", "hello", "=", "a", "zz=1", "M=video"),
		"a bandwidth of no kind":       withVideo("b=AS:", "b=foo", "b=AS:-1", "b=RR:0.5"),
		"a time of no kind":            sdp(append([]string{"v=0", "s=x", "t=now-", "r=", "z=1", "k=", "e=NONE", "p=1", "u=:%zz"}, videoLines...)...),
		"trailing spaces":              "v=0 \r\no=- 0 0 IN IP4 127.0.0.1 \r\ns=x \r\nt=0 0 \r\nm=video 0 RTP/AVP 96 \r\na=rtpmap:96 H264/90000 \r\na=control:video \r\n", // moonfire-nvr#213
		"bare line feeds":              strings.ReplaceAll(withVideo(), "\r\n", "\n"),
		"bare carriage returns":        strings.ReplaceAll(withVideo(), "\r\n", "\r"),
		"doubled carriage returns":     strings.ReplaceAll(withVideo(), "\r\n", "\r\r\n"),
		"no final line end":            strings.TrimSpace(withVideo()),
		"leading line ends":            "\r\n\r\n" + withVideo(),
		"leading garbage":              "\xef\xbb\xbfgarbage\r\n" + withVideo(),
		"NUL at the end":               withVideo() + "\x00\x00",
		"NUL in between":               strings.ReplaceAll(withVideo(), "s=x", "s=\x00\x00"),
		"UTF-8":                        strings.ReplaceAll(withVideo(), "s=x", "s=摄像机"),
		"GBK":                          strings.ReplaceAll(withVideo(), "s=x", "s=\xc9\xe3\xcf\xf1\xbb\xfa"),
		"a long name":                  strings.ReplaceAll(withVideo(), "s=x", "s="+strings.Repeat("n", 5000)),

		"an address twice":          sdp(append([]string{"v=0", "s=x", "c=IN c=IN IP4 0.0.0.0", "t=0 0"}, videoLines...)...),                                                                     // mediamtx#227
		"a name after attributes":   sdp(append([]string{"v=0", "o=- 1 1 IN IP4 0.0.0.0", "a=control:*", "a=source-filter: incl IN IP4 * 192.168.5.106", "s=WUHAN", "t=0 0"}, videoLines...)...), // html5_rtsp_player#119
		"G.722.1":                   withVideo("b=AS:4096", "m=audio 0 RTP/AVP 98", "i=Audio Media", "a=rtpmap:98 G7221/16000", "a=control:audio", "a=Media_header:MEDIAINFO=494D;"),             // html5_rtsp_player#130
		"metadata that is sendonly": withVideo("a=recvonly", "m=application 0 RTP/AVP 106", "a=rtpmap:106 vnd.onvif.metadata/90000", "a=control:ctype=app106", "a=sendonly"),
		"smart payload types":       withVideo("m=application/MERCURY 0 RTP/AVP smart/1/90000", "a=rtpmap:95 MERCURY/90000", "a=control:track3"), // gortsplib#271

		"negative port":            withSession("m=video -1 RTP/AVP 96", rtpmap96, "a=control:video"),
		"a huge port":              withSession("m=video 99999999 RTP/AVP 96", rtpmap96, "a=control:video"),
		"no port":                  withSession("m=video RTP/AVP 96", rtpmap96, "a=control:video"),
		"RTP/AVP/TCP":              withSession("m=video 0 RTP/AVP/TCP 96", rtpmap96, "a=control:video"),
		"RTP/AVPF":                 withSession("m=video 0 RTP/AVPF 96", rtpmap96, "a=control:video"),
		"RTP/SAVP":                 withSession("m=video 0 RTP/SAVP 96", rtpmap96, "a=control:video", "a=key-mgmt:mikey AQA="),
		"lower-case protocol":      withSession("m=VIDEO 0 rtp/avp 96", rtpmap96, "a=control:video"),
		"payload types repeated":   withSession("m=video 0 RTP/AVP 96 96", rtpmap96, "a=control:video"),
		"payload types unknown":    withSession("m=video 0 RTP/AVP 97 96 200 x", rtpmap96, "a=control:video"),
		"no payload type":          withSession("m=video 0 RTP/AVP", rtpmap96, "a=control:video"),
		"no rtpmap":                withSession("m=video 0 RTP/AVP 96", "a=fmtp:96 packetization-mode=1;sprop-parameter-sets="+sets, "a=control:video"),
		"rtpmap without a name":    withSession("m=video 0 RTP/AVP 96", "a=rtpmap:96 /90000", "a=fmtp:96 packetization-mode=1", "a=control:video"),
		"rtpmap of another type":   withSession("m=video 0 RTP/AVP 96", "a=rtpmap:97 H264/90000", "a=control:video"),
		"rtpmap after fmtp":        withSession("m=video 0 RTP/AVP 96", "a=fmtp:96 packetization-mode=1", "a=control:video", rtpmap96),
		"rtpmap before the media":  sdp(append(append([]string{}, sessionLines...), rtpmap96, "m=video 0 RTP/AVP 96", "a=control:video")...),
		"rtpmap in lower case":     withSession("m=video 0 RTP/AVP 96", "a=rtpmap:96 h264/90000", "a=control:video"),
		"rtpmap with spaces":       withSession("m=video 0 RTP/AVP 96", "a=rtpmap: 96  H264 / 90000", "a=control:video"),
		"rtpmap with channels":     withSession("m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000/1", "a=control:video"),
		"rtpmap without clock":     withSession("m=video 0 RTP/AVP 96", "a=rtpmap:96 H264", "a=control:video"),
		"codec spelt H.264":        withSession("m=video 0 RTP/AVP 96", "a=rtpmap:96 H.264/90000", "a=control:video"),
		"attributes in upper case": withSession("m=video 0 RTP/AVP 96", "A=RTPMAP:96 H264/90000", "A=Control:video"),

		"empty packetization-mode":       withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=fmtp:96 packetization-mode=;profile-level-id=42C00D", "a=control:video"),
		"packetization-mode of no kind":  withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=fmtp:96 packetization-mode=x", "a=control:video"),
		"packetization-mode 2":           withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=fmtp:96 packetization-mode=2", "a=control:video"),
		"packetization-mode 0 with FU-A": withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=fmtp:96 packetization-mode=0", "a=control:video"),
		"parameter sets of no kind":      withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=fmtp:96 sprop-parameter-sets=!!,!!", "a=control:video"),
		"parameter sets of another type": withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=fmtp:96 sprop-parameter-sets=6OkA,6OkA", "a=control:video"), // retina#42
		"one parameter set":              withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=fmtp:96 sprop-parameter-sets="+strings.Split(sets, ",")[0], "a=control:video"),
		"parameter sets exchanged":       withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=fmtp:96 sprop-parameter-sets="+swapped(sets), "a=control:video"),
		"parameter sets without padding": withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=fmtp:96 sprop-parameter-sets="+strings.ReplaceAll(sets, "=", ""), "a=control:video"),
		"an odd profile":                 withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=fmtp:96 profile-level-id=TQAf;;=;x;packetization-mode = 1", "a=control:video"), // retina#68
		"fmtp without payload type":      withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=fmtp:packetization-mode=1", "a=control:video"),

		"sendonly on the only video":   withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=control:video", "a=sendonly"),
		"sendonly on all media":        withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=control:video", "a=sendonly", "m=audio 0 RTP/AVP 8", "a=control:audio", "a=sendonly"),
		"inactive on the only video":   withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=control:video", "a=inactive"),
		"an ONVIF back channel":        withVideo("a=recvonly", "m=audio 0 RTP/AVP 116 115 8", "a=control:back", "a=rtpmap:116 MPEG4-GENERIC/64000", "a=rtpmap:115 MPEG4-GENERIC/48000", "a=sendonly"), // gortsplib#479
		"the video twice":              withVideo(videoLines...),
		"media IDs in part":            withVideo("a=mid:1", "m=audio 0 RTP/AVP 8", "a=control:audio"),
		"a media ID that is no token":  withVideo("a=mid:ä-1", "a=group:FEC 1 2"),
		"an encryption key":            withVideo("k=clear:x", "a=key-mgmt:foo"),
		"many attributes":              withVideo(strings.Split(strings.Repeat("a=x\n", 2000), "\n")...),
		"many media":                   withVideo(strings.Split(strings.Repeat("m=application 0 RTP/AVP 107\n", 200), "\n")...),
		"control *":                    withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=control:*"),
		"no control":                   withSession("m=video 0 RTP/AVP 96", rtpmap96),
		"session control *":            withSession(append([]string{"a=control:*"}, videoLines...)...),
		"relative session control":     withSession(append([]string{"a=control:stream"}, videoLines...)...),
		"session control as a path":    withSession(append([]string{"a=control:/PATH"}, videoLines...)...),
		"absolute session control":     withSession(append([]string{"a=control:rtsp://HOST/PATH"}, videoLines...)...),
		"absolute control":             withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=control:rtsp://HOST/PATH/video"),
		"absolute control, other host": withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=control:RTSP://192.0.2.9:554/PATH/video"),
		"control with spaces":          withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=control:track 1/%zz video"),
		"control with a query":         withSession("m=video 0 RTP/AVP 96", rtpmap96, "a=control:?ctype=video"),
	}
	cameras := map[string]*rtsptest.Camera{}
	for name, text := range cases {
		cameras[name] = flat(describedAs(text))
	}
	return cameras
}

func swapped(sets string) string {
	a, b, _ := strings.Cut(sets, ",")
	return b + "," + a
}

// playAll plays each camera by itself and waits for frames.
func playAll(t *testing.T, cameras map[string]*rtsptest.Camera, o Options) {
	t.Helper()
	paths, names := map[string]*rtsptest.Camera{}, map[string]string{}
	for name, camera := range cameras {
		path := pathOf(name)
		paths[path], names[name] = camera, path
	}
	server := rtsptest.Start(t, paths)
	for name, path := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := o
			o.URL = parsed(t, server.URL(path))
			if auth := cameras[name].Auth; auth != nil {
				o.URL = parsed(t, server.UserURL(path, auth.User, auth.Password))
			}
			o.ConnectTimeout = waitLimit
			w := watch(t, o)
			w.accessUnits(2*rtsptest.GOP + 1)
			if st := w.source.Stats(); st.Attempts != 1 || st.Dropped != 0 {
				t.Errorf("%d attempts, %d frames dropped; log:\n%s", st.Attempts, st.Dropped, w.log)
			}
			w.stop()
		})
	}
}

func TestDescriptionsOfCameras(t *testing.T) { playAll(t, sdpCases(), Options{Transport: TCP}) }

// TestCameraThatKnowsNoOptions: a camera that hangs up at OPTIONS, or does not answer it, plays at the second attempt.
func TestCameraThatKnowsNoOptions(t *testing.T) {
	for name, hangsUp := range map[string]bool{"hangs up": true, "says nothing": false} {
		t.Run(name, func(t *testing.T) {
			_, u := rtsptest.StartOne(t, &rtsptest.Camera{Before: func(c *rtsptest.Conn, r *rtsptest.Request) bool {
				if r.Method == rtsptest.MethodOptions && hangsUp {
					c.Close()
				}
				return r.Method == rtsptest.MethodOptions
			}})
			w := watch(t, Options{URL: parsed(t, u), Transport: TCP, ConnectTimeout: 500 * time.Millisecond, RetryMin: time.Millisecond})
			w.accessUnits(10)
		})
	}
}

// TestWhatIsLeftOutIsInTheDescription: the hub shows what the rebuilt description lacks.
func TestWhatIsLeftOutIsInTheDescription(t *testing.T) {
	_, u := rtsptest.StartOne(t, describedAs(withVideo(
		"m=audio 0 RTP/AVP 97", "a=rtpmap:97 G726-32/8000", "a=control:audio", "m=video 0 RTP/AVP 98", "a=rtpmap:98 AV1/90000", "a=control:other")))
	w := watch(t, Options{URL: parsed(t, u), Transport: TCP})
	w.expect(true, "")
	w.accessUnits(1)
	got := map[string]string{}
	for _, r := range w.stream.Description().Remarks {
		got[r.Code] = r.Params["codec"] + r.Params["codecs"]
	}
	if got["audio_left_out"] != "G726-32" || got["video_left_out"] != "AV1" {
		t.Errorf("remarks %v", got)
	}
	if len(w.source.Remarks()) != 2 || strings.Count(w.log.String(), "is not supported") != 2 {
		t.Errorf("remarks %v; log:\n%s", w.source.Remarks(), w.log)
	}
}

// TestUDPAnswers: what cameras answer to SETUP for UDP.
func TestUDPAnswers(t *testing.T) {
	change := func(old, new string) *rtsptest.Camera {
		return &rtsptest.Camera{Answer: func(_ *rtsptest.Conn, r *rtsptest.Request, a *rtsptest.Answer) {
			for i, line := range a.Header {
				if r.Method == "SETUP" && strings.HasPrefix(line, "Transport:") {
					a.Header[i] = strings.Replace(line, old, new, 1)
				}
			}
		}}
	}
	playAll(t, map[string]*rtsptest.Camera{
		"as requested":   {},
		"RTP/AVP/UDP":    change("RTP/AVP", "RTP/AVP/UDP"),
		"in lower case":  change("RTP/AVP;unicast", "rtp/avp; Unicast"),
		"a source":       change("unicast", "unicast;source=127.0.0.1;destination=camera;ssrc=zz"),
		"a source name":  change("unicast", "unicast;source=no.such.name.invalid"),
		"an empty mode":  change("unicast", "unicast;mode=;mode=\"PLAY"),
		"commas":         change(";server_port", ",server_port"),
		"blanks":         change(";server_port=", " ; server_port = "),
		"no client port": change("client_port", "x"),
		"no server port": change("server_port", "x"), // AnyPortEnable: the camera sends from where it likes
	}, Options{Transport: UDP})
}

// TestOtherTransportThanRequested: the camera decides; the next attempt asks for what it wants.
func TestOtherTransportThanRequested(t *testing.T) {
	for name, test := range map[string]struct{ ask, answer string }{
		TCP: {"TCP", "RTP/AVP/UDP;unicast;client_port=9000-9001;server_port=9002-9003"},
		UDP: {"client_port", "RTP/AVP/TCP;unicast;interleaved=0-1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, u := rtsptest.StartOne(t, &rtsptest.Camera{Answer: func(_ *rtsptest.Conn, r *rtsptest.Request, a *rtsptest.Answer) {
				if strings.Contains(r.Header.Get("Transport"), test.ask) {
					a.Set("Transport", test.answer)
				}
			}})
			transport := Auto
			if test.ask == "client_port" {
				transport = UDP
			}
			w := watch(t, Options{URL: parsed(t, u), Transport: transport})
			w.accessUnits(10)
			if n := w.source.Stats().Attempts; n != 2 {
				t.Errorf("%d attempts; log:\n%s", n, w.log)
			}
		})
	}
}
