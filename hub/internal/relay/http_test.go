package relay

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
)

// chromiumOffer is what Chromium 156 without hardware decoding offers for receiving video,
// shortened to what negotiation reads. Its only candidate is hidden behind a name that mDNS
// would have to resolve.
const chromiumOffer = `v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=extmap-allow-mixed
a=msid-semantic: WMS
m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 107 108 109 114 115 116 117 39
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1 1 udp 2113937151 2f7bd2a0-7ad1-4b5a-8a5e-3d5a5b0f7f10.local 51234 typ host generation 0
a=ice-ufrag:Yh8E
a=ice-pwd:3oUsQ3PrLr0BKfTt6nWm2vZk
a=ice-options:trickle
a=fingerprint:sha-256 4B:57:2C:61:90:7A:E0:33:2F:6C:11:5D:AF:A7:20:5C:0E:9B:2C:6B:64:A2:44:C5:12:50:33:81:E2:4D:5B:9A
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:toffset
a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:103 H264/90000
a=rtcp-fb:103 ccm fir
a=rtcp-fb:103 nack
a=rtcp-fb:103 nack pli
a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f
a=rtpmap:104 rtx/90000
a=fmtp:104 apt=103
a=rtpmap:107 H264/90000
a=fmtp:107 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f
a=rtpmap:108 rtx/90000
a=fmtp:108 apt=107
a=rtpmap:109 H264/90000
a=rtcp-fb:109 nack
a=rtcp-fb:109 nack pli
a=fmtp:109 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=rtpmap:114 H264/90000
a=fmtp:114 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f
a=rtpmap:115 H264/90000
a=rtcp-fb:115 nack
a=rtcp-fb:115 nack pli
a=fmtp:115 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f
a=rtpmap:116 H264/90000
a=rtcp-fb:116 nack
a=rtcp-fb:116 nack pli
a=fmtp:116 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=f4001f
a=rtpmap:117 rtx/90000
a=fmtp:117 apt=116
a=rtpmap:39 AV1/90000
`

func offer() string { return strings.ReplaceAll(chromiumOffer, "\n", "\r\n") }

// recordedResponse is a response whose body has been read.
type recordedResponse struct {
	header http.Header
	body   string
	status int
	path   string
}

// request sends a request and checks the status of the response.
func (f *fixture) request(method, path, contentType, body string, want int, headers ...string) recordedResponse {
	f.t.Helper()
	q, err := http.NewRequestWithContext(f.t.Context(), method, f.server.URL+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if contentType != "" {
		q.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(q)
	if err != nil {
		f.t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		f.t.Fatal(err)
	}
	if response.StatusCode != want {
		f.t.Fatalf("%s %s: %d %s, want %d", method, path, response.StatusCode, text, want)
	}
	return recordedResponse{header: response.Header, body: string(text), status: response.StatusCode, path: path}
}

// problem reads a problem document and returns its detail.
func (f *fixture) problem(r recordedResponse) (detail string) {
	f.t.Helper()
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		f.t.Errorf("%s: content type %q", r.path, got)
	}
	var p struct {
		Status int    `json:"status"`
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		f.t.Fatalf("%s: %v", r.body, err)
	}
	if p.Status != r.status || p.Title == "" {
		f.t.Errorf("problem %s for status %d", r.body, r.status)
	}
	return p.Detail
}

func TestEndpointMethods(t *testing.T) {
	f := newFixture(t, Options{ICEServers: func(string) []ICEServer {
		return []ICEServer{{URL: "turn:192.0.2.1:3478?transport=udp", Username: "1:a", Credential: "b"}}
	}})
	for _, at := range []string{"/whep/gate-7/yard?reason=test", "/whip/gate-7/yard"} {
		for _, x := range []struct {
			name, method, contentType, body string
			want                            int
			problem                         bool
		}{
			{"GET is reserved", "GET", "", "", 204, false},
			{"HEAD is reserved", "HEAD", "", "", 204, false},
			{"OPTIONS", "OPTIONS", "", "", 204, false},
			{"PUT", "PUT", typeSDP, offer(), 405, true},
			{"DELETE", "DELETE", "", "", 405, true},
			{"PATCH", "PATCH", typeFragment, "", 405, true},
			{"JSON", "POST", "application/json", "{}", 415, true},
			{"no type", "POST", "", offer(), 415, true},
			{"no SDP", "POST", typeSDP, "hello", 400, true},
			{"empty", "POST", typeSDP, "", 400, true},
			{"no video", "POST", typeSDP, "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n", 400, true},
			{"only VP8", "POST", typeSDP, strings.ReplaceAll(offer(), "H264", "VP9"), 406, true},
			{"too large", "POST", typeSDP, offer() + strings.Repeat("a=x:y\r\n", 10_000), 413, true},
		} {
			t.Run(at+" "+x.name, func(t *testing.T) {
				f.t = t
				body := x.body
				if strings.HasPrefix(at, "/whip") {
					body = strings.ReplaceAll(body, "a=recvonly", "a=sendonly")
				}
				response := f.request(x.method, at, x.contentType, body, x.want)
				if x.problem {
					f.problem(response)
				}
				if x.want == 405 && response.header.Get("Allow") == "" {
					t.Error("405 without Allow")
				}
				if x.method == "OPTIONS" {
					if got := response.header.Get("Accept-Post"); got != typeSDP {
						t.Errorf("Accept-Post %q", got)
					}
					if got := response.header.Get("Link"); got != `<turn:192.0.2.1:3478?transport=udp>; rel="ice-server"; username="1:a"; credential="b"; credential-type="password"` {
						t.Errorf("Link %q", got)
					}
				}
			})
		}
	}
	if n := len(f.edge.commands); n != 0 {
		t.Errorf("%d commands were sent for bad requests", n)
	}
}

func TestBrowserOfferAndResource(t *testing.T) {
	f := newFixture(t, Options{})
	response := f.request("POST", "/whep/gate-7/yard?incident=7", typeSDP+"; charset=utf-8", offer(), 201, "Who", "anna")
	answer := response.body
	// The source is High (640028). The offer has High 4:4:4, which differs, and Main, the nearest.
	for _, want := range []string{
		"m=video 9 UDP/TLS/RTP/SAVPF 115\r\n", "packetization-mode=1", "profile-level-id=4d001f", "a=sendonly", "a=ice-lite",
		"a=setup:passive", "a=rtcp-fb:115 nack\r\n", "a=rtcp-fb:115 nack pli", "playout-delay", "a=candidate:",
	} {
		if !strings.Contains(answer, want) {
			t.Errorf("the answer lacks %q:\n%s", want, answer)
		}
	}
	h := response.header
	at, etag := h.Get("Location"), h.Get("ETag")
	if h.Get("Content-Type") != typeSDP || h.Get("Accept-Patch") != typeFragment || etag == "" || !strings.HasPrefix(at, "/whep/gate-7/yard/") {
		t.Errorf("headers %v", h)
	}
	fragment := "a=ice-ufrag:Yh8E\r\na=ice-pwd:3oUsQ3PrLr0BKfTt6nWm2vZk\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" +
		"a=candidate:1 1 udp 2113937151 127.0.0.1 9 typ host\r\n"
	f.request("GET", at, "", "", 204, "Who", "anna")
	f.request("OPTIONS", at, "", "", 204, "Who", "anna")
	f.request("POST", at, typeSDP, offer(), 405, "Who", "anna")
	f.request("PATCH", at, typeSDP, fragment, 415, "Who", "anna")
	f.request("PATCH", at, typeFragment, fragment, 428, "Who", "anna")
	f.request("PATCH", at, typeFragment, fragment, 412, "Who", "anna", "If-Match", `"stale"`)
	f.request("PATCH", at, typeFragment, fragment, 204, "Who", "anna", "If-Match", etag)
	f.problem(f.request("PATCH", at, typeFragment, "candidates: none", 400, "Who", "anna", "If-Match", etag))
	f.problem(f.request("PATCH", at, typeFragment, fragment+"a=candidate:?\r\n", 400, "Who", "anna", "If-Match", etag))
	f.request("PATCH", at, typeFragment, strings.Repeat("a=x:y\r\n", 10_000), 413, "Who", "anna", "If-Match", etag)

	restarted := f.request("PATCH", at, typeFragment, "a=ice-ufrag:QQQQ\r\na=ice-pwd:0123456789abcdef01234567\r\n", 200, "Who", "anna", "If-Match", etag)
	renewed := restarted.header.Get("ETag")
	if renewed == etag || renewed == "" || !strings.Contains(restarted.body, "a=ice-ufrag:") {
		t.Errorf("ICE restart: ETag %s, %s", renewed, restarted.body)
	}
	f.request("PATCH", at, typeFragment, fragment, 412, "Who", "anna", "If-Match", etag)

	f.request("DELETE", at, "", "", 404, "Who", "ben")
	f.request("DELETE", strings.Replace(at, "yard", "gate", 1), "", "", 404, "Who", "anna")
	f.request("DELETE", "/whep/gate-7/yard/unknown", "", "", 404, "Who", "anna")
	f.request("DELETE", "/whip/gate-7/yard/unknown", "", "", 404)
	f.request("DELETE", at, "", "", 200, "Who", "anna")
	if why := f.ended(); why.Code != "video_viewer_ended" {
		t.Errorf("the lease ended because %v", why)
	}
	f.request("DELETE", at, "", "", 404, "Who", "anna")
}

func TestEndedSessionAnswersWithItsCause(t *testing.T) {
	f := newFixture(t, Options{MaxViewTime: 200 * time.Millisecond})
	at := f.request("POST", "/whep/gate-7/yard?reason=test", typeSDP, offer(), 201, "Who", "anna").header.Get("Location")
	f.ended()
	f.eventually("the view has ended", func() bool { return f.relay.Stats().Viewers == 0 })
	detail := f.problem(f.request("DELETE", at, "", "", 410, "Who", "anna"))
	if detail != "the time limit of 200 ms was reached" {
		t.Errorf("gone because %q", detail)
	}
}

func TestNotRunning(t *testing.T) {
	f := newFixture(t, Options{})
	idle := New(Options{Leases: f.leases, Commander: f.edge})
	f.server.Config.Handler = routes(idle)
	detail := f.problem(f.request("POST", "/whep/gate-7/yard?reason=test", typeSDP, offer(), 503))
	if detail != "the hub is stopping" {
		t.Errorf("detail %q", detail)
	}
}

// TestViewerWithoutTheCodec: the response to a viewer that lacks the codec has a cause code and names
// the codec.
func TestViewerWithoutTheCodec(t *testing.T) {
	f := newFixture(t, Options{})
	h265 := "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:0\r\na=rtpmap:98 H265/90000\r\n"
	response, err := http.Post(f.server.URL+"/whep/gate-7/yard?reason=test", typeSDP, strings.NewReader(h265))
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Cause devices.Cause }
	if err := errors.Join(json.NewDecoder(response.Body).Decode(&answer), response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusNotAcceptable || answer.Cause.Code != "codec_not_playable" || answer.Cause.Params["codec"] != "H.264" {
		t.Errorf("%d, %+v", response.StatusCode, answer)
	}
}

// publishOffer is an offer to publish what offer asks for.
func publishOffer() string { return strings.ReplaceAll(offer(), "recvonly", "sendonly") }
