package h26x

import (
	"errors"
	"fmt"

	"gridpost/streams"
)

// ErrParameterSet says that a sequence parameter set could not be read.
var ErrParameterSet = errors.New("sequence parameter set is not readable")

// maxSide bounds a frame's width and height in pixels: the largest level of either standard stays
// below it.
const maxSide = 16384

// Size returns the width and height in pixels of the frames that the sequence parameter set sps
// describes, after cropping.
func Size(codec streams.Codec, sps []byte) (width, height int, err error) {
	s, err := readSequence(codec, sps)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the frame size: %w", err)
	}
	if s.width == 0 || s.height == 0 || s.width > maxSide || s.height > maxSide {
		return 0, 0, fmt.Errorf("reading the frame size: %w", ErrParameterSet)
	}
	return int(s.width), int(s.height), nil
}

// SizeOf returns the size of the frames that the first readable sequence parameter set among
// nalus describes.
func SizeOf(codec streams.Codec, nalus [][]byte) (width, height int, err error) {
	err = fmt.Errorf("reading the frame size: %w: there is none", ErrParameterSet)
	for _, nalu := range nalus {
		t := TypeOf(codec, nalu)
		if codec == streams.H264 && t != H264SPS || codec == streams.H265 && t != H265SPS {
			continue
		}
		if width, height, err = Size(codec, nalu); err == nil {
			return width, height, nil
		}
	}
	return 0, 0, err
}

// chroma264 reads what only the high profiles have and returns ChromaArrayType.
func chroma264(r *bitReader) uint32 {
	chroma := r.ue() // chroma_format_idc
	separate := false
	lists := 8
	if chroma == 3 {
		separate = r.flag()
		lists = 12
	}
	r.ue()        // bit_depth_luma_minus8
	r.ue()        // bit_depth_chroma_minus8
	r.skip(1)     // qpprime_y_zero_transform_bypass_flag
	if r.flag() { // seq_scaling_matrix_present_flag
		for i := range lists {
			if r.flag() {
				skipScalingList(r, i < 6)
			}
		}
	}
	if separate {
		return 0
	}
	return chroma
}

// skipScalingList reads past a scaling list (ITU-T H.264, section 7.3.2.1.1.1).
func skipScalingList(r *bitReader, small bool) {
	n := 64
	if small {
		n = 16
	}
	last, next := int32(8), int32(8)
	for range n {
		if next != 0 {
			next = (last + r.se()) & 0xff
		}
		if next != 0 {
			last = next
		}
	}
}

// cropUnits returns how many pixels a unit of cropping is, for a chroma format (table 6-1).
func cropUnits(chroma uint32) (x, y uint32) {
	switch chroma {
	case 1:
		return 2, 2
	case 2:
		return 2, 1
	}
	return 1, 1
}

// crop reads the four offsets in the order left, right, top, bottom. Offsets that leave nothing give 0.
func applyCropping(r *bitReader, w, h, unitX, unitY uint32) (uint32, uint32) {
	left, right, top, bottom := r.ue(), r.ue(), r.ue(), r.ue()
	dx := (uint64(left) + uint64(right)) * uint64(unitX)
	dy := (uint64(top) + uint64(bottom)) * uint64(unitY)
	if dx >= uint64(w) || dy >= uint64(h) {
		return 0, 0
	}
	return w - uint32(dx), h - uint32(dy)
}

// skipProfileTierLevel reads past profile_tier_level(1, layers) (ITU-T H.265, section 7.3.3).
func skipProfileTierLevel(r *bitReader, layers int) {
	r.skip(88 + 8) // the general profile, and general_level_idc
	if layers == 0 {
		return
	}
	var profile, level [8]bool
	for i := range layers {
		profile[i], level[i] = r.flag(), r.flag()
	}
	r.skip(2 * (8 - layers))
	for i := range layers {
		if profile[i] {
			r.skip(88)
		}
		if level[i] {
			r.skip(8)
		}
	}
}
