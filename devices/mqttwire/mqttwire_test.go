package mqttwire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

const limit = 10

func newTestFramer() *Framer { return NewFramer(func(string) int { return limit }) }

// frames reads b in parts of the size given.
func frames(b []byte, part int) (all []Packet, f *Framer, err error) {
	f = newTestFramer()
	for len(b) > 0 && err == nil {
		n := min(part, len(b))
		err = f.Feed(b[:n], func(p Packet) error {
			all = append(all, p)
			return nil
		})
		b = b[n:]
	}
	return all, f, err
}

func publishPacket(head byte, topic string, rest []byte) []byte {
	body := append([]byte{byte(len(topic) >> 8), byte(len(topic))}, topic...)
	return Packet{Head: head, Body: append(body, rest...)}.Append(nil)
}

func TestALongPublishIsReadPast(t *testing.T) {
	payload := bytes.Repeat([]byte("x"), 3<<20)
	stream := slices.Concat(
		publishPacket(0x32, "a", append([]byte{0, 7}, "short"...)),
		publishPacket(0x35, "a/long", append([]byte{1, 2}, payload...)),
		[]byte{Pingresp << 4, 0},
	)
	for _, part := range []int{1, 2, 7, 4096, len(stream)} {
		all, f, err := frames(stream, part)
		if err != nil || len(all) != 3 || f.Within() {
			t.Fatalf("parts of %d: %d packets, %v", part, len(all), err)
		}
		m, err := ParsePublish(all[1])
		if err != nil || m.Topic != "a/long" || m.ID != 0x102 || m.QoS != 2 || !m.Retained || !all[1].Cut() || len(m.Payload) <= limit {
			t.Errorf("parts of %d: %+v, %v, cut %v, %d bytes", part, m.Topic, err, all[1].Cut(), len(m.Payload))
		}
		if len(all[1].Body) > maxProperties+limit+100 || all[1].Length != len(payload)+10 {
			t.Errorf("parts of %d: %d bytes are kept of %d", part, len(all[1].Body), all[1].Length)
		}
		if m, err := ParsePublish(all[0]); err != nil || string(m.Payload) != "short" || m.ID != 7 || m.QoS != 1 {
			t.Errorf("parts of %d: %+v, %v", part, m, err)
		}
	}
}

func TestAnnouncedLengthReservesNothing(t *testing.T) {
	f := newTestFramer()
	if n := testing.AllocsPerRun(10, func() {
		_ = f.Feed([]byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'a'}, nil)
		f.stage = atHead
	}); n > 3 {
		t.Errorf("%v allocations", n)
	}
	if c := cap(f.body); c > 1<<16 {
		t.Errorf("%d bytes are reserved", c)
	}
}

func FuzzFramer(f *testing.F) {
	f.Add([]byte{0x30, 0x03, 0, 1, 'a', 0xd0, 0}, 2)
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, 1)
	f.Add([]byte{0x30, 0x80, 0x80, 0x80, 0x80, 0x01}, 3)
	f.Add(publishPacket(0x32, "a", bytes.Repeat([]byte{1}, 300)), 5)
	f.Fuzz(func(t *testing.T, b []byte, part int) {
		// However the bytes are cut into reads, the outcome is the same.
		whole, a, want := frames(b, max(len(b), 1))
		parts, c, got := frames(b, max(part, 1))
		if !errors.Is(got, want) || !slices.EqualFunc(whole, parts, func(p, q Packet) bool {
			return p.Head == q.Head && p.Length == q.Length && bytes.Equal(p.Body, q.Body)
		}) {
			t.Fatalf("%v %+v in one piece, %v %+v in parts", want, whole, got, parts)
		}
		if want == nil && (a.stage != c.stage || a.length != c.length || !bytes.Equal(a.body, c.body)) {
			t.Fatalf("%+v in one piece, %+v in parts", a, c)
		}
		// What is not cut is passed on as it came.
		var again []byte
		for _, p := range whole {
			if p.Cut() && len(p.Body) < limit {
				t.Fatalf("only %d bytes are kept of %d", len(p.Body), p.Length)
			}
			if _, err := ParsePublish(p); err == nil && p.Cut() && p.Type() == Publish {
				again = nil
				break
			}
			again = p.Append(again)
		}
		if want == nil && len(again) > len(b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

func TestParsePublish(t *testing.T) {
	for _, c := range []struct {
		head byte
		body []byte
		want error
	}{
		{0x30, nil, ErrShort},
		{0x30, []byte{0}, ErrShort},
		{0x30, []byte{0, 2, 'a'}, ErrShort},
		{0x30, []byte{0, 1, 'a'}, nil},
		{0x32, []byte{0, 1, 'a'}, ErrShort},
		{0x32, []byte{0, 1, 'a', 0}, ErrShort},
		{0x32, []byte{0, 1, 'a', 0, 0}, ErrNoID},
		{0x32, []byte{0, 1, 'a', 0, 1}, nil},
		{0x36, []byte{0, 1, 'a', 0, 1}, ErrQoS},
	} {
		if _, err := ParsePublish(Packet{Head: c.head, Body: c.body, Length: len(c.body)}); !errors.Is(err, c.want) {
			t.Errorf("%x %x: %v", c.head, c.body, err)
		}
	}
}

// TestAcksInOrder completes messages in a random order and compares with the rule: nothing is acknowledged
// before it is done, each once, and in order but for those that were passed over.
func TestAcksInOrder(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
		a := NewAcks()
		type message struct {
			ack          *Ack
			done, passed bool
		}
		var all []message
		var sent []int
		take := func() {
			b := a.Take(nil)
			for ; len(b) > 0; b = b[4:] {
				if b[0]>>4 != Puback || b[1] != 2 {
					t.Fatalf("seed %d: %x", seed, b)
				}
				sent = append(sent, int(b[2])<<8|int(b[3]))
			}
		}
		for range 300 {
			switch k := rng.IntN(4); {
			case k == 0 || len(all) == 0:
				all = append(all, message{ack: a.Add(1, uint16(len(all)))}) //nolint:gosec // few
			case k == 1 && rng.IntN(4) == 0:
				m := &all[rng.IntN(len(all))]
				m.passed = m.passed || !m.done
				m.ack.Pass()
			default:
				i := len(all) - 1 - rng.IntN(min(len(all), 8))
				all[i].done = true
				all[i].ack.Done()
			}
			take()
		}
		for i := range all {
			all[i].done = true
			all[i].ack.Done()
		}
		take()
		if len(sent) != len(all) {
			t.Fatalf("seed %d: %d of %d are acknowledged", seed, len(sent), len(all))
		}
		highest := -1
		for _, i := range sent {
			if !all[i].passed && i < highest {
				t.Fatalf("seed %d: %d is acknowledged after %d: %v", seed, i, highest, sent)
			}
			if !all[i].passed {
				highest = i
			}
		}
		if slices.Sort(sent); len(slices.Compact(sent)) != len(all) {
			t.Fatalf("seed %d: one is acknowledged twice", seed)
		}
	}
}

func TestRefusedWithAReason(t *testing.T) {
	a := NewAcks()
	a.Add(2, 0x102).Refuse(0x87)
	if b := a.Take(nil); !bytes.Equal(b, []byte{Pubrec << 4, 3, 1, 2, 0x87}) {
		t.Errorf("%x", b)
	}
}

// TestAcksAreBounded: a peer that uses identifiers again before their acknowledgement takes no memory.
func TestAcksAreBounded(t *testing.T) {
	a := NewAcks()
	first := a.Add(1, 1)
	for range maxOwed - 1 {
		a.Add(1, 2).Done()
	}
	if k := a.Add(1, 2); k != nil || a.Owed() != maxOwed {
		t.Errorf("%d are owed", a.Owed())
	}
	first.Done()
	if b := a.Take(nil); len(b) != 4*maxOwed || a.Owed() != 0 || a.Add(2, 1) == nil {
		t.Errorf("%d bytes, %d are owed", len(b), a.Owed())
	}
}
