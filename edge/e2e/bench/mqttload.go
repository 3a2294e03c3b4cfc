package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"gridpost/edge/e2e/rig"
)

// load is a client that publishes without waiting for acknowledgements, which cost it little: packets are
// written as they are.
type load struct {
	net.Conn
	r *bufio.Reader
}

const loadLimit = 2 * time.Minute

func dialLoad(ctx context.Context, address, id string) (*load, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting to the broker: %w", err)
	}
	c := &load{Conn: conn, r: bufio.NewReader(conn)}
	body := append(mqttField("MQTT"), 4, 0xc2, 0, 0)
	for _, s := range []string{id, rig.SensorUser, rig.SensorPassword} {
		body = append(body, mqttField(s)...)
	}
	ack := make([]byte, 4)
	err = conn.SetDeadline(time.Now().Add(loadLimit))
	if err == nil {
		_, err = conn.Write(append([]byte{0x10, byte(len(body))}, body...))
	}
	if err == nil {
		_, err = io.ReadFull(c.r, ack)
	}
	if err == nil && ack[3] != 0 {
		err = fmt.Errorf("refused with %d", ack[3])
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("logging in to the broker: %w", err)
	}
	return c, nil
}

// publish sends n readings, which begin with number first and are step apart, and waits for all
// acknowledgements. rate is how many a second; 0: no pause.
func (c *load) publish(first, step, n, rate int) error {
	acked := make(chan error, 1)
	go func() {
		ack := make([]byte, 4)
		for range n {
			if _, err := io.ReadFull(c.r, ack); err != nil || ack[0] != 0x40 {
				acked <- fmt.Errorf("the broker answers %x: %w", ack, err)
				return
			}
		}
		acked <- nil
	}()
	w := bufio.NewWriterSize(c, 16<<10)
	began := time.Now()
	for i := range n {
		if rate > 0 && i%(rate/100+1) == 0 { // a hundred times a second
			if err := w.Flush(); err != nil {
				return fmt.Errorf("publishing: %w", err)
			}
			time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		}
		number := first + i*step
		body := binary.BigEndian.AppendUint16(mqttField("sensors/"+level(number%mqttSensors)), uint16(i%65535+1)) //nolint:gosec // below 65536
		body = fmt.Appendf(body, `{"value":%d}`, number)
		if _, err := w.Write(append([]byte{0x32, byte(len(body))}, body...)); err != nil {
			return fmt.Errorf("publishing: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	return <-acked
}

// Close ends the connection.
func (c *load) Close() { _ = c.Conn.Close() }

func mqttField(s string) []byte { return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...) } //nolint:gosec // short
