package mqtt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/devices/mqttwire"
)

const (
	subscribe   = mqttwire.Suback - 1
	unsubscribe = mqttwire.Unsuback - 1
)

// TestNothingTheBrokerSendsAgainEndsTheConnection sends everything that the broker would send again: it must
// be acknowledged, and the connection must go on.
func TestNothingTheBrokerSendsAgainEndsTheConnection(t *testing.T) {
	long := strings.Repeat("x", devices.MaxMessage+1)
	b := &scripted{session: func(l *link) {
		p, ok := l.expect(subscribe)
		if !ok || !l.send([]byte{mqttwire.Suback << 4, 6, p.Body[0], p.Body[1], 1, 1, 1, 1}) { // too many codes
			return
		}
		id := uint16(0)
		for _, m := range []struct{ topic, payload string }{
			{"sensors/a", long},
			{"sensors/b", strings.Repeat("y", 5<<20)},
			{"sensors/\x00", "1"},
			{"sensors/\xff", "1"},
			{"sensors/+", "1"},
			{"", "1"},
			{strings.Repeat("/", 300), "1"},
			{strings.Repeat("t", 65535), "1"},
			{"sensors/c", "good"},
		} {
			for _, qos := range []byte{1, 2} {
				id++
				if !l.publish(qos, id, m.topic, m.payload) {
					return
				}
				want := mqttwire.Puback
				if qos == 2 {
					want = mqttwire.Pubrec
				}
				if p, ok := l.expect(want); !ok || binary.BigEndian.Uint16(p.Body) != id {
					l.t.Errorf("%.20q of QoS %d is answered %x", m.topic, qos, p.Body)
					return
				}
				if qos == 2 && l.send([]byte{mqttwire.Pubrel<<4 | 2, 2, byte(id >> 8), byte(id)}) {
					l.expect(mqttwire.Pubcomp)
				}
			}
		}
		for _, odd := range [][]byte{
			{0x30, 0},
			{0x32, 3, 0, 9, 'a'},
			{0x36, 5, 0, 1, 'a', 0, 1},
			{0x32, 5, 0, 1, 'a', 0, 0},
			{0x90, 0},
			{0xb0, 0},
			{0x20, 2, 0, 0},
			{0, 0},
			{0xf0, 1, 1},
			{0x50, 2, 0, 1},
			{0x90, 5, 0, 200, 1, 1, 1},
			{0x40, 2, 0, 1},
			{0xd0, 1, 0},
		} {
			l.send(odd)
		}
		l.publish(0, 0, "sensors/d", long)
		l.publish(0, 0, "sensors/d", "last")
		l.end()
	}}
	with(t, b, Options{}, func(s *Subscriber, e *recorder) {
		synctest.Wait()
		if got := strings.Join(e.received, " "); got != "1 1 good good last" {
			t.Errorf("received %.100q", got)
		}
		if st := s.Stats(); st.Sessions != 1 || st.TooLong != 5 || st.Malformed != 14 {
			t.Errorf("%+v", st)
		}
		topics := map[string]bool{}
		for _, c := range s.Problems() {
			topics[c.Params["topic"]] = true
			if c.Text == "" {
				t.Errorf("%+v", c)
			}
		}
		if !topics["sensors/a"] || !topics["sensors/b"] || !topics["sensors/d"] {
			t.Errorf("problems: %+v", s.Problems())
		}
		time.Sleep(2 * recentFor)
		if p := s.Problems(); len(p) != 0 || s.Stats().Sessions != 1 {
			t.Errorf("after two hours: %+v, %+v", p, s.Stats())
		}
	})
}

// TestALongMessageOnAThinLine takes longer than a broker may take to answer a ping.
func TestALongMessageOnAThinLine(t *testing.T) {
	b := &scripted{session: func(l *link) {
		if p, ok := l.expect(subscribe); !ok || !l.answer(p, grant) {
			return
		}
		l.mute.Store(true) // the answers would stand behind the message
		length := 10 << 20
		head := []byte{0x32, byte(length&0x7f | 0x80), byte(length>>7&0x7f | 0x80), byte(length>>14&0x7f | 0x80), byte(length >> 21), 0, 1, 'a', 0, 1}
		l.send(head)
		chunk := bytes.Repeat([]byte("x"), 64<<10)
		for left := length - 5; left > 0; left -= len(chunk) {
			time.Sleep(4 * time.Second)
			if !l.send(chunk[:min(len(chunk), left)]) {
				return
			}
		}
		if p, ok := l.expect(mqttwire.Puback); !ok || !bytes.Equal(p.Body, []byte{0, 1}) {
			l.t.Errorf("the long message is not acknowledged")
		}
		l.mute.Store(false)
		l.publish(0, 0, "sensors/a", "after")
		l.end()
	}}
	with(t, b, Options{}, func(s *Subscriber, e *recorder) {
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if got := strings.Join(e.received, " "); got != "after" || s.Stats().Sessions != 1 || s.Stats().TooLong != 1 {
			t.Errorf("received %q, %+v", got, s.Stats())
		}
	})
}

// TestWhatFindsNoRoomIsHeldBack: a broker that sends without bounds waits; it is not cut off.
func TestWhatFindsNoRoomIsHeldBack(t *testing.T) {
	const n = 3 * queueMessages
	b := &scripted{session: func(l *link) {
		if p, ok := l.expect(subscribe); !ok || !l.answer(p, grant) {
			return
		}
		for i := range n {
			if !l.publish(1, uint16(i+1), "sensors/a", "x") { //nolint:gosec // below 65536
				return
			}
		}
		for i := range n {
			if p, ok := l.expect(mqttwire.Puback); !ok || int(binary.BigEndian.Uint16(p.Body)) != i+1 {
				l.t.Errorf("%d: acknowledged %x", i, p.Body)
				return
			}
		}
		l.end()
	}}
	var store atomic.Bool
	with(t, b, Options{Handle: func(ctx context.Context, _ devices.Message, done func(error)) {
		for !store.Load() && ctx.Err() == nil {
			time.Sleep(time.Second)
		}
		done(ctx.Err())
	}}, func(s *Subscriber, _ *recorder) {
		time.Sleep(time.Hour) // pings are answered meanwhile
		if st := s.Stats(); st.Sessions != 1 || st.Messages != 0 {
			t.Errorf("while nothing is stored: %+v", st)
		}
		store.Store(true)
		time.Sleep(time.Minute)
		if st := s.Stats(); st.Sessions != 1 || st.Messages != n || st.Dropped != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestOneRefusedFilterCostsNoOther, also when the broker ends the connection because of it, as AWS IoT does.
func TestOneRefusedFilterCostsNoOther(t *testing.T) {
	for name, ends := range map[string]bool{"refused": false, "connection ended": true} {
		t.Run(name, func(t *testing.T) {
			var filters []string
			for i := range 20 {
				filters = append(filters, "sensors/"+string(rune('a'+i)))
			}
			var mu sync.Mutex
			allowed, granted := false, map[string]bool{}
			b := &scripted{session: func(l *link) {
				mu.Lock()
				granted = map[string]bool{}
				mu.Unlock()
				for p := range l.packets {
					asked := filtersOf(p)
					mu.Lock()
					bad := !allowed && slices.Contains(asked, "sensors/k")
					for _, f := range asked {
						if p.Type() == subscribe && !(bad && f == "sensors/k") {
							granted[f] = true
						}
					}
					mu.Unlock()
					if len(asked) > perPacket {
						l.t.Errorf("%d filters in a packet", len(asked))
					}
					if bad && ends {
						return
					}
					if !l.answer(p, func(f string) byte {
						if bad && f == "sensors/k" {
							return 0x80
						}
						return 1
					}) {
						return
					}
				}
			}}
			var refused [][]string
			with(t, b, Options{Filters: filters, OnRefused: func(f []string) { refused = append(refused, f) }}, func(s *Subscriber, e *recorder) {
				count := func() int {
					mu.Lock()
					defer mu.Unlock()
					return len(granted)
				}
				time.Sleep(40 * time.Second)
				synctest.Wait()
				if n := count(); n != 19 || !e.online {
					t.Errorf("%d filters are granted, online: %v", n, e.online)
				}
				if len(refused) == 0 || !slices.Equal(refused[len(refused)-1], []string{"sensors/k"}) {
					t.Errorf("refused: %q", refused)
				}
				mu.Lock()
				allowed = true
				mu.Unlock()
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				if n := count(); n != 20 || len(refused[len(refused)-1]) != 0 {
					t.Errorf("when it is allowed at last: %d, refused %q", n, refused)
				}
			})
		})
	}
}

// TestManyFilters: a site may have 4,096 sensors, and AWS IoT takes eight filters in a packet.
func TestManyFilters(t *testing.T) {
	var filters []string
	for i := range 4096 {
		filters = append(filters, fmt.Sprintf("sensors/%d", i))
	}
	var mu sync.Mutex
	granted := map[string]bool{}
	b := &scripted{session: func(l *link) {
		for p := range l.packets {
			mu.Lock()
			for _, f := range filtersOf(p) {
				granted[f] = true
			}
			mu.Unlock()
			if !l.answer(p, grant) {
				return
			}
		}
	}}
	with(t, b, Options{Filters: filters}, func(_ *Subscriber, e *recorder) {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(granted) != len(filters) || !e.online {
			t.Errorf("%d filters are granted, online: %v", len(granted), e.online)
		}
	})
}

// TestTheSameClientIDElsewhere: another client takes the session each time.
func TestTheSameClientIDElsewhere(t *testing.T) {
	b := &scripted{session: func(l *link) {
		if p, ok := l.expect(subscribe); ok && l.answer(p, grant) {
			time.Sleep(2 * time.Second)
		}
	}}
	with(t, b, Options{}, func(s *Subscriber, e *recorder) {
		time.Sleep(time.Hour)
		if n := s.Stats().Sessions; n < 10 || n > 40 {
			t.Errorf("%d connections within an hour", n)
		}
		if s.cause.Code != "broker_client_id_in_use" || s.cause.Params["client_id"] != "edge" || e.online {
			t.Errorf("cause %+v", s.cause)
		}
	})
}

// memory keeps filters for a test.
type memory struct{ filters []string }

func (m *memory) Load() ([]string, error) { return m.filters, nil }

func (m *memory) Save(filters []string) error {
	m.filters = filters
	return nil
}

func TestWhatLeftTheDocumentIsUnsubscribed(t *testing.T) {
	var asked, left []string
	clean := false
	b := &scripted{session: func(l *link) {
		for p := range l.packets {
			switch p.Type() {
			case subscribe:
				asked = append(asked, filtersOf(p)...)
			case unsubscribe:
				left = append(left, filtersOf(p)...)
			default:
				continue
			}
			if !l.answer(p, grant) {
				return
			}
		}
	}}
	m := &memory{filters: []string{"old/#", "sensors/a"}}
	with(t, b, Options{Filters: []string{"sensors/a", "sensors/#", "sensors/#", "status"}, Memory: m}, func(*Subscriber, *recorder) { synctest.Wait() })
	slices.Sort(asked)
	slices.Sort(left)
	if !slices.Equal(asked, []string{"sensors/#", "status"}) || !slices.Equal(left, []string{"old/#", "sensors/a"}) {
		t.Errorf("subscribed to %q, unsubscribed from %q", asked, left)
	}
	if !slices.Equal(m.filters, []string{"sensors/#", "sensors/a", "status"}) {
		t.Errorf("remembered: %q", m.filters)
	}
	// No sensor is left: the session goes, with its queue.
	b.session = func(l *link) { clean = true; l.end() }
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		s, err := NewSubscriber(Options{Server: b.server(), Memory: m, Handle: (&recorder{}).handle})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		cancel()
		<-done
		b.wg.Wait()
	})
	if !clean || len(m.filters) != 0 {
		t.Errorf("connected: %v, remembered: %q", clean, m.filters)
	}
}

func TestWhatIsNotABroker(t *testing.T) {
	for name, answer := range map[string]string{"HTTP": "HTTP/1.1 400 Bad Request\r\n\r\n", "TLS": "\x15\x03\x01\x00\x02\x02\x16", "framing": "\x20\xff\xff\xff\xff\xff"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				causes := make(chan devices.Cause, 100)
				s, err := NewSubscriber(Options{
					Server: Server{Address: address.Broker{Host: "web:80", Name: "web"}, ClientID: "edge", connect: func(context.Context) (net.Conn, error) {
						near, far := net.Pipe()
						go func() {
							go func() { _, _ = io.Copy(io.Discard, far) }()
							_, _ = far.Write([]byte(answer))
							time.Sleep(time.Second)
							_ = far.Close()
						}()
						return near, nil
					}},
					Filters: []string{"a"}, Handle: (&recorder{}).handle, OnState: func(_ bool, cause devices.Cause) { causes <- cause },
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- s.Run(ctx) }()
				if cause := <-causes; cause.Code != "broker_not_mqtt" {
					t.Errorf("cause %+v", cause)
				}
				cancel()
				<-done
				time.Sleep(time.Minute)
			})
		})
	}
}
