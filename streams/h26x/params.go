package h26x

import (
	"bytes"

	"gridpost/streams"
)

// Bounds of what a Params stores. Real streams have one set of each kind of a hundred bytes or less.
const (
	maxSets    = 32   // of one kind
	maxSetSize = 4096 // bytes
)

// Params keeps the parameter sets in force in one stream, so that every keyframe can begin with them. It is not safe
// for concurrent use.
type Params struct {
	codec streams.Codec
	kinds [3][]parameterSet // VPS, SPS, PPS
}

type parameterSet struct {
	id   uint32
	nalu []byte
}

// NewParams returns an empty collection for a stream of codec.
func NewParams(codec streams.Codec) *Params { return &Params{codec: codec} }

// Observe stores a copy of nalu if it is a parameter set; it replaces an earlier one with the same ID. Sets that
// are too large, not readable or too many are ignored.
func (p *Params) Observe(nalu []byte) {
	kind, id, ok := p.identify(nalu)
	if !ok || len(nalu) > maxSetSize {
		return
	}
	sets := p.kinds[kind]
	for i := range sets {
		if sets[i].id == id {
			if !bytes.Equal(sets[i].nalu, nalu) {
				sets[i].nalu = bytes.Clone(nalu) // access units published earlier share the old one
			}
			return
		}
	}
	if len(sets) < maxSets {
		p.kinds[kind] = append(sets, parameterSet{id, bytes.Clone(nalu)})
	}
}

// Complete reports whether a decoder could start with the sets observed so far.
func (p *Params) Complete() bool {
	vps := p.codec != streams.H265 || len(p.kinds[0]) > 0
	return vps && len(p.kinds[1]) > 0 && len(p.kinds[2]) > 0
}

// NALUs returns the parameter sets in the order that a decoder needs.
func (p *Params) NALUs() [][]byte {
	var nalus [][]byte
	for _, sets := range p.kinds {
		for _, s := range sets {
			nalus = append(nalus, s.nalu)
		}
	}
	return nalus
}

// Assemble returns the NALUs of an access unit, made of those that arrived for one frame: it observes parameter
// sets, removes delimiters, filler and empty NALUs, and puts the parameter sets in force before a keyframe.
// ok is false when nalus contain no frame, or a keyframe for which parameter sets are missing.
// The result may share memory with nalus.
func (p *Params) Assemble(nalus [][]byte) (au [][]byte, keyframe, ok bool) {
	for _, nalu := range nalus {
		p.Observe(nalu)
	}
	if !ContainsFrame(p.codec, nalus) {
		return nil, false, false
	}
	keyframe = IsKeyframe(p.codec, nalus)
	if keyframe && !p.Complete() {
		return nil, true, false
	}
	if keyframe {
		au = p.NALUs()
	}
	for _, nalu := range nalus {
		if IsDiscardable(p.codec, nalu) || keyframe && IsParameterSet(p.codec, nalu) {
			continue
		}
		au = append(au, nalu)
	}
	return au, keyframe, true
}

// identify returns the kind of a parameter set and its ID.
func (p *Params) identify(nalu []byte) (kind int, id uint32, ok bool) {
	t := TypeOf(p.codec, nalu)
	if !IsParameterSet(p.codec, nalu) || len(nalu) < 4 {
		return 0, 0, false
	}
	if p.codec == streams.H264 {
		if t == H264SPS {
			r := newBitReader(nalu[4:min(len(nalu), 20)]) // after profile, constraints and level
			id = r.ue()
			return 1, id, !r.failed && id < 32
		}
		r := newBitReader(nalu[1:min(len(nalu), 20)])
		id = r.ue()
		return 2, id, !r.failed && id < 256
	}
	r := newBitReader(nalu[2:min(len(nalu), 200)])
	switch t {
	case H265VPS:
		return 0, r.bits(4), !r.failed
	case H265SPS:
		r.skip(4)
		layers := int(r.bits(3))
		r.skip(1)
		skipProfileTierLevel(r, layers)
		id = r.ue()
		return 1, id, !r.failed && id < 16
	default:
		id = r.ue()
		return 2, id, !r.failed && id < 64
	}
}
