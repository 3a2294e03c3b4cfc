package supervisor

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gridpost/detection/wire"
	"gridpost/devices"
	"gridpost/streams"
)

// BenchmarkWorker reports the CPU time per camera of 1080p25 at about 4 Mbit/s, with ten analysed
// frames per second, for a quiet scene and one with people.
func BenchmarkWorker(b *testing.B) {
	const pedestrians = "/usr/share/doc/opencv-doc/examples/data/vtest.avi"
	if _, err := os.Stat(pedestrians); err != nil {
		b.Fatalf("the benchmark needs Debian's package opencv-doc: %v", err)
	}
	for name, filter := range map[string]string{
		"quiet": "trim=end_frame=1,loop=loop=-1:size=1,noise=alls=3:allf=t",
		"busy":  "null",
	} {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(made.dir, name+"-bench.h264")
			out, err := exec.Command("ffmpeg", "-v", "error", "-y", "-i", pedestrians, "-t", "20",
				"-vf", filter+",scale=1440:1080,pad=1920:1080:240:0,fps=25", "-c:v", "libx264", "-preset", "veryfast",
				"-b:v", "4M", "-maxrate", "4M", "-bufsize", "8M", "-bf", "0", "-g", "50", "-x264-params", "aud=1", path).CombinedOutput()
			if err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
			in := accessUnits(b, path)
			for b.Loop() {
				measure(b, in)
			}
		})
	}
}

// measure publishes all of in and waits for the results.
func measure(b *testing.B, in []*streams.AccessUnit) {
	b.Helper()
	stream := streams.New(streams.Options{})
	ready, done := make(chan struct{}), make(chan struct{})
	seen, found := 0, 0
	s := New(Options{
		Binary: made.worker,
		Reader: func(streams.ReaderOptions) *streams.Reader {
			return stream.Subscribe(streams.ReaderOptions{Queue: len(in)})
		},
		OnState: func(running bool, cause devices.Cause) {
			if !running {
				b.Error(cause)
			}
			close(ready)
		},
		OnResult: func(r wire.Result) {
			found += len(r.Frame.Detections)
			if seen++; seen == len(in) {
				close(done)
			}
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	end := make(chan error, 1)
	began := time.Now()
	go func() { end <- s.Run(ctx) }()
	<-ready
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "start-ms")
	idle := s.Stats().CPU
	for _, u := range in {
		stream.Publish(u)
	}
	<-done
	stats := s.Stats()
	video := in[len(in)-1].PTS
	b.ReportMetric(100*float64(stats.CPU-idle)/float64(video), "%core/camera")
	b.ReportMetric(float64(found)/float64(stats.Analysed), "boxes/frame")
	cancel()
	if err := <-end; err != nil {
		b.Error(err)
	}
}
