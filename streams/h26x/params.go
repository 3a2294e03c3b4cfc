package h26x

import (
	"bytes"

	"gridpost/streams"
)

// Bounds of what a Params keeps. Real streams have one set of each kind of a hundred bytes or less.
const (
	maxSets    = 32   // of one kind
	maxSetSize = 4096 // bytes
)

// Params keeps the parameter sets in force in one stream, so that every key unit can begin with them. It is not for
// concurrent use.
type Params struct {
	codec streams.Codec
	kinds [3][]paramSet // VPS, SPS, PPS
}

type paramSet struct {
	id   uint32
	nalu []byte
}

// NewParams returns an empty collection for a stream of codec.
func NewParams(codec streams.Codec) *Params { return &Params{codec: codec} }

// Observe keeps nalu if it is a parameter set, in place of an earlier one with the same ID. Sets that are too
// large, not readable or too many are left out. It copies nalu.
func (p *Params) Observe(nalu []byte) {
	kind, id, ok := p.identify(nalu)
	if !ok || len(nalu) > maxSetSize {
		return
	}
	sets := p.kinds[kind]
	for i := range sets {
		if sets[i].id == id {
			if !bytes.Equal(sets[i].nalu, nalu) {
				sets[i].nalu = bytes.Clone(nalu) // units published earlier share the old one
			}
			return
		}
	}
	if len(sets) < maxSets {
		p.kinds[kind] = append(sets, paramSet{id, bytes.Clone(nalu)})
	}
}

// Complete reports whether a decoder could start with what is kept.
func (p *Params) Complete() bool {
	vps := p.codec != streams.H265 || len(p.kinds[0]) > 0
	return vps && len(p.kinds[1]) > 0 && len(p.kinds[2]) > 0
}

// NALUs returns the kept parameter sets in the order that a decoder wants them.
func (p *Params) NALUs() [][]byte {
	var nalus [][]byte
	for _, sets := range p.kinds {
		for _, s := range sets {
			nalus = append(nalus, s.nalu)
		}
	}
	return nalus
}

// Assemble makes the NALUs of a unit from those that came for one picture: it observes parameter sets,
// leaves out delimiters, filler and empty NALUs, and lets a key unit begin with the parameter sets in force.
// ok is false when nalus carry no picture, or a key picture for which parameter sets are missing.
// The result may share memory with nalus.
func (p *Params) Assemble(nalus [][]byte) (unit [][]byte, key, ok bool) {
	for _, nalu := range nalus {
		p.Observe(nalu)
	}
	if !ContainsFrame(p.codec, nalus) {
		return nil, false, false
	}
	key = IsKeyframe(p.codec, nalus)
	if key && !p.Complete() {
		return nil, true, false
	}
	if key {
		unit = p.NALUs()
	}
	for _, nalu := range nalus {
		if IsDiscardable(p.codec, nalu) || key && IsParameterSet(p.codec, nalu) {
			continue
		}
		unit = append(unit, nalu)
	}
	return unit, key, true
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
