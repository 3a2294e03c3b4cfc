package rtsp

import (
	"errors"
	"fmt"
	"slices"

	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph265"
	"github.com/pion/rtp"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// Bounds of a frame of H.265. Level 6.2, the highest, has 600 slices.
const (
	maxH265NALUs = 700
	maxH265Bytes = 8 << 20
)

var (
	errH265Short = errors.New("a packet of H.265 that is cut short")
	errH265Large = errors.New("a frame of H.265 that is too large")
)

// h265Depacketizer reads H.265 (RFC 7798). The library finds the NALUs of the packets; this finds the frames, also those of
// cameras that set no marker bits, and changes packets that the library does not read into such as it does: those with
// decoding order numbers, and fragments that are a whole NALU.
type h265Depacketizer struct {
	decoder   *rtph265.Decoder
	plain     rtp.Packet // what the library reads
	order     bool       // packets have decoding order numbers; the camera sends in decoding order all the same
	frame     [][]byte
	bytes     int
	timestamp uint32 // of frame
}

func newH265Depacketizer(order bool) (depacketizer, error) {
	d := &h265Depacketizer{decoder: &rtph265.Decoder{}, order: order}
	if err := d.decoder.Init(); err != nil {
		return nil, fmt.Errorf("reading the parameters of the video: %w", err)
	}
	return d, nil
}

func (d *h265Depacketizer) Decode(packet *rtp.Packet) ([][]byte, error) {
	payload, err := d.normalise(packet.Payload)
	if err != nil {
		return nil, err
	}
	d.plain = *packet
	d.plain.Payload, d.plain.Marker = payload, true // the library then returns the NALUs of each packet
	nalus, err := d.decoder.Decode(&d.plain)
	if err != nil {
		return nil, err //nolint:wrapcheck // assembler.push compares it
	}
	if d.frame != nil && packet.Timestamp != d.timestamp {
		done := d.take()
		return done, d.add(nalus, packet.Timestamp)
	}
	if err := d.add(nalus, packet.Timestamp); err != nil {
		return nil, err
	}
	if !packet.Marker {
		return nil, rtph265.ErrMorePacketsNeeded
	}
	return d.take(), nil
}

// take returns the frame and begins the next one.
func (d *h265Depacketizer) take() [][]byte {
	frame := d.frame
	d.frame, d.bytes = nil, 0
	return frame
}

func (d *h265Depacketizer) add(nalus [][]byte, timestamp uint32) error {
	for _, nalu := range nalus {
		d.bytes += len(nalu)
	}
	d.frame, d.timestamp = append(d.frame, nalus...), timestamp
	if len(d.frame) > maxH265NALUs || d.bytes > maxH265Bytes {
		d.take()
		return errH265Large
	}
	return nil
}

// normalise returns the payload as the library reads it.
func (d *h265Depacketizer) normalise(p []byte) ([]byte, error) {
	const (
		header = 2 // of a NALU
		start  = 0x80
		end    = 0x40
	)
	switch t := h26x.TypeOf(streams.H265, p); {
	case t == h26x.NoType:
		return nil, errH265Short
	case t == h26x.RTPH265AP:
		return cleanAggregation(p, header, d.order), nil
	case t != h26x.RTPH265FU:
		return d.withoutOrder(p, header)
	case len(p) <= header:
		return nil, errH265Short
	case p[header]&start == 0:
		return p, nil
	}
	p, err := d.withoutOrder(p, header+1)
	if err != nil || p[header]&end == 0 {
		return p, err
	}
	const layer = 0x81 // what a fragment's first byte has of the NALU's
	return slices.Concat([]byte{p[0]&layer | p[header]&0x3f<<1, p[1]}, p[header+1:]), nil
}

// withoutOrder returns a payload without the decoding order number at an offset.
func (d *h265Depacketizer) withoutOrder(p []byte, at int) ([]byte, error) {
	switch {
	case !d.order:
		return p, nil
	case len(p) < at+2:
		return nil, errH265Short
	}
	return slices.Concat(p[:at], p[at+2:]), nil
}
