package rtsp

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"

	"gridpost/streams"
)

// TestDecodingTimes: for any reordering within the announced depth DTS rises and is at most PTS, and without
// reordering they are equal.
func TestDecodingTimes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const frame = 40 * time.Millisecond
	for range 300 {
		depth := random.IntN(4)
		order := frameOrder{depth: depth}
		shown := make([]time.Duration, 60)
		for i := range shown {
			shown[i] = time.Duration(i) * frame
		}
		for i := 1; i+depth < len(shown); i += depth + 1 { // a P frame, then the depth B frames before it
			group := shown[i : i+depth+1]
			slices.Reverse(group)
			slices.Reverse(group[1:])
		}
		last := time.Duration(-1 << 62)
		for i, pts := range shown {
			dts, reordered := order.next(pts)
			if dts > pts || dts <= last || depth == 0 && dts != pts {
				t.Fatalf("depth %d, frame %d of %v: DTS %v after %v", depth, i, shown, dts, last)
			}
			if want := i > 0 && pts < slices.Max(shown[:i]); reordered != want {
				t.Fatalf("depth %d, frame %d at %v: reordered %v", depth, i, pts, reordered)
			}
			last = dts
		}
	}
}

// slice returns an H.264 slice that is not IDR.
func slice(kind byte) []byte {
	if kind == 'B' {
		return []byte{0x01, 0xa0, 1, 2} // first_mb_in_slice 0, slice_type 1
	}
	return []byte{0x41, 0xc0, 1, 2} // slice_type 0
}

func TestBFramesAreNoticed(t *testing.T) {
	for _, test := range []struct {
		name  string
		kinds string
		times []uint32 // in frames
		want  bool
		sps   string // default: Baseline, which has no reordering
	}{
		{"B-frames", "IPBBPBB", []uint32{0, 3, 1, 2, 6, 4, 5}, true, ""},
		{"none", "IPPPPPP", []uint32{0, 1, 2, 3, 4, 5, 6}, false, ""},
		{"B slices in order", "IPBBPBB", []uint32{0, 1, 2, 3, 4, 5, 6}, false, ""},
		{"a clock that steps back", "IPPPPPP", []uint32{0, 1, 2, 1, 2, 3, 4}, false, ""},
		{"numbered as they are sent", "IPBBPBB", []uint32{0, 1, 2, 3, 4, 5, 6}, true, "6764000dacd94141fb011000000300100000030320f1429960"},
		{"announced, but there are none", "IPPPPPP", []uint32{0, 1, 2, 3, 4, 5, 6}, false, "6764000dacd94141fb011000000300100000030320f1429960"},
	} {
		a := newH264(t)
		if test.sps != "" {
			a.observeSequence([][]byte{fakeSet(test.sps)})
			a.params.Observe(fakeSet(test.sps))
		}
		last := time.Duration(-1)
		for i, kind := range test.kinds {
			nalu := slice(byte(kind))
			if kind == 'I' {
				nalu = []byte{0x65, 0x88, 1}
			}
			u, err := a.push(packet(uint16(i), test.times[i]*3600, true, nalu...), time.Unix(1e9, 0).Add(time.Duration(i)*frameTime))
			if err != nil || u == nil {
				t.Fatalf("%s: frame %d: %v, %v", test.name, i, u, err)
			}
			if u.DTS > u.PTS || u.PTS != time.Duration(test.times[i])*frameTime {
				t.Errorf("%s: frame %d: PTS %v, DTS %v after %v", test.name, i, u.PTS, u.DTS, last)
			}
			last = u.DTS
		}
		if a.track.BFrames != test.want {
			t.Errorf("%s: B-frames %v", test.name, a.track.BFrames)
		}
	}
}

const frameTime = 40 * time.Millisecond

// TestRASLAfterARandomAccess: leading pictures that depend on what a decoder does not have are dropped after the
// first CRA and after a loss, and are marked elsewhere.
func TestRASLAfterARandomAccess(t *testing.T) {
	a, err := newAssembler(&format.H265{
		PayloadTyp: 96, VPS: fakeSet("40010c01ffff016000000300900000030000030078959809"),
		SPS: fakeSet("420101016000000300900000030000030078a003c08010e596566924caf0168080000003008000000c84"), PPS: fakeSet("4401c172b46240"),
	}, 1)
	if err != nil {
		t.Fatal(err)
	}
	const cra, rasl, trail = 21, 9, 1
	sequence := uint16(0)
	push := func(kind byte, frame uint32) *streams.AccessUnit {
		t.Helper()
		sequence++
		u, err := a.push(packet(sequence, 90000+frame*3600, true, kind<<1, 1, 9), time.Unix(1e9, 0).Add(time.Duration(sequence)*frameTime))
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	if u := push(cra, 3); u == nil || !u.Keyframe || u.Leading {
		t.Fatalf("first CRA: %+v", u)
	}
	if u := push(rasl, 1); u != nil {
		t.Errorf("leading picture of the first CRA: %+v", u)
	}
	if u := push(trail, 4); u == nil || u.Leading {
		t.Errorf("trailing picture: %+v", u)
	}
	if u := push(cra, 8); u == nil || !u.Keyframe {
		t.Fatalf("second CRA: %+v", u)
	}
	if u := push(rasl, 6); u == nil || !u.Leading {
		t.Errorf("leading picture within the stream: %+v", u)
	}
	sequence += 3 // lost
	if u := push(trail, 9); u != nil {
		t.Errorf("after a loss: %+v", u)
	}
	if u := push(cra, 14); u == nil {
		t.Fatal("the third CRA is missing")
	}
	if u := push(rasl, 12); u != nil {
		t.Errorf("leading picture after a loss: %+v", u)
	}
	if u := push(trail, 15); u == nil {
		t.Error("the trailing picture is missing")
	}
}
