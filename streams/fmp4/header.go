package fmp4

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// header makes the initialization segments of one stream. It is for one goroutine.
type header struct {
	codec  streams.Codec
	sets   [][]byte
	params string // RFC 6381 name of the codec; empty before the first keyframe
}

// segment returns the initialization segment for a keyframe's parameter sets, nil if they are the same as before.
func (h *header) segment(nalus [][]byte) ([]byte, error) {
	if h.codec != streams.H264 && h.codec != streams.H265 {
		return nil, ErrCodec
	}
	var vps, sps, pps []byte
	var sets [][]byte
	for _, n := range nalus {
		if !h26x.IsParameterSet(h.codec, n) {
			continue
		}
		sets = append(sets, n)
		switch t := h26x.TypeOf(h.codec, n); {
		case h.codec == streams.H264 && t == h26x.H264SPS, h.codec == streams.H265 && t == h26x.H265SPS:
			sps = first(sps, n)
		case h.codec == streams.H265 && t == h26x.H265VPS:
			vps = first(vps, n)
		default:
			pps = first(pps, n)
		}
	}
	if same(h.sets, sets) {
		return nil, nil
	}
	var codec mp4.Codec
	var params string
	switch {
	case sps == nil || pps == nil || h.codec == streams.H265 && vps == nil:
		if h.params != "" {
			return nil, nil // those before stay in force
		}
		return nil, ErrNoKeyframe
	case h.codec == streams.H264:
		codec, params = &mp4.CodecH264{SPS: sps, PPS: pps}, parametersOfH264(sps)
	default:
		codec, params = &mp4.CodecH265{VPS: vps, SPS: sps, PPS: pps}, parametersOfH265(sps)
	}
	var out seekablebuffer.Buffer
	segment := fmp4.Init{Tracks: []*fmp4.InitTrack{{ID: trackID, TimeScale: timeScale, Codec: codec}}}
	if err := segment.Marshal(&out); err != nil {
		return nil, fmt.Errorf("writing the initialization segment: %w", err)
	}
	h.sets, h.params = sets, params
	return out.Bytes(), nil
}

func first(a, b []byte) []byte {
	if a != nil {
		return a
	}
	return b
}

func same(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// appendSample appends an access unit as a sample: NALUs behind their lengths (ISO/IEC 14496-15), without parameter
// sets, which are in the initialization segment.
func appendSample(b []byte, codec streams.Codec, nalus [][]byte) []byte {
	for _, n := range nalus {
		if h26x.IsParameterSet(codec, n) || h26x.IsDiscardable(codec, n) {
			continue
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(n))), n...)
	}
	return b
}
