package supervisor

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/detection/wire"
	"gridpost/streams"
)

// TestStillShowsTheLastFrame of a GOP, with its marks.
func TestStillShowsTheLastFrame(t *testing.T) {
	in := camera(t)
	ctx, cancel := testContext(t)
	defer cancel()
	mark := wire.Mark{Box: detection.Box{X: 0.5, Y: 0.5, W: 0.25, H: 0.25}, Label: "motion"}
	for _, last := range []int{75, 92, 99} { // a keyframe, one amid the GOP, the end of the GOP
		got, err := Still(ctx, made.worker, NewGate(1), in[75:last+1], []wire.Mark{mark})
		if err != nil {
			t.Fatal(err)
		}
		if got.PTS != in[last].PTS {
			t.Errorf("frame %d: the still is of %v, want %v", last, got.PTS, in[last].PTS)
		}
		img, err := jpeg.Decode(bytes.NewReader(got.Data))
		if err != nil {
			t.Fatal(err)
		}
		if r, g, _, _ := img.At(footageW*3/4, footageH*5/8).RGBA(); r < 2*g {
			t.Errorf("frame %d: the right side of the mark is not red but %d %d", last, r>>8, g>>8)
		}
		checkEdge(t, img, boxAt(in[last].PTS))
	}
}

// checkEdge checks that the bright box of the footage has its left side where it belongs.
func checkEdge(t *testing.T, img image.Image, box image.Rectangle) {
	t.Helper()
	bright := func(x int) bool {
		y, _, _, _ := img.At(x, box.Min.Y+20).RGBA()
		return y>>8 > 180
	}
	if !bright(box.Min.X+6) || bright(box.Min.X-6) {
		t.Errorf("the box does not begin at %d", box.Min.X)
	}
}

func TestStillThatCannotBeDecoded(t *testing.T) {
	in := camera(t)
	garbage := *in[0]
	garbage.NALUs = [][]byte{bytes.Repeat([]byte{0x65, 0xff}, 500)}
	for name, c := range map[string]struct {
		binary string
		gop    []*streams.AccessUnit
		want   string
	}{
		"nothing":             {made.worker, nil, "0 access units"},
		"too much":            {made.worker, make([]*streams.AccessUnit, maxStillFrames+1), "501 access units"},
		"garbage":             {made.worker, []*streams.AccessUnit{&garbage}, "no frame of this session"},
		"no program":          {"/nowhere/worker", in[:1], "/nowhere/worker"},
		"a program that ends": {script(t, "exit 3"), in[:1], "exited with status 3"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := testContext(t)
			defer cancel()
			_, err := Still(ctx, c.binary, nil, c.gop, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Still(ctx, script(t, "exec sleep 60"), nil, in[:1], nil); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("a program that hangs: %v", err)
	}
}
