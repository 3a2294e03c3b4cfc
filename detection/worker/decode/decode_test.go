package decode

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"gridpost/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record makes two seconds of a test video with the given encoder.
func record(t testing.TB, name string, encoder ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	args := append([]string{"-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2", "-pix_fmt", "yuv420p"}, encoder...)
	if out, err := exec.Command("ffmpeg", append(args, path)...).CombinedOutput(); err != nil {
		t.Fatalf("making a recording needs the program ffmpeg, which `make test` installs: %v\n%s", err, out)
	}
	return path
}

// units splits a raw stream at its access unit delimiters.
func units(t testing.TB, path string, delimiter []byte) [][]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for part := range bytes.SplitSeq(data, delimiter) {
		if len(part) > 0 {
			out = append(out, append(slices.Clone(delimiter), part...))
		}
	}
	return out
}

var (
	delimiter264 = []byte{0, 0, 0, 1, 0x09}
	delimiter265 = []byte{0, 0, 0, 1, 0x46, 0x01}
)

func decoder(t testing.TB, codec streams.Codec) *Decoder {
	t.Helper()
	d, err := NewDecoder(codec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// A frame must be returned with its own access unit where the stream allows it.
func TestFramesAreReturnedAtOnce(t *testing.T) {
	for _, c := range []struct {
		name      string
		codec     streams.Codec
		delimiter []byte
		encoder   []string
	}{
		{"baseline.h264", streams.H264, delimiter264, []string{"-c:v", "libx264", "-profile:v", "baseline", "-x264-params", "aud=1"}},
		{"high.h264", streams.H264, delimiter264, []string{"-c:v", "libx264", "-bf", "0", "-x264-params", "aud=1"}},
		{"slices.h264", streams.H264, delimiter264, []string{"-c:v", "libx264", "-bf", "0", "-x264-params", "aud=1:slices=4"}},
		{"main.h265", streams.H265, delimiter265, []string{"-c:v", "libx265", "-x265-params", "bframes=0:aud=1:log-level=none"}},
		{"motion.mjpeg", streams.JPEG, []byte{0xff, 0xd8, 0xff}, []string{"-c:v", "mjpeg", "-huffman", "default"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decoder(t, c.codec)
			for i, u := range units(t, record(t, c.name, c.encoder...), c.delimiter) {
				var tags []int64
				err := d.Decode(u, int64(i), func(p *Frame) {
					tags = append(tags, p.Tag)
					if w, h := p.Size(); w != 320 || h != 240 || p.Damaged() {
						t.Errorf("frame %d is %dx%d, damaged %v", i, w, h, p.Damaged())
					}
					p.Close()
				})
				if err != nil || !slices.Equal(tags, []int64{int64(i)}) {
					t.Fatalf("access unit %d gave the frames %v and %v, want its own", i, tags, err)
				}
			}
		})
	}
}

// With B-frames the frames are returned in presentation order, each with its own tag, and none is
// lost.
func TestReorderedFramesKeepTheirTags(t *testing.T) {
	for _, c := range []struct {
		name      string
		codec     streams.Codec
		delimiter []byte
		encoder   []string
	}{
		{"b.h264", streams.H264, delimiter264, []string{"-c:v", "libx264", "-bf", "2", "-x264-params", "aud=1:b-adapt=0"}},
		{"b.h265", streams.H265, delimiter265, []string{"-c:v", "libx265", "-x265-params", "bframes=2:b-adapt=0:aud=1:log-level=none"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decoder(t, c.codec)
			in := units(t, record(t, c.name, c.encoder...), c.delimiter)
			seen := map[int64]bool{}
			disorder, previous, late := 0, int64(-1), int64(0)
			onFrame := func(p *Frame) {
				if seen[p.Tag] {
					t.Errorf("tag %d came twice", p.Tag)
				}
				seen[p.Tag] = true
				if p.Tag < previous {
					disorder++
				}
				previous = p.Tag
				p.Close()
			}
			for i, u := range in {
				if err := d.Decode(u, int64(i), onFrame); err != nil {
					t.Fatal(err)
				}
				late = max(late, int64(i+1-len(seen)))
			}
			if err := d.Drain(onFrame); err != nil {
				t.Fatal(err)
			}
			if len(seen) != len(in) || disorder == 0 || late > 4 {
				t.Errorf("%d of %d frames, %d out of coding order, up to %d behind", len(seen), len(in), disorder, late)
			}
		})
	}
}

func TestBrokenAccessUnitsAreErrors(t *testing.T) {
	d := decoder(t, streams.H264)
	in := units(t, record(t, "x.h264", "-c:v", "libx264", "-bf", "0", "-g", "10", "-x264-params", "aud=1"), delimiter264)
	random := rand.New(rand.NewPCG(1, 2)) // no secret
	noticed := 0
	onFrame := func(p *Frame) {
		if p.Damaged() {
			noticed++
		}
		p.Close()
	}
	for i, u := range in {
		broken := slices.Clone(u)
		if i%3 == 1 { // half of it is noise
			for k := len(broken) / 2; k < len(broken); k++ {
				broken[k] = byte(random.UintN(256))
			}
		}
		if d.Decode(broken, int64(i), onFrame) != nil {
			noticed++
		}
	}
	if noticed < len(in)/6 {
		t.Errorf("of %d broken access units %d were reported", len(in)/3, noticed)
	}
	if err := d.Decode(nil, 0, onFrame); err == nil {
		t.Error("an empty access unit was decoded")
	}
	d.Flush()
	good := 0
	for i, u := range in {
		if err := d.Decode(u, int64(i), func(p *Frame) { good++; p.Close() }); err != nil {
			t.Errorf("after the flush, access unit %d: %v", i, err)
		}
	}
	if good != len(in) {
		t.Errorf("after the flush %d of %d frames came", good, len(in))
	}
}

func TestScaling(t *testing.T) {
	f := open(t, record(t, "x.mp4", "-c:v", "libx264"))
	p, err := f.Next()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var s Scaler
	defer s.Close()
	gray, err := s.Gray(p, 77, 33)
	if err != nil || len(gray) != 77*33 {
		t.Fatalf("%d bytes, %v", len(gray), err)
	}
	if slices.Min(gray) == slices.Max(gray) {
		t.Error("the gray frame is of one brightness")
	}
	bgr, err := s.BGR(p, 320, 240)
	if err != nil || len(bgr) != 3*320*240 {
		t.Fatalf("%d bytes, %v", len(bgr), err)
	}
	if p.Bytes() != 320*240*3/2 {
		t.Errorf("the frame takes %d bytes", p.Bytes())
	}
	if _, err := s.Gray(p, 0, 5); err == nil {
		t.Error("scaled to nothing")
	}
}

func openFile(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return NewFile(file)
}

func open(t testing.TB, path string) *File {
	t.Helper()
	f, err := openFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func TestFilesAreReadInPresentationOrder(t *testing.T) {
	f := open(t, record(t, "x.mp4", "-c:v", "libx264", "-bf", "2"))
	for i := 0; ; i++ {
		p, err := f.Next()
		if errors.Is(err, io.EOF) {
			if i != 50 {
				t.Errorf("%d frames, want 50", i)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Tag != int64(i)*40_000 {
			t.Errorf("frame %d is at %d µs", i, p.Tag)
		}
		p.Close()
	}
}

func TestNewFileRefusesOtherFiles(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.mp4")
	if err := os.WriteFile(text, []byte("this is text"), 0o600); err != nil {
		t.Fatal(err)
	}
	sound := filepath.Join(t.TempDir(), "sound.wav")
	if out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=1", sound).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, path := range []string{"", "/nowhere.mp4", text, sound, t.TempDir()} {
		if f, err := openFile(path); err == nil {
			f.Close()
			t.Errorf("%q was opened", path)
		}
	}
	if _, err := NewDecoder("AV1"); err == nil {
		t.Error("a decoder of AV1 was made")
	}
}

// FuzzDecode feeds arbitrary bytes, as a camera may send them. Any result is accepted as long as the
// process survives.
func FuzzDecode(f *testing.F) {
	f.Add(false, []byte{0, 0, 0, 1, 0x67, 0x42, 0, 0x1e, 0xab, 0x40})
	f.Add(true, []byte{0, 0, 0, 1, 0x40, 0x01, 0x0c})
	f.Fuzz(func(t *testing.T, hevc bool, data []byte) {
		codec := streams.H264
		if hevc {
			codec = streams.H265
		}
		d, err := NewDecoder(codec)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for i := range int64(2) {
			_ = d.Decode(data, i, func(p *Frame) { p.Close() }) // an error is a valid result
		}
	})
}
