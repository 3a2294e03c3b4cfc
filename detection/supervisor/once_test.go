package supervisor

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/detection/wire"
	"gridpost/devices/retry"
	"gridpost/streams"
)

// scriptedWorkerDir is the environment variable that makes the program of the tests a scripted worker. Its value is
// a directory in which the worker leaves a file for each fault.
const scriptedWorkerDir = "GRIDPOST_TEST_SCRIPTED_WORKER"

// The faults of a scripted worker: the first byte of an access unit's last NALU.
const (
	faultNone   = iota
	faultCrash  // the frame crashes each worker that decodes it
	faultHang   // likewise, it hangs
	faultKilled // the worker is killed from outside, once
)

// scriptedWorker analyses every frame, as a worker without a rate would.
func scriptedWorker(dir string) (err error) {
	file := os.NewFile(3, "edge")
	conn := wire.NewConn(file)
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.Receive(); err != nil {
		return err
	}
	if err := conn.Send(wire.Ready{Detector: "scripted"}); err != nil {
		return err
	}
	for {
		msg, err := conn.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		u, ok := msg.(*wire.AccessUnit)
		if !ok {
			return fmt.Errorf("unexpected %T", msg)
		}
		if err := commitFault(dir, u); err != nil {
			return err
		}
		r := wire.Result{Analysed: true, Width: 640, Height: 360}
		r.Frame = detection.Frame{Session: u.Session, PTS: u.PTS, Time: u.Arrived}
		if err := conn.Send(r); err != nil {
			return err
		}
	}
}

// commitFault does to the worker what u says.
func commitFault(dir string, u *wire.AccessUnit) error {
	fault := u.Data[len(u.Data)-1]
	if fault == faultNone {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%d-%d-%d", u.Session, u.PTS, fault)), os.O_CREATE|os.O_EXCL, 0o600)
	if again := errors.Is(err, os.ErrExist); again && fault == faultKilled {
		return nil
	} else if again {
		return errors.Join(os.WriteFile(filepath.Join(dir, "again"), nil, 0o600), errors.New("fed the same poison again"))
	} else if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	switch fault {
	case faultCrash:
		return syscall.Kill(os.Getpid(), syscall.SIGSEGV)
	case faultHang:
		time.Sleep(time.Hour)
	case faultKilled:
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return nil
}

// TestNothingIsJudgedTwice: whatever crashes, hangs or kills the workers, each frame is judged at most once and in
// order, a frame that crashed a worker is given to no other one, and all frames are judged that no fault concerns.
func TestNothingIsJudgedTwice(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			o := &onceTest{random: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir()} // no secret
			o.bench = workOn(t, &bench{stream: streams.New(streams.Options{}), backfill: true}, Options{
				Binary:       script(t, fmt.Sprintf("%s=%s exec %s", scriptedWorkerDir, o.dir, program)),
				ReplyTimeout: 2 * time.Second,
				Restart: Restart{
					Backoff: retry.Policy{First: time.Millisecond, Longest: time.Millisecond},
					Budget:  1 << 20, Crashes: 1 << 20,
				},
			})
			o.running()
			for range 150 {
				o.step(t)
			}
			if _, err := os.Stat(filepath.Join(o.dir, "again")); err == nil {
				t.Error("a frame that had crashed a worker was given to another one")
			}
			if o.judgedAfterKeyframe == 0 || o.restarts == 0 {
				t.Errorf("the test had %d restarts and judged %d frames", o.restarts, o.judgedAfterKeyframe)
			}
		})
	}
}

// onceTest publishes frames one by one and follows what becomes of them.
type onceTest struct {
	*bench
	random *rand.Rand
	dir    string

	next                frameID
	last                frameID // judged
	decodable           bool    // the worker has the frames that the next one depends on
	restarts            int
	judgedAfterKeyframe int
}

// step publishes one frame and waits until it is judged or the worker has been replaced.
func (o *onceTest) step(t *testing.T) {
	t.Helper()
	o.next.pts += 40 * time.Millisecond
	if o.next.session == 0 || o.random.IntN(50) == 0 {
		o.next = frameID{session: o.next.session + 1}
		o.decodable = false
	}
	u := &streams.AccessUnit{
		Codec: streams.H264, Session: o.next.session, PTS: o.next.pts, Arrived: time.Now(),
		Keyframe: o.random.IntN(8) == 0, NALUs: [][]byte{{0x65, faultNone}},
	}
	switch o.random.IntN(120) {
	case 0: // each costs the supervisor's patience
		u.NALUs[0][1] = faultHang
	case 1, 2, 3, 4, 5:
		u.NALUs[0][1] = faultCrash
	case 6, 7, 8, 9, 10:
		u.NALUs[0][1] = faultKilled
	}
	o.decodable = o.decodable || u.Keyframe
	o.stream.Publish(u)
	if !o.decodable {
		return // the supervisor's reader waits for a keyframe
	}
	o.judge(t)
}

// judge waits for the result of the frame that was published last, or until a crash has lost it, and checks those
// before it.
func (o *onceTest) judge(t *testing.T) {
	t.Helper()
	for {
		var r wire.Result
		select {
		case cause := <-o.states:
			o.running()
			o.restarts++
			if cause.Code == CodeSignal && cause.Params["signal"] == "9 (killed)" {
				continue // the new worker begins with the GOP of the frame
			}
			o.decodable = false
			return
		case r = <-o.results:
		case <-time.After(patience):
			t.Fatalf("no result of frame %v", o.next)
		}
		got := frameID{r.Frame.Session, r.Frame.PTS}
		if r.Analysed {
			if !got.follows(o.last) {
				t.Fatalf("frame %v was judged after %v", got, o.last)
			}
			o.last = got
		}
		if got == o.next {
			if !r.Analysed {
				t.Fatalf("frame %v was not judged", got)
			}
			o.judgedAfterKeyframe++
			return
		}
	}
}

// TestReplacedSupervisor: a supervisor that follows another on the same stream, as when the configuration of detection
// changes, begins with the same GOP and judges none of its frames again. What crashed the worker is not tried again.
func TestReplacedSupervisor(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := Options{Binary: script(t, fmt.Sprintf("%s=%s exec %s", scriptedWorkerDir, dir, program)), Restart: waitAnHour()}
	stream := streams.New(streams.Options{})
	pts := time.Duration(0)
	publish := func(key bool, fault byte) {
		pts += 40 * time.Millisecond
		stream.Publish(&streams.AccessUnit{
			Codec: streams.H264, Session: 1, PTS: pts, Arrived: time.Now(), Keyframe: key, NALUs: [][]byte{{0x65, fault}},
		})
	}
	next := func() *bench {
		b := workOn(t, &bench{stream: stream, backfill: true}, o)
		o.Before = New(Options{Before: b.s}) // one that never ran
		b.running()
		return b
	}
	first := next()
	publish(true, faultNone)
	publish(false, faultNone)
	first.take(2)
	first.end()

	second := next()
	publish(false, faultNone)
	for i, r := range second.take(3) {
		if r.Analysed != (i == 2) {
			t.Errorf("frame %d of the second: analysed %v", i, r.Analysed)
		}
	}
	if n := second.s.Stats().Repeated; n != 2 {
		t.Errorf("%d frames are counted as repeated, want 2", n)
	}
	publish(false, faultCrash)
	second.state()
	second.end()

	third := next()
	publish(false, faultNone) // depends on what the third does not get
	publish(true, faultNone)
	if r := third.take(1)[0]; !r.Analysed || r.Frame.PTS != pts {
		t.Errorf("the third begins with %+v", r)
	}
	if _, err := os.Stat(filepath.Join(dir, "again")); err == nil {
		t.Error("a frame that had crashed a worker was given to another one")
	}
}
