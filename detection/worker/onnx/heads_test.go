package onnx

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func nanodet(classes int64) [][]int64 {
	return [][]int64{{1600, 32}, {100, classes}, {400, classes}, {1600, classes}, {400, 32}, {100, 32}}
}

func TestLayoutIsReadByShapeAlone(t *testing.T) {
	for _, classes := range []int{0, 80} {
		l, err := readLayout(nanodet(80), 320, 320, classes)
		if err != nil {
			t.Fatal(err)
		}
		if l.classes != 80 || l.bins != 8 || len(l.heads) != 3 {
			t.Fatalf("layout %+v", l)
		}
		if h := l.heads[0]; h.stride != 8 || h.scores != 3 || h.boxes != 0 {
			t.Errorf("the finest head is %+v", h)
		}
	}
	// As many classes as a box has numbers: only the labels distinguish them.
	if l, err := readLayout(nanodet(20), 320, 320, 20); err != nil || l.classes != 20 {
		t.Errorf("20 classes: %+v, %v", l, err)
	}
}

func TestUnsupportedShapesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		shapes  [][]int64
		classes int
	}{
		"none":                  {nil, 0},
		"other labels":          {nanodet(80), 5},
		"ambiguous":             {nanodet(32), 32},
		"an output missing":     {nanodet(80)[1:], 0},
		"an output too many":    {append(nanodet(80), []int64{7, 7}), 0},
		"three of one size":     {append(nanodet(80), []int64{1600, 80}), 0},
		"unknown dimensions":    {[][]int64{{-1, 80}, {1600, 32}}, 0},
		"one number":            {[][]int64{{1000}}, 0},
		"a classifier":          {[][]int64{{1, 1000}}, 0},
		"heads that disagree":   {[][]int64{{1600, 80}, {1600, 32}, {400, 79}, {400, 32}}, 0},
		"boxes of other bins":   {[][]int64{{1600, 80}, {1600, 32}, {400, 80}, {400, 64}}, 0},
		"absurdly many cells":   {[][]int64{{1 << 40, 80}}, 0},
		"two for scores":        {[][]int64{{1600, 81}, {1600, 79}}, 0},
		"nothing for the boxes": {[][]int64{{1600, 80}, {1600, 80}}, 80},
	} {
		if l, err := readLayout(c.shapes, 320, 320, c.classes); err == nil {
			t.Errorf("%s: read as %+v", name, l)
		}
	}
}

func TestHeadsAreDecoded(t *testing.T) {
	l, err := readLayout(nanodet(80), 320, 320, 80)
	if err != nil {
		t.Fatal(err)
	}
	outputs := make([][]float32, 6)
	for i, s := range nanodet(80) {
		outputs[i] = make([]float32, s[0]*s[1])
	}
	put := func(h head, cell, class int, score float32, bins [4]int) {
		outputs[h.scores][cell*80+class] = score
		for side, bin := range bins {
			outputs[h.boxes][(cell*4+side)*8+bin] = 50 // almost certain
		}
	}
	fine, coarse := l.heads[0], l.heads[2]
	put(fine, 41, 2, 0.5, [4]int{1, 1, 1, 1})   // column 1, row 1
	put(coarse, 55, 0, 0.9, [4]int{1, 2, 3, 4}) // column 5, row 5
	put(coarse, 56, 0, 0.6, [4]int{2, 2, 2, 4}) // the same object, from the next cell
	put(coarse, 57, 0, 0.3, [4]int{1, 1, 1, 1}) // below the minimum score
	outputs[fine.scores][7*80] = float32(math.NaN())

	found, err := l.read(outputs)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 {
		t.Fatalf("found %+v, want two objects", found)
	}
	want := Object{Class: 0, Score: 0.9, X: 175.5 - 32, Y: 175.5 - 64, W: 128, H: 192}
	if got := found[0]; got.Class != want.Class || math.Abs(got.X-want.X)+math.Abs(got.Y-want.Y)+math.Abs(got.W-want.W)+math.Abs(got.H-want.H) > 0.1 {
		t.Errorf("found %+v, want %+v", got, want)
	}
	if got := found[1]; got.Class != 2 || math.Abs(got.X-(11.5-8)) > 0.1 || math.Abs(got.W-16) > 0.1 {
		t.Errorf("found %+v", got)
	}
	if _, err := l.read([][]float32{{1}, {1}, {1}, {1}, {1}, {1}}); err == nil {
		t.Error("outputs that are too short were read")
	}
}

func TestLabels(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "labels.txt")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	names, err := readLabels(write("person\r\n traffic light \ncar\n\n"))
	if err != nil || strings.Join(names, "|") != "person|traffic light|car" {
		t.Errorf("%q, %v", names, err)
	}
	for _, bad := range []string{"", "a\n\nb\n", strings.Repeat("x", 65)} {
		if names, err := readLabels(write(bad)); err == nil {
			t.Errorf("%q was read as %q", bad, names)
		}
	}
	if _, err := readLabels("/nowhere"); err == nil {
		t.Error("a missing labels file was read")
	}
}

func TestMissingRuntimeIsReported(t *testing.T) {
	t.Setenv(Variable, "/nowhere/libonnxruntime.so")
	if _, err := openModel("model.onnx", ""); err == nil || !strings.Contains(err.Error(), Variable) {
		t.Errorf("error %v", err)
	}
}
