package webrtc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"

	"gridpost/streams"
)

const transportLines = "c=IN IP4 0.0.0.0\r\na=ice-ufrag:Yh8E\r\na=ice-pwd:3oUsQ3PrLr0BKfTt6nWm2vZk\r\na=fingerprint:sha-256 " +
	"4B:57:2C:61:90:7A:E0:33:2F:6C:11:5D:AF:A7:20:5C:0E:9B:2C:6B:64:A2:44:C5:12:50:33:81:E2:4D:5B:9A\r\na=setup:actpass\r\na=rtcp-mux\r\n"

// section returns a section of an offer; an empty direction is left out.
func section(kind, mid, direction string) string {
	lines := map[string]string{
		"video":       "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=42001f\r\na=rtpmap:97 VP8/90000\r\n",
		"audio":       "m=audio 9 UDP/TLS/RTP/SAVPF 111 9\r\na=rtpmap:111 opus/48000/2\r\n",
		"text":        "m=text 9 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n",
		"application": "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000\r\n",
	}[kind] + "a=mid:" + mid + "\r\n"
	first, rest, _ := strings.Cut(lines, "\r\n")
	if direction != "" {
		rest += "a=" + direction + "\r\n"
	}
	return first + "\r\n" + transportLines + rest
}

func bundledOffer(bundle []string, sections ...string) string {
	return "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE " + strings.Join(bundle, " ") + "\r\n" + strings.Join(sections, "")
}

// TestAnswersMirrorOffers: whatever an offer consists of, the answer has its sections in its order, and accepts nothing
// in a direction that is not used.
func TestAnswersMirrorOffers(t *testing.T) {
	e, err := NewEngine(EngineOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	feed := NewFeed()
	feed.setCodec(codec{name: streams.H264, fmtp: "packetization-mode=1;profile-level-id=42001f"})
	feed.audio = newAudioFeed(codec{name: streams.Opus})
	random := rand.New(rand.NewPCG(1, 2))
	kinds, directions := []string{"video", "video", "audio", "text", "application"}, []string{"recvonly", "recvonly", "sendrecv", "", "sendonly", "inactive"}
	answered := 0
	for range 150 {
		var sections, mids []string
		data := false
		for i := range 1 + random.IntN(4) {
			kind := kinds[random.IntN(len(kinds))]
			if kind == "application" {
				if data { // pion closes the whole connection for a second one
					continue
				}
				data = true
			}
			mid := fmt.Sprint("m", i)
			sections, mids = append(sections, section(kind, mid, directions[random.IntN(len(directions))])), append(mids, mid)
		}
		text := bundledOffer(mids, sections...)
		v, err := e.NewViewer(feed, text)
		if errors.Is(err, ErrOffer) {
			if usable, err := directed(text, directionReceive); err != nil || CheckOffer(usable) == nil {
				t.Errorf("refused although it can receive video:\n%s", text)
			}
		} else if err != nil {
			t.Fatal(err)
		} else {
			answered++
			checkMirrored(t, text, v.Answer(), "sendonly")
			v.Close()
		}
		in, err := e.NewIngest(text)
		if errors.Is(err, ErrOffer) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		checkMirrored(t, text, in.Answer(), "recvonly")
		in.Close()
	}
	if answered < 40 {
		t.Errorf("only %d offers were answered", answered)
	}
}

func checkMirrored(t *testing.T, offer, answer, direction string) {
	t.Helper()
	checkAnswer(t, offer, answer)
	var from, to sdp.SessionDescription
	if err := errors.Join(from.UnmarshalString(offer), to.UnmarshalString(answer)); err != nil {
		t.Fatal(err)
	}
	for i, m := range to.MediaDescriptions {
		offered := from.MediaDescriptions[i]
		for _, format := range m.MediaName.Formats {
			if !slices.Contains(offered.MediaName.Formats, format) {
				t.Errorf("section %d has format %s, which was not offered", i, format)
			}
		}
		if m.MediaName.Media == "application" {
			continue
		}
		want := direction
		if m.MediaName.Port.Value == 0 {
			want = "inactive"
		}
		if got, _ := takeDirection(m.Attributes); got != want {
			t.Errorf("section %d (%s) is %s, want %s:\n%s\n%s", i, m.MediaName.Media, got, want, offer, answer)
		}
	}
}

// TestMalformedFragments are refused and change nothing.
func TestMalformedFragments(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "prose": "hello", "HTML": "<p>a</p>\r\n", "JSON": `{"candidate":"x"}`,
		"no ICE":                   "m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n",
		"bad candidate":            "a=mid:0\r\na=candidate:1 1 udp\r\n",
		"bad address":              "a=mid:0\r\na=candidate:1 1 udp 1 nowhere 99999999 typ host\r\n",
		"user name alone":          "a=ice-ufrag:abcd\r\n",
		"password alone":           "a=ice-pwd:0123456789012345678901\r\n",
		"short password":           "a=ice-ufrag:abcd\r\na=ice-pwd:short\r\n",
		"odd user name":            "a=ice-ufrag:ab cd\r\na=ice-pwd:0123456789012345678901\r\n",
		"a good and a bad one":     "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\na=candidate:?\r\n",
		"a good line and rubbish":  "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\nrubbish\r\n",
		"a capital letter as type": "A=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n",
	} {
		if f, err := parseFragment(text); !errors.Is(err, ErrOffer) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	for name, text := range map[string]string{
		"end":            "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=end-of-candidates\r\n",
		"mDNS":           "m=audio 9 RTP/AVP 0\na=mid:0\na=candidate:1 1 udp 2113937151 2f7bd2a0-7ad1-4b5a-8a5e-3d5a5b0f7f10.local 51234 typ host generation 0\n",
		"empty at last":  "a=mid:0\r\na=candidate:\r\n\r\n",
		"unknown values": "a=candidate:1 1 ssltcp 1 192.0.2.1 1 typ host\r\na=candidate:1 1 udp 1 192.0.2.1 1 typ future\r\n",
	} {
		if _, err := parseFragment(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
