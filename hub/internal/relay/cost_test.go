package relay

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gridpost/hub/api"
	"gridpost/streams"
	"gridpost/streams/webrtc"
)

// The cost of relaying is measured with the relay alone in a process; publisher and viewers are
// in another. Run it with
//
//	GRIDPOST_RELAY_COST=60 go test -run TestRelayCost -v ./hub/internal/relay
const (
	costViewers = "GRIDPOST_RELAY_COST"
	costURL     = "GRIDPOST_RELAY_COST_URL"
	costProfile = "GRIDPOST_RELAY_COST_PROFILE"
	costWindow  = 15 * time.Second
)

type noLeases struct{}

func (noLeases) Begin(context.Context, Lease) (string, error)       { return "1", nil }
func (noLeases) End(context.Context, string, string) error          { return nil }
func (noLeases) Command(context.Context, string, api.Command) error { return nil }

func TestRelayCost(t *testing.T) {
	viewers := os.Getenv(costViewers)
	if viewers == "" || os.Getenv(costURL) != "" {
		t.Skipf("set %s to a number of viewers", costViewers)
	}
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	relay := New(Options{Engine: engine, Leases: noLeases{}, Commander: noLeases{}})
	server := httptest.NewServer(routes(relay))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = relay.Run(ctx) })
	defer func() {
		cancel()
		running.Wait()
		server.Close()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}()

	client := exec.Command(os.Args[0], "-test.run=^TestRelayCostClients$", "-test.v")
	client.Env = append(os.Environ(), costURL+"="+server.URL)
	client.Stderr = os.Stderr
	out, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "all play") {
		t.Log(lines.Text())
	}
	before := relay.Stats()
	begun, cpu := time.Now(), processTime(t)
	stop := profile(t)
	time.Sleep(costWindow) // the measurement itself
	stop()
	after := relay.Stats()
	used, took := processTime(t)-cpu, time.Since(begun)
	gbit := float64(after.BytesOut-before.BytesOut) * 8 / 1e9
	runtime.GC()
	report := map[string]any{
		"viewers": after.Viewers, "seconds": took.Seconds(), "gbit": gbit, "cpu_seconds": used.Seconds(),
		"cpu_seconds_per_gbit": used.Seconds() / gbit, "resident_mb": resident(t), "mbit_per_second": gbit * 1000 / took.Seconds(),
		"dropped": after.PacketsDropped - before.PacketsDropped, "retransmitted": after.Retransmitted - before.Retransmitted,
		"packets": after.PacketsOut - before.PacketsOut, "lost_in": after.LostIn - before.LostIn,
	}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", text)
	for lines.Scan() {
		t.Log(lines.Text())
	}
	if err := client.Wait(); err != nil {
		t.Error("clients:", err)
	}
}

func profile(t *testing.T) func() {
	t.Helper()
	name := os.Getenv(costProfile)
	if name == "" {
		return func() {}
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		t.Fatal(err)
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }
}

// processTime is the user and system time of this process so far.
func processTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the process's memory in MB.
func resident(t *testing.T) float64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc:", err)
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(status))[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * float64(os.Getpagesize()) / 1e6
}

// TestRelayCostClients is the other process: a camera of 1080p25, 4 Mbit/s and a key picture
// every 2 s, and the viewers.
func TestRelayCostClients(t *testing.T) {
	url := os.Getenv(costURL)
	if url == "" {
		t.Skip("TestRelayCost runs this")
	}
	viewers, err := strconv.Atoi(os.Getenv(costViewers))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream := streams.New(streams.Options{})
	var running sync.WaitGroup
	running.Go(func() { film(ctx, stream) })
	ready := make(chan struct{})
	running.Go(func() {
		err := engine.Publish(ctx, webrtc.PublishOptions{URL: url + "/whip/edge/camera", Stream: stream, Ready: func() { close(ready) }})
		if err != nil {
			t.Error("publishing:", err)
		}
	})
	<-ready
	var mu sync.Mutex
	var total webrtc.PlayStats
	for range viewers {
		first := make(chan struct{})
		frames := 0
		running.Go(func() {
			s, err := engine.Play(ctx, webrtc.PlayOptions{URL: url + "/whep/edge/camera", OnFrame: func(webrtc.Frame) {
				if frames++; frames == 1 {
					close(first)
				}
			}})
			if err != nil {
				t.Error("playing:", err)
			}
			mu.Lock()
			defer mu.Unlock()
			total.Frames += s.Frames
			total.Lost += s.Lost
			total.RetransmissionRequests += s.RetransmissionRequests
		})
		<-first
	}
	time.Sleep(3 * time.Second) // let the last one's burst pass
	fmt.Println("all play")
	time.Sleep(costWindow + time.Second)
	cancel()
	running.Wait()
	fmt.Printf("viewers: %d frames, %d packets lost for good, %d asked again\n", total.Frames, total.Lost, total.RetransmissionRequests)
	http.DefaultClient.CloseIdleConnections()
}

// film publishes made-up pictures of 4 Mbit/s.
func film(ctx context.Context, s *streams.Stream) {
	const key, other = 100_000, 18_300
	noise := make([]byte, 2*key)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		u := &streams.AccessUnit{Codec: streams.H264, Session: 1, PTS: time.Duration(n) * 40 * time.Millisecond, Arrived: time.Now(), Keyframe: n%50 == 0}
		size, kind := other, byte(0x41)
		if u.Keyframe {
			size, kind = key, 0x65
			u.NALUs = [][]byte{{0x67, 0x64, 0x00, 0x28, 0xac}, {0x68, 0xee, 0x3c, 0x80}}
		}
		start := rand.IntN(key)
		picture := append([]byte{kind}, noise[start:start+size]...)
		u.NALUs = append(u.NALUs, picture)
		s.Publish(u)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
