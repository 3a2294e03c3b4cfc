package rtsp

import (
	"strings"
	"testing"

	"gridpost/streams"
	"gridpost/streams/rtsp/rtsptest"
)

// TestPayloadTypesThatTheLibraryDoesNotKnow: the rtpmap counts, whatever the payload type is.
func TestPayloadTypesThatTheLibraryDoesNotKnow(t *testing.T) {
	h264 := func(number string, payloadType uint8) rtsptest.Track {
		track := rtsptest.H264()
		track.Media, track.PayloadType = "video 0 RTP/AVP "+number, payloadType
		for i, line := range track.Attributes {
			track.Attributes[i] = strings.Replace(line, ":96 ", ":"+number+" ", 1)
		}
		return track
	}
	playAll(t, map[string]*rtsptest.Camera{
		"H.264 as 33":             {Tracks: []rtsptest.Track{h264("33", 33)}},
		"H.264 as 26, by Digest":  {Tracks: []rtsptest.Track{h264("26", 26)}, Auth: &rtsptest.Auth{User: "u", Password: "p"}},
		"H.264 as 72":             {Tracks: []rtsptest.Track{h264("72", 72)}}, // looks like RTCP
		"H.264 as 35":             {Tracks: []rtsptest.Track{h264("35", 35)}},
		"H.264 as 33, with audio": {Tracks: []rtsptest.Track{h264("33", 33), rtsptest.PCMA()}},
	}, Options{Transport: TCP})
}

func TestJPEGWithADynamicPayloadType(t *testing.T) {
	track := testJPEG(t, 64, 48)
	track.Media, track.PayloadType, track.Attributes = "video 0 RTP/AVP 97", 97, []string{"a=rtpmap:97 JPEG/90000"}
	_, address := rtsptest.StartOne(t, &rtsptest.Camera{Tracks: []rtsptest.Track{track}})
	w := watch(t, Options{URL: parsed(t, address)})
	w.expect(true, "")
	for range 5 {
		if u := w.nextFrame(); u.Codec != streams.JPEG || len(u.Data) == 0 {
			t.Fatalf("frame %+v", u)
		}
	}
}
