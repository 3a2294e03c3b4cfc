package fmp4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4"

	"gridpost/streams"
)

var (
	sps     = []byte{0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x6c, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x1e, 0x07, 0x8c, 0x18, 0xcb}
	other   = []byte{0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20}
	pps     = []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0}
	vps265  = []byte{0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x78, 0x99, 0x98, 0x09}
	sps265  = []byte{0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x78, 0xa0, 0x03, 0xc0, 0x80, 0x10, 0xe5, 0x96, 0x66, 0x69, 0x24, 0xca, 0xe0, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x80}
	pps265  = []byte{0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40}
	instant = time.Date(2026, 5, 1, 10, 0, 0, 500_000_000, time.UTC)
)

// boxes splits the top level of MP4.
func boxes(t *testing.T, b []byte) (types []string, bodies [][]byte) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 8 || int(binary.BigEndian.Uint32(b)) < 8 || int(binary.BigEndian.Uint32(b)) > len(b) {
			t.Fatalf("a broken box of %d bytes", len(b))
		}
		n := binary.BigEndian.Uint32(b)
		types, bodies, b = append(types, string(b[4:8])), append(bodies, b[8:n]), b[n:]
	}
	return types, bodies
}

func TestFragments(t *testing.T) {
	m := NewMuxer(streams.H264)
	if _, err := m.Append(nil, Frame{NALUs: [][]byte{{0x41, 1}}}); !errors.Is(err, ErrNoKeyframe) {
		t.Errorf("a first frame that is no keyframe: %v", err)
	}
	key := [][]byte{{9, 0x10}, sps, pps, {0x65, 1, 2, 3}}
	start, err := m.Append(nil, Frame{NALUs: key, Keyframe: true, Time: 9000, Captured: instant, Sent: instant.Add(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.ContentType(); got != `video/mp4; codecs="avc1.64001f"` {
		t.Error(got)
	}
	types, bodies := boxes(t, start)
	if got := len(types); got != 6 || types[0] != "ftyp" || types[1] != "moov" || types[2] != "prft" || types[3] != "prft" || types[4] != "moof" || types[5] != "mdat" {
		t.Fatal(types)
	}
	for i, want := range []struct {
		flags byte
		at    time.Time
	}{{capturedFlag, instant}, {sentFlag, instant.Add(time.Second)}} {
		b := bodies[2+i]
		if b[3] != want.flags || binary.BigEndian.Uint32(b[8:]) != uint32(want.at.Unix()+2208988800) || binary.BigEndian.Uint32(b[12:]) != 1<<31 || binary.BigEndian.Uint64(b[16:]) != 9000 {
			t.Errorf("reference time %x", b)
		}
	}
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(start)); err != nil {
		t.Fatal(err)
	}
	codec, ok := init.Tracks[0].Codec.(*mp4.CodecH264)
	if !ok || !bytes.Equal(codec.SPS, sps) || !bytes.Equal(codec.PPS, pps) || init.Tracks[0].TimeScale != 90000 {
		t.Errorf("%+v", init.Tracks[0])
	}
	next, err := m.Append(nil, Frame{NALUs: [][]byte{{0x41, 4, 5}}, Time: 9000 + 6000})
	if err != nil {
		t.Fatal(err)
	}
	again, err := m.Append(nil, Frame{NALUs: key, Keyframe: true, Time: 9000 + 9000})
	if err != nil {
		t.Fatal(err)
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(bytes.Join([][]byte{start, next, again}, nil)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		base     uint64
		duration uint32
		payload  []byte
		key      bool
	}{
		{9000, 3600, []byte{0, 0, 0, 4, 0x65, 1, 2, 3}, true},
		{15000, 6000, []byte{0, 0, 0, 3, 0x41, 4, 5}, false},
		{18000, 3000, []byte{0, 0, 0, 4, 0x65, 1, 2, 3}, true},
	} {
		track := parts[i].Tracks[0]
		sample := track.Samples[0]
		if track.BaseTime != want.base || sample.Duration != want.duration || !bytes.Equal(sample.Payload, want.payload) || sample.IsNonSyncSample == want.key {
			t.Errorf("fragment %d: at %d, %+v", i, track.BaseTime, sample)
		}
	}
	changed, err := m.Append(nil, Frame{NALUs: [][]byte{other, pps, {0x65, 1}}, Keyframe: true, Time: 30000})
	if types, _ := boxes(t, changed); err != nil || types[0] != "ftyp" || m.ContentType() != `video/mp4; codecs="avc1.42c028"` {
		t.Errorf("other parameter sets: %v, %s, %v", types, m.ContentType(), err)
	}
}

func TestFragmentsOfH265(t *testing.T) {
	m := NewMuxer(streams.H265)
	b, err := m.Append(nil, Frame{NALUs: [][]byte{vps265, sps265, pps265, {0x26, 1, 7}}, Keyframe: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.ContentType(); got != `video/mp4; codecs="hev1.1.6.L120.90"` {
		t.Error(got)
	}
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	if codec, ok := init.Tracks[0].Codec.(*mp4.CodecH265); !ok || !bytes.Equal(codec.SPS, sps265) {
		t.Errorf("%+v", init.Tracks[0].Codec)
	}
}

func TestOtherCodecs(t *testing.T) {
	if _, err := NewMuxer(streams.Opus).Append(nil, Frame{NALUs: [][]byte{{1}}, Keyframe: true}); err == nil {
		t.Error("audio was accepted")
	}
}

// FuzzFragments: parameter sets and frames that cameras send are never more than refused.
func FuzzFragments(f *testing.F) {
	f.Add(true, sps, pps, []byte{0x65, 1}, uint64(3000))
	f.Add(false, sps265, pps265, []byte{0x26, 1, 1}, uint64(0))
	f.Fuzz(func(t *testing.T, h264 bool, a, b, c []byte, at uint64) {
		name := streams.H265
		if h264 {
			name = streams.H264
		}
		m := NewMuxer(name)
		for range 2 {
			out, err := m.Append(nil, Frame{NALUs: [][]byte{vps265, a, b, c}, Keyframe: true, Time: at})
			if err == nil {
				boxes(t, out)
			}
		}
	})
}
