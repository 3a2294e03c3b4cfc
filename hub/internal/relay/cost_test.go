package relay

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/streams"
	"gridpost/streams/webrtc"
)

// TestRelayCost measures the cost of relaying. The relay runs alone in the test's process; publishers
// and viewers run in another one. Run it with
//
//	GRIDPOST_RELAY_COST=60 go test -run TestRelayCost -v ./hub/internal/relay
//
// It prints a line of JSON: memory per upstream without viewers and per viewer, CPU time per Gbit of payload, the share
// of packets that had to be sent again, and how long the viewers wait for the first keyframe.
const (
	costViewers = "GRIDPOST_RELAY_COST"
	costCameras = "GRIDPOST_RELAY_COST_CAMERAS" // default 1
	costKbit    = "GRIDPOST_RELAY_COST_KBIT"    // of each camera; default 4000
	costGOP     = "GRIDPOST_RELAY_COST_GOP"     // frames, at 25 a second; default 50
	costJoin    = "GRIDPOST_RELAY_COST_JOIN"    // ms between two viewers; default 0: they come all at once
	costURL     = "GRIDPOST_RELAY_COST_URL"
	costProfile = "GRIDPOST_RELAY_COST_PROFILE"
	costWindow  = 15 * time.Second
	costFilling = 15 * time.Second // until the rings of the upstreams are full
)

// costNumber returns the number in an environment variable.
func costNumber(t *testing.T, name string, unset int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return unset
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

type noRecords struct{}

func (noRecords) Begin(context.Context, Lease) (string, context.Context, error) { return "1", nil, nil }
func (noRecords) End(string, devices.Cause)                                     {}
func (noRecords) Command(context.Context, string, api.Command) error            { return nil }

func TestRelayCost(t *testing.T) {
	viewers := os.Getenv(costViewers)
	if viewers == "" || os.Getenv(costURL) != "" {
		t.Skipf("set %s to a number of viewers", costViewers)
	}
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	relay := New(Options{Engine: engine, Leases: noRecords{}, Commander: noRecords{}})
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
	in, err := client.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	empty := resident(t)
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	until := func(text string) {
		for lines.Scan() && !strings.Contains(lines.Text(), text) {
			t.Log(lines.Text())
		}
	}
	until("all publish")
	cameras := costNumber(t, costCameras, 1)
	idle := resident(t)
	if _, err := io.WriteString(in, "\n"); err != nil {
		t.Fatal(err)
	}
	until("all play")
	before := relay.Stats()
	begun, cpu := time.Now(), processTime(t)
	stop := profile(t)
	time.Sleep(costWindow) // the measurement itself
	stop()
	after := relay.Stats()
	used, took := processTime(t)-cpu, time.Since(begun)
	gbit := float64(after.BytesOut-before.BytesOut) * 8 / 1e9
	packets := after.PacketsOut - before.PacketsOut
	full := resident(t)
	report := map[string]any{
		"viewers": after.Viewers, "cameras": cameras, "kbit": costNumber(t, costKbit, 4000), "gop": costNumber(t, costGOP, 50),
		"cpu_seconds_per_gbit": used.Seconds() / gbit, "cpu_seconds": used.Seconds(), "mbit_per_second": gbit * 1000 / took.Seconds(),
		"resident_mb": full, "mb_per_idle_upstream": (idle - empty) / float64(cameras), "mb_per_viewer": (full - idle) / float64(max(after.Viewers, 1)),
		"packets": packets, "sent_again_percent": 100 * float64(after.Retransmitted-before.Retransmitted) / float64(packets),
		"dropped": after.PacketsDropped - before.PacketsDropped, "lost_in": after.LostIn - before.LostIn, "switches": after.Switches,
	}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", text)
	until("the end")
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

// processTime returns the CPU time, user and system, that this process has used.
func processTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident returns the resident memory of this process in MB.
func resident(t *testing.T) float64 {
	t.Helper()
	debug.FreeOSMemory()
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

// TestRelayCostClients runs in the other process: publishers of 25 frames a second, and the viewers. The viewers' kernel
// hands them several packets at a time (UDP_GRO): over loopback, the time in which it splits what the relay sends at once
// would count as the relay's.
func TestRelayCostClients(t *testing.T) {
	url := os.Getenv(costURL)
	if url == "" {
		t.Skip("TestRelayCost runs this")
	}
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	cameras, kbit, gop := costNumber(t, costCameras, 1), costNumber(t, costKbit, 4000), costNumber(t, costGOP, 50)
	for n := range cameras {
		stream := streams.New(streams.Options{})
		running.Go(func() { publishNoise(ctx, stream, kbit*1000/8, gop) })
		ready := make(chan struct{})
		running.Go(func() {
			err := engine.Publish(ctx, webrtc.PublishOptions{URL: url + "/whip/edge/camera" + strconv.Itoa(n), Stream: stream, Ready: func() { close(ready) }})
			if err != nil {
				t.Error("publishing:", err)
			}
		})
		<-ready
	}
	time.Sleep(costFilling)
	fmt.Println("all publish")
	if !bufio.NewScanner(os.Stdin).Scan() {
		t.Error("the relay has gone")
	}
	var mu sync.Mutex
	var total webrtc.PlayStats
	var first []float64 // ms
	var all sync.WaitGroup
	join := time.Duration(costNumber(t, costJoin, 0)) * time.Millisecond
	for n := range costNumber(t, costViewers, 0) {
		all.Add(1)
		time.Sleep(join)
		running.Go(func() {
			begun, seen := time.Now(), false
			s, err := engine.Play(ctx, webrtc.PlayOptions{URL: url + "/whep/edge/camera" + strconv.Itoa(n%cameras) + "?reason=test", OnFrame: func(f webrtc.Frame) {
				if f.Keyframe && f.Complete && !seen {
					seen = true
					mu.Lock()
					defer mu.Unlock()
					first = append(first, float64(f.At.Sub(begun).Milliseconds()))
					all.Done()
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
	}
	all.Wait()
	time.Sleep(5 * time.Second) // until the burst of the last viewer has been sent
	fmt.Println("all play")
	time.Sleep(costWindow + time.Second)
	cancel()
	running.Wait()
	slices.Sort(first)
	fmt.Printf("viewers: %d frames, %d packets lost, %d retransmission requests, one came every %v, first keyframe p50 %.0f ms, p95 %.0f ms\n",
		total.Frames, total.Lost, total.RetransmissionRequests, join, first[len(first)/2], first[len(first)*95/100])
	fmt.Println("the end")
	http.DefaultClient.CloseIdleConnections()
}

// publishNoise publishes random bytes as frames, so many bytes a second on average. A keyframe has five times the bytes
// of another frame.
func publishNoise(ctx context.Context, s *streams.Stream, rate, gop int) {
	other := rate * gop / 25 / (gop + 4)
	key := 5 * other
	noise := make([]byte, 2*key)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		u := &streams.AccessUnit{Codec: streams.H264, Session: 1, PTS: time.Duration(n) * 40 * time.Millisecond, Arrived: time.Now(), Keyframe: n%gop == 0}
		size, kind := other, byte(0x41)
		if u.Keyframe {
			size, kind = key, 0x65
			u.NALUs = [][]byte{{0x67, 0x64, 0x00, 0x28, 0xac}, {0x68, 0xee, 0x3c, 0x80}}
		}
		start := rand.IntN(key)
		nalu := append([]byte{kind}, noise[start:start+size]...)
		u.NALUs = append(u.NALUs, nalu)
		s.Publish(u)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
