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
	var w, h uint32
	ok := false
	switch t := TypeOf(codec, sps); {
	case codec == streams.H264 && t == H264SPS:
		w, h, ok = size264(sps[1:])
	case codec == streams.H265 && t == H265SPS:
		w, h, ok = size265(sps[2:])
	default:
		return 0, 0, fmt.Errorf("reading the frame size: %w: NALU type %d of %s", ErrParameterSet, t, codec)
	}
	if !ok || w == 0 || h == 0 || w > maxSide || h > maxSide {
		return 0, 0, fmt.Errorf("reading the frame size: %w", ErrParameterSet)
	}
	return int(w), int(h), nil
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

// size264 reads a sequence parameter set (ITU-T H.264, section 7.3.2.1.1) up to its cropping.
func size264(b []byte) (w, h uint32, ok bool) {
	r := newBitReader(b)
	profile := r.bits(8)
	r.skip(16) // constraints, level
	r.ue()     // seq_parameter_set_id
	chroma := uint32(1)
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		chroma = chroma264(r)
	}
	r.ue() // log2_max_frame_num_minus4
	switch r.ue() {
	case 0:
		r.ue() // log2_max_pic_order_cnt_lsb_minus4
	case 1:
		r.skip(1)
		r.se()
		r.se()
		n := r.ue()
		if n > 255 { // num_ref_frames_in_pic_order_cnt_cycle
			return 0, 0, false
		}
		for range n {
			r.se()
		}
	}
	r.ue()    // max_num_ref_frames
	r.skip(1) // gaps_in_frame_num_value_allowed_flag
	w, h = r.ue(), r.ue()
	if w >= maxSide/16 || h >= maxSide/16 { // macroblocks, less one
		return 0, 0, false
	}
	w, h = 16*(w+1), 16*(h+1)
	fields := uint32(2)
	if r.flag() { // frame_mbs_only_flag
		fields = 1
	} else {
		r.skip(1)
	}
	h *= fields
	r.skip(1) // direct_8x8_inference_flag
	if r.flag() {
		cropX, cropY := cropUnits(chroma)
		w, h = applyCropping(r, w, h, cropX, cropY*fields)
	}
	return w, h, !r.failed
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

// size265 reads a sequence parameter set (ITU-T H.265, section 7.3.2.2.1) up to its conformance window.
func size265(b []byte) (w, h uint32, ok bool) {
	r := newBitReader(b)
	r.skip(4) // sps_video_parameter_set_id
	layers := int(r.bits(3))
	r.skip(1) // sps_temporal_id_nesting_flag
	skipProfileTierLevel(r, layers)
	r.ue() // sps_seq_parameter_set_id
	chroma := r.ue()
	if chroma == 3 && r.flag() { // separate_colour_plane_flag
		chroma = 0
	}
	w, h = r.ue(), r.ue()
	if r.flag() { // conformance_window_flag
		x, y := cropUnits(chroma)
		w, h = applyCropping(r, w, h, x, y)
	}
	return w, h, !r.failed
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
