package webrtc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"gridpost/streams"
)

// foreignViewer is a viewer that knows nothing of this package: a peer connection as another program makes it.
type foreignViewer struct {
	pc     *webrtc.PeerConnection
	offer  string
	tracks chan *webrtc.TrackRemote
}

// newForeignViewer returns a viewer whose offer has these media in this order: "video", "audio" or "data". Of several
// video media only the first is to be received.
func newForeignViewer(t *testing.T, media ...string) *foreignViewer {
	t.Helper()
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
	v := &foreignViewer{pc: pc, tracks: make(chan *webrtc.TrackRemote, 8)}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { v.tracks <- track })
	for _, kind := range media {
		if kind == "data" {
			_, err = pc.CreateDataChannel("x", nil)
		} else {
			direction := webrtc.RTPTransceiverDirectionRecvonly
			if plain, ok := strings.CutSuffix(kind, "*"); ok { // as browsers offer by default
				kind, direction = plain, webrtc.RTPTransceiverDirectionSendrecv
			}
			_, err = pc.AddTransceiverFromKind(webrtc.NewRTPCodecType(kind), webrtc.RTPTransceiverInit{Direction: direction})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	v.offer = inOrder(t, pc.LocalDescription().SDP, media)
	return v
}

// inOrder sorts the media of an offer: pion writes data last.
func inOrder(t *testing.T, offer string, media []string) string {
	t.Helper()
	var d sdp.SessionDescription
	if err := d.UnmarshalString(offer); err != nil {
		t.Fatal(err)
	}
	position := func(m *sdp.MediaDescription) int {
		name := m.MediaName.Media
		if name == "application" {
			name = "data"
		}
		return slices.IndexFunc(media, func(m string) bool { return strings.TrimSuffix(m, "*") == name })
	}
	slices.SortStableFunc(d.MediaDescriptions, func(a, b *sdp.MediaDescription) int { return position(a) - position(b) })
	b, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// checkAnswer checks what a browser needs of an answer, and returns which media are accepted.
func checkAnswer(t *testing.T, offer, answer string) (accepted []string) {
	t.Helper()
	var from, to sdp.SessionDescription
	if err := from.UnmarshalString(offer); err != nil {
		t.Fatal(err)
	}
	if err := to.UnmarshalString(answer); err != nil {
		t.Fatal(err)
	}
	if len(from.MediaDescriptions) != len(to.MediaDescriptions) {
		t.Fatalf("%d media in the answer to %d:\n%s", len(to.MediaDescriptions), len(from.MediaDescriptions), answer)
	}
	group, _ := to.Attribute("group")
	bundled := strings.Fields(group)
	first := true
	for i, m := range to.MediaDescriptions {
		want, _ := from.MediaDescriptions[i].Attribute("mid")
		mid, ok := m.Attribute("mid")
		if !ok || mid != want {
			t.Errorf("section %d has mid %q, want %q", i, mid, want)
		}
		if m.MediaName.Media != from.MediaDescriptions[i].MediaName.Media || !slices.Equal(m.MediaName.Protos, from.MediaDescriptions[i].MediaName.Protos) {
			t.Errorf("section %d answers %s with %s", i, from.MediaDescriptions[i].MediaName.String(), m.MediaName.String())
		}
		_, candidates := m.Attribute("candidate")
		rejected := m.MediaName.Port.Value == 0
		if rejected == slices.Contains(bundled, mid) {
			t.Errorf("section %d, rejected %t, is bundled in %q", i, rejected, group)
		}
		if candidates != (!rejected && first) {
			t.Errorf("section %d (%s, rejected %t) has candidates: %t", i, m.MediaName.Media, rejected, candidates)
		}
		if !rejected {
			first = false
			accepted = append(accepted, m.MediaName.Media)
		}
	}
	return accepted
}

// TestAnswersToOtherViewers: a viewer receives video whatever else its offer has, and in whatever order.
func TestAnswersToOtherViewers(t *testing.T) {
	h := newHub(t)
	start(t, h, newCamera(25, 3000), 10)
	for _, media := range [][]string{
		{"video"},
		{"video*"},
		{"audio", "video"},
		{"audio*", "video*"},
		{"video", "audio"},
		{"data", "video"},
		{"video", "data"},
		{"audio", "data", "video"},
		{"data", "audio", "video"},
		{"audio", "video", "data"},
	} {
		t.Run(strings.Join(media, "+"), func(t *testing.T) {
			v := newForeignViewer(t, media...)
			answer := post(t, h.server.URL+"/whep", v.offer)
			accepted := checkAnswer(t, v.offer, answer)
			if !slices.Contains(accepted, "video") || slices.Contains(accepted, "audio") {
				t.Errorf("%v accepted", accepted)
			}
			if strings.HasSuffix(media[0], "*") {
				return // pion's own client would insist on sending VP8
			}
			v.receive(t, answer, "video")
		})
	}
}

func post(t *testing.T, url, offer string) string {
	t.Helper()
	response, err := http.Post(url, "application/sdp", strings.NewReader(offer))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	}()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusCreated {
		t.Fatalf("answer %d %s, %v", response.StatusCode, body, err)
	}
	return string(body)
}

// receive sets the answer and waits for a few packets of each of the kinds.
func (v *foreignViewer) receive(t *testing.T, answer string, kinds ...string) {
	t.Helper()
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatalf("%v\n%s", err, answer)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for missing := slices.Clone(kinds); len(missing) > 0; {
		select {
		case track := <-v.tracks:
			if err := track.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			for range 5 {
				if _, _, err := track.ReadRTP(); err != nil {
					t.Fatal(fmt.Errorf("reading %s: %w", track.Kind(), err))
				}
			}
			missing = slices.DeleteFunc(missing, func(k string) bool { return k == track.Kind().String() })
		case <-ctx.Done():
			t.Fatalf("nothing arrives of %v; the connection is %s; answer:\n%s", missing, v.pc.ConnectionState(), answer)
		}
	}
}

// TestRestartWithAudioFirst: the reply to an ICE restart names the accepted section too.
func TestRestartWithAudioFirst(t *testing.T) {
	h := newHub(t)
	start(t, h, newCamera(25, 3000), 10)
	viewer := newForeignViewer(t, "audio", "video")
	v, err := h.engine.NewViewer(h.feed, viewer.offer)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	reply, err := v.Trickle("a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n")
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(reply, "m=")
	if len(sections) != 3 {
		t.Fatalf("the reply has %d sections:\n%s", len(sections)-1, reply)
	}
	for i, kind := range []string{"audio", "video"} {
		s := sections[i+1]
		if !strings.HasPrefix(s, kind) || !strings.Contains(s, "a=mid:") || strings.Contains(s, "a=candidate:") != (kind == "video") {
			t.Errorf("section of the %s:\n%s", kind, s)
		}
	}
}

// TestViewersThatReceiveNothing: an offer to send video, or neither, is refused; one to send audio gets the video alone.
func TestViewersThatReceiveNothing(t *testing.T) {
	h := newHub(t)
	start(t, h, newCamera(25, 3000).withAudio(streams.Track{Codec: streams.PCMU, ClockRate: 8000, Channels: 1}), 10)
	for _, direction := range []string{"sendonly", "inactive"} {
		video := newForeignViewer(t, "video", "audio")
		offer := strings.ReplaceAll(video.offer, "a=recvonly", "a="+direction)
		if v, err := h.engine.NewViewer(h.feed, offer); !errors.Is(err, ErrOffer) {
			t.Errorf("video %s: %v", direction, err)
			v.Close()
		}
		offer = strings.ReplaceAll(video.offer, "a=recvonly\r\n", "")
		offer = strings.Replace(offer, "m=video", "a="+direction+"\r\nm=video", 1) // of the session
		if v, err := h.engine.NewViewer(h.feed, offer); !errors.Is(err, ErrOffer) {
			t.Errorf("session %s: %v", direction, err)
			v.Close()
		}
		audio := newForeignViewer(t, "video", "audio")
		media := strings.SplitAfterN(audio.offer, "m=audio", 2)
		v := post(t, h.server.URL+"/whep", media[0]+strings.Replace(media[1], "a=recvonly", "a="+direction, 1))
		audio.receive(t, v, "video")
	}
}

// TestOffersAsOtherProgramsWriteThem play: without a bundle the video alone is accepted.
func TestOffersAsOtherProgramsWriteThem(t *testing.T) {
	h := newHub(t)
	start(t, h, newCamera(25, 3000).withAudio(streams.Track{Codec: streams.PCMU, ClockRate: 8000, Channels: 1}), 10)
	withoutBundle := func(offer string) string {
		lines := slices.DeleteFunc(strings.SplitAfter(offer, "\r\n"), func(l string) bool { return strings.HasPrefix(l, "a=group:") })
		return strings.Join(lines, "")
	}
	for name, c := range map[string]struct {
		media []string
		write func(offer string) string
	}{
		"no bundle, video":        {[]string{"video"}, withoutBundle},
		"no bundle, with audio":   {[]string{"video", "audio"}, withoutBundle},
		"codecs in small letters": {[]string{"video"}, func(offer string) string { return strings.ReplaceAll(offer, " H264/", " h264/") }},
		"lines without CR":        {[]string{"video"}, func(offer string) string { return strings.ReplaceAll(offer, "\r", "") }},
	} {
		t.Run(name, func(t *testing.T) {
			v := newForeignViewer(t, c.media...)
			answer := post(t, h.server.URL+"/whep", c.write(v.offer))
			if bundle := strings.Contains(c.write(v.offer), "a=group:"); strings.Contains(answer, "a=group:") != bundle {
				t.Errorf("a bundle in the offer: %t; the answer is\n%s", bundle, answer)
			}
			v.receive(t, answer, "video")
		})
	}
}

// TestARejectedVideo stays rejected, and the one after it plays.
func TestARejectedVideo(t *testing.T) {
	h := newHub(t)
	start(t, h, newCamera(25, 3000), 10)
	for _, change := range [][2]string{{"m=video 9", "m=video 0"}, {"a=recvonly", "a=inactive"}} {
		v := newForeignViewer(t, "video", "video")
		offer := strings.Replace(v.offer, change[0], change[1], 1)
		var got sdp.SessionDescription
		if err := got.UnmarshalString(post(t, h.server.URL+"/whep", offer)); err != nil {
			t.Fatal(err)
		}
		_, sends := got.MediaDescriptions[1].Attribute("sendonly")
		if first, second := got.MediaDescriptions[0].MediaName.Port.Value, got.MediaDescriptions[1].MediaName.Port.Value; first != 0 || second == 0 || !sends {
			t.Errorf("%s: answered by ports %d and %d, sendonly %t", change[1], first, second, sends)
		}
	}
}
