package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/detection/health"
	"gridpost/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loop is a byte stream that returns what was written to it.
type loop struct{ bytes.Buffer }

func (*loop) Close() error { return nil }

func messages() []any {
	at := time.Date(2024, 5, 1, 12, 0, 0, 123456789, time.UTC)
	return []any{
		Config{Model: "m.onnx", Labels: "l.txt", Rate: 5, Video: "a.mp4", Limits: Limits{Memory: 1 << 30, User: 1, Group: 2}},
		Ready{Version: "1", Detector: "motion"},
		&AccessUnit{Codec: streams.JPEG, Session: 7, Arrived: at, Keyframe: true, Data: []byte{0xff, 0xd8}},
		&AccessUnit{Codec: streams.H265, Session: 7, PTS: -time.Second, Arrived: at, Keyframe: true, Data: []byte{0, 0, 0, 1, 9}},
		Result{Analysed: true, Width: 640, Height: 480, Frame: detection.Frame{
			Session: 7, PTS: time.Second, Time: at,
			Detections: []detection.Detection{{Class: "car", Score: 0.5, Box: detection.Box{X: 0.1, Y: 0.2, W: 0.3, H: 0.4}}},
		}},
		Result{Sample: &health.Sample{Width: 10, Height: 10, Gray: make([]byte, 100), Fine: []uint16{1, 2, 3, 65535}, Intra: true, Changed: []byte{0, 1, 2, 255}}},
		Snapshot{ID: 9, Session: 7, PTS: time.Second, Marks: []Mark{{Label: "car"}}},
		JPEG{ID: 9, PTS: time.Second, Error: "none", Data: []byte{1, 2, 3}},
		End{Error: "over"},
	}
}

func TestMessagesRoundTrip(t *testing.T) {
	c := NewConn(&loop{})
	for _, want := range messages() {
		if err := c.Send(want); err != nil {
			t.Fatal(err)
		}
		got, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %#v, want %#v", got, want)
		}
	}
	if _, err := c.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v, want io.EOF", err)
	}
}

func TestSetJoinsNALUs(t *testing.T) {
	var u AccessUnit
	u.Set(&streams.AccessUnit{Codec: streams.H264, Session: 1, Keyframe: true, NALUs: [][]byte{{1, 2}, {3}}})
	if want := []byte{0, 0, 0, 1, 1, 2, 0, 0, 0, 1, 3}; !bytes.Equal(u.Data, want) || !u.Keyframe {
		t.Errorf("got %v key %v, want %v", u.Data, u.Keyframe, want)
	}
}

func TestMalformedIsRefused(t *testing.T) {
	for name, in := range map[string][]byte{
		"unknown type":           {0, 0, 0, 0, 99},
		"type zero":              {0, 0, 0, 1, 0, 1},
		"huge unit":              {0xff, 0xff, 0xff, 0xff, byte(TypeAccessUnit)},
		"huge JSON":              {0, 0x20, 0, 0, byte(TypeResult)},
		"unit too short":         {0, 0, 0, 1, byte(TypeAccessUnit), 1},
		"unknown codec":          append([]byte{0, 0, 0, 24, byte(TypeAccessUnit), 9}, make([]byte, 23)...),
		"reserved flags":         append([]byte{0, 0, 0, 24, byte(TypeAccessUnit), 1, 2}, make([]byte, 22)...),
		"JPEG too short":         {0, 0, 0, 1, byte(TypeJPEG), 1},
		"JPEG with a long error": append([]byte{0, 0, 0, 18, byte(TypeJPEG)}, append(make([]byte, 16), 0xff, 0xff)...),
		"not JSON":               {0, 0, 0, 1, byte(TypeEnd), '{'},
	} {
		c := NewConn(&loop{*bytes.NewBuffer(in)})
		if got, err := c.Receive(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, %v, want ErrMalformed", name, got, err)
		}
	}
}

func TestTruncatedMessageIsUnexpectedEOF(t *testing.T) {
	var whole loop
	if err := NewConn(&whole).Send(messages()[2]); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < whole.Len(); n++ {
		c := NewConn(&loop{*bytes.NewBuffer(whole.Bytes()[:n])})
		if _, err := c.Receive(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d bytes: %v, want io.ErrUnexpectedEOF", n, err)
		}
	}
}

func TestOversizedMessageIsNotSent(t *testing.T) {
	var out loop
	c := NewConn(&out)
	if err := c.Send(&AccessUnit{Codec: streams.H264, Data: make([]byte, MaxBody)}); err == nil || out.Len() > 0 {
		t.Errorf("sent %d bytes, error %v; want nothing and an error", out.Len(), err)
	}
	if err := c.Send("words"); err == nil {
		t.Error("a string was sent")
	}
}

// A length without the bytes must not make the receiver allocate memory.
func TestLengthAloneAllocatesNoMemory(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		_, err := far.Write([]byte{0, 0xff, 0xff, 0xff, byte(TypeAccessUnit), 1, 2, 3})
		if err := errors.Join(err, far.Close()); err != nil {
			t.Error(err)
		}
	}()
	c := NewConn(near)
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := c.Receive(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if cap(c.buf) > 1<<20 {
		t.Errorf("%d bytes are allocated for a message that never arrived", cap(c.buf))
	}
}

func TestAccessUnitsCostNoAllocation(t *testing.T) {
	c := NewConn(&loop{})
	src := &streams.AccessUnit{Codec: streams.H264, NALUs: [][]byte{make([]byte, 20_000)}, Arrived: time.Unix(1, 0)}
	var u AccessUnit
	send := func() {
		u.Set(src)
		if err := c.Send(&u); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Receive(); err != nil {
			t.Fatal(err)
		}
	}
	send()
	if n := testing.AllocsPerRun(100, send); n > 0 {
		t.Errorf("%v allocations per access unit, want none", n)
	}
}

func FuzzReceive(f *testing.F) {
	for _, m := range messages() {
		var one loop
		if err := NewConn(&one).Send(m); err != nil {
			f.Fatal(err)
		}
		f.Add(one.Bytes())
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 3})
	f.Fuzz(func(t *testing.T, in []byte) {
		c := NewConn(&loop{*bytes.NewBuffer(in)})
		for {
			msg, err := c.Receive()
			if err != nil {
				return
			}
			// A message that was parsed can be sent again.
			if err := NewConn(&loop{}).Send(msg); err != nil {
				t.Fatalf("%#v cannot be sent: %v", msg, err)
			}
		}
	})
}
