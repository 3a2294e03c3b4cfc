package webrtc

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// TestReceptionReport compares the numbers with RFC 3550, sections 6.4.1, A.3 and A.8.
func TestReceptionReport(t *testing.T) {
	r := receptionReport{ssrc: 9}
	now := time.Unix(1e9, 0)
	packet := func(sequence uint16, stamp uint32) bool {
		now = now.Add(10 * time.Millisecond)
		return r.packet(sequence, stamp, false, now)
	}
	read := func() rtcp.ReceptionReport {
		t.Helper()
		raw, err := r.report(0x12345678, 65536, now).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var back rtcp.ReceiverReport
		if err := back.Unmarshal(raw); err != nil {
			t.Fatal(err)
		}
		return back.Reports[0]
	}
	stamp := uint32(1<<32 - 1800) // wraps, as the sequence number does
	for _, sequence := range []uint16{65530, 65531, 65532, 65534, 65535, 1, 0, 4} {
		packet(sequence, stamp)
		stamp += 900
	}
	got := read()
	want := rtcp.ReceptionReport{ // 65530 to 65540, of which 65533, 65538 and 65539 are missing
		SSRC: 9, FractionLost: 3 * 256 / 11, TotalLost: 3, LastSequenceNumber: 1<<16 + 4, LastSenderReport: 0x12345678, Delay: 65536,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	packet(65533, stamp+900) // comes again, and late
	packet(2, stamp+900)
	got = read()
	if got.TotalLost != 1 || got.FractionLost != 0 || got.LastSequenceNumber != 1<<16+4 {
		t.Errorf("after two late packets %+v", got)
	}
	if got.Jitter == 0 || got.Jitter > 200 {
		t.Errorf("jitter %d ticks", got.Jitter)
	}
	for range 5 { // more than was expected: no negative loss
		packet(4, stamp)
	}
	if got = read(); got.TotalLost != 0 || got.FractionLost != 0 {
		t.Errorf("after duplicates %+v", got)
	}
}

// TestReportsAreDue: often enough for a thin line and a fast one, and not for each packet.
func TestReportsAreDue(t *testing.T) {
	for _, test := range []struct {
		every time.Duration
		want  int // reports for 1000 packets, 8 to a frame
	}{{200 * time.Millisecond, 1000}, {5 * time.Millisecond, 125}, {100 * time.Microsecond, 63}} {
		var r receptionReport
		now, reports := time.Unix(1e9, 0), 0
		for i := range 1000 {
			now = now.Add(test.every)
			if r.packet(uint16(i), 0, i%8 == 7, now) {
				reports++
				r.report(0, 0, now)
			}
		}
		if reports < test.want-1 || reports > test.want+1 {
			t.Errorf("a packet each %v: %d reports, want %d", test.every, reports, test.want)
		}
		if r.overdue(now.Add(reportInterval)) != (r.waiting > 0) {
			t.Errorf("%d packets wait", r.waiting)
		}
	}
}

// TestReportsDoNotWait: whatever the frame rate and the number of packets in a frame, the newest packet
// is reported within reportFrame. A camera of 10 frames/s has a frame each reportInterval: its first
// packet causes a report, and the others must not wait for the next frame.
func TestReportsDoNotWait(t *testing.T) {
	for _, interval := range []time.Duration{16 * time.Millisecond, 33 * time.Millisecond, 66 * time.Millisecond, 100 * time.Millisecond, 101 * time.Millisecond, time.Second} {
		for _, packets := range []int{1, 2, 3, 8, 15, 40} {
			var r receptionReport
			sequence := uint16(0)
			for frame := range 50 {
				begun := time.Unix(1e9, 0).Add(time.Duration(frame) * interval)
				for i := range packets {
					now := begun.Add(time.Duration(i) * 300 * time.Microsecond)
					sequence++
					if r.packet(sequence, 0, i == packets-1, now) {
						r.report(0, 0, now)
					}
				}
				next := begun.Add(interval)
				if r.waiting > 0 && r.dueAt().Before(next) {
					if held := r.dueAt().Sub(r.arrivedAt); held > reportFrame {
						t.Fatalf("frames each %v of %d packets: frame %d waits %v for its report", interval, packets, frame, held)
					}
					if !r.overdue(r.dueAt()) {
						t.Fatalf("a report is due at %v and is not overdue then", r.dueAt())
					}
					r.report(0, 0, r.dueAt())
				}
			}
		}
	}
}
