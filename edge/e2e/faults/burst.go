package faults

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"gridpost/edge/e2e/rig"
)

// burst publishes several messages without waiting for the acknowledgement of each, as a client
// does that has kept its measurements while it was away. When the connection breaks, it sends all
// that is not acknowledged again, in order (MQTT 3.1.1, section 4.4). So an edge may get again what
// it has stored already, in between what it has not: the time in the messages tells.
type burst struct {
	address, name string
	last          time.Time // of the newest message: a sensor's times do not go back
	conn          net.Conn
	reader        *bufio.Reader
}

const burstTimeout = 10 * time.Second // without any acknowledgement

func (b *burst) close() {
	if b.conn != nil {
		_ = b.conn.Close()
		b.conn = nil
	}
}

// publish sends one value.
func (b *burst) publish(ctx context.Context, value float64) error {
	return b.publishAll(ctx, []float64{value})
}

// publishAll returns when all values are acknowledged, or ctx ends.
func (b *burst) publishAll(ctx context.Context, values []float64) error {
	first := time.Now().UTC()
	if !first.After(b.last) {
		first = b.last.Add(time.Millisecond)
	}
	b.last = first.Add(time.Duration(len(values)) * time.Millisecond)
	waiting := map[uint16][]byte{}
	for i, v := range values {
		payload := fmt.Sprintf(`{"value":%s,"time":%q}`, strconv.FormatFloat(v, 'g', -1, 64), first.Add(time.Duration(i)*time.Millisecond).Format(time.RFC3339Nano))
		waiting[uint16(i+1)] = []byte(payload)
	}
	for len(waiting) > 0 {
		if err := b.attempt(ctx, waiting, len(values)); err != nil {
			b.close()
			select {
			case <-ctx.Done():
				return errors.Join(ctx.Err(), err)
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
	return nil
}

// attempt sends what waits, and removes what is acknowledged.
func (b *burst) attempt(ctx context.Context, waiting map[uint16][]byte, last int) error {
	again := b.conn != nil
	if !again {
		if err := b.connect(ctx); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = b.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var out []byte
	for id := uint16(1); id <= uint16(last); id++ {
		payload, ok := waiting[id]
		if !ok {
			continue
		}
		body := append(text("sensors/"+b.name), byte(id>>8), byte(id))
		out = append(out, packet(packetPublish<<4|1<<1, append(body, payload...))...)
	}
	if _, err := b.conn.Write(out); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	for len(waiting) > 0 {
		if ctx.Err() == nil {
			_ = b.conn.SetReadDeadline(time.Now().Add(burstTimeout)) // fails when the connection is closed: Read says so
		}
		head, body, err := b.read()
		if err != nil {
			return err
		}
		if head>>4 == packetPuback && len(body) >= 2 {
			delete(waiting, binary.BigEndian.Uint16(body))
		}
	}
	return nil
}

func (b *burst) connect(ctx context.Context) error {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", b.address)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	b.conn, b.reader = conn, bufio.NewReader(conn)
	// CONNECT (section 3.1): user, password and a clean session, no keep-alive.
	body := append(text("MQTT"), 4, 0xc2, 0, 0)
	for _, s := range []string{"burst-" + b.name, rig.SensorUser, rig.SensorPassword} {
		body = append(body, text(s)...)
	}
	if _, err := conn.Write(packet(1<<4, body)); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second)) // see above
	head, answer, err := b.read()
	if err != nil {
		return err
	}
	if head>>4 != 2 || len(answer) < 2 || answer[1] != 0 {
		return fmt.Errorf("connecting: the broker answered %x %x", head, answer)
	}
	return nil
}

func (b *burst) read() (head byte, body []byte, err error) {
	start, err := b.reader.Peek(2)
	for n := 2; err == nil; n++ {
		length, header, ok := remainingLength(start)
		if header < 0 {
			return 0, nil, errors.New("reading a packet: it has no valid length")
		}
		if ok {
			all := make([]byte, header+length)
			if _, err := io.ReadFull(b.reader, all); err != nil {
				return 0, nil, fmt.Errorf("reading a packet: %w", err)
			}
			return all[0], all[header:], nil
		}
		start, err = b.reader.Peek(n + 1)
	}
	return 0, nil, fmt.Errorf("reading a packet: %w", err)
}

// text encodes a string of the protocol (section 1.5.3).
func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// packet encodes a control packet.
func packet(head byte, body []byte) []byte {
	out := []byte{head}
	for n := len(body); ; {
		digit := byte(n % 128)
		if n /= 128; n == 0 {
			return append(append(out, digit), body...)
		}
		out = append(out, digit|0x80)
	}
}
