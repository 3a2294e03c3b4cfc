// Package streamtest publishes synthetic video for tests.
package streamtest

import (
	"context"
	"time"

	"gridpost/streams"
)

// SPS returns a sequence parameter set (H.264, 7.3.2.1) of 1920x1080 in the profile High at level 4.
func SPS() []byte {
	return []byte{
		0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
	}
}

// Publish publishes 25 H.264 frames of 8,000 bytes a second until ctx ends; every 25th is a keyframe. They cannot be
// decoded.
func Publish(ctx context.Context, s *streams.Stream) {
	const interval = 40 * time.Millisecond
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for n := 0; ; n++ {
		u := &streams.AccessUnit{Codec: streams.H264, Session: 1, PTS: time.Duration(n) * interval, Arrived: time.Now(), Keyframe: n%25 == 0}
		nalu := make([]byte, 8000)
		nalu[0] = 0x41
		if u.Keyframe {
			nalu[0] = 0x65
			u.NALUs = [][]byte{SPS(), {0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0}}
		}
		u.NALUs = append(u.NALUs, nalu)
		s.Publish(u)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
