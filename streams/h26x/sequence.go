package h26x

import (
	"fmt"

	"gridpost/streams"
)

// sequence is what Gridpost reads of a sequence parameter set.
type sequence struct {
	width, height uint32 // pixels, after cropping
	reorder       int    // frames that may precede another one in decoding order and follow it in output order; -1: not said
}

// readSequence reads a sequence parameter set. The error wraps ErrParameterSet.
func readSequence(codec streams.Codec, sps []byte) (sequence, error) {
	s, ok := sequence{reorder: -1}, false
	switch t := TypeOf(codec, sps); {
	case codec == streams.H264 && t == H264SPS:
		s, ok = readSequence264(sps[1:])
	case codec == streams.H265 && t == H265SPS:
		s, ok = readSequence265(sps[2:])
	default:
		return s, fmt.Errorf("%w: NALU type %d of %s", ErrParameterSet, t, codec)
	}
	if !ok {
		return s, ErrParameterSet
	}
	return s, nil
}

// maxReorder bounds the number of frames that are reordered: the decoded picture buffer of either standard
// holds 16.
const maxReorder = 16

// ReorderDepth returns how many frames the sequence parameter set among nalus allows to precede another one in
// decoding order and follow it in output order: 0 means that there are no B-frames that change the order.
// known is false where it does not say.
func ReorderDepth(codec streams.Codec, nalus [][]byte) (depth int, known bool) {
	for _, nalu := range nalus {
		if s, err := readSequence(codec, nalu); err == nil && s.reorder >= 0 {
			return s.reorder, true
		}
	}
	return 0, false
}

// readSequence264 reads ITU-T H.264, section 7.3.2.1.1.
func readSequence264(b []byte) (s sequence, ok bool) {
	r := newBitReader(b)
	s.reorder = -1
	profile := r.bits(8)
	r.skip(16) // constraints, level
	r.ue()     // seq_parameter_set_id
	chroma := uint32(1)
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		chroma = chroma264(r)
	case 66: // Baseline has no B slices
		s.reorder = 0
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
			return s, false
		}
		for range n {
			r.se()
		}
	case 2: // output order is decoding order (section 8.2.1.3)
		s.reorder = 0
	}
	r.ue()    // max_num_ref_frames
	r.skip(1) // gaps_in_frame_num_value_allowed_flag
	w, h := r.ue(), r.ue()
	if w >= maxSide/16 || h >= maxSide/16 { // macroblocks, less one
		return s, false
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
	s.width, s.height = w, h
	ok = !r.failed
	if n, said := reorderOfVUI(r); said && s.reorder < 0 {
		s.reorder = n
	}
	return s, ok
}

// reorderOfVUI reads the video usability information up to max_num_reorder_frames (ITU-T H.264, section E.1.1).
func reorderOfVUI(r *bitReader) (n int, said bool) {
	if !r.flag() { // vui_parameters_present_flag
		return 0, false
	}
	if r.flag() && r.bits(8) == 255 { // aspect_ratio_idc: Extended_SAR
		r.skip(32)
	}
	if r.flag() { // overscan_info_present_flag
		r.skip(1)
	}
	if r.flag() { // video_signal_type_present_flag
		r.skip(4)
		if r.flag() {
			r.skip(24)
		}
	}
	if r.flag() { // chroma_loc_info_present_flag
		r.ue()
		r.ue()
	}
	if r.flag() { // timing_info_present_flag
		r.skip(65)
	}
	hrd := false
	for range 2 { // NAL, VCL
		if r.flag() {
			hrd = true
			skipHRD(r)
		}
	}
	if hrd {
		r.skip(1) // low_delay_hrd_flag
	}
	r.skip(1)      // pic_struct_present_flag
	if !r.flag() { // bitstream_restriction_flag
		return 0, false
	}
	r.skip(1)
	for range 4 {
		r.ue()
	}
	depth := r.ue() // max_num_reorder_frames
	if r.failed || depth > maxReorder {
		return 0, false
	}
	return int(depth), true
}

// skipHRD reads past hrd_parameters (ITU-T H.264, section E.1.2).
func skipHRD(r *bitReader) {
	count := r.ue() // cpb_cnt_minus1
	if count > 31 {
		r.failed = true
		return
	}
	r.skip(8)
	for range count + 1 {
		r.ue()
		r.ue()
		r.skip(1)
	}
	r.skip(20)
}

// readSequence265 reads ITU-T H.265, section 7.3.2.2.1, up to the bounds of the decoded picture buffer.
func readSequence265(b []byte) (s sequence, ok bool) {
	r := newBitReader(b)
	s.reorder = -1
	r.skip(4) // sps_video_parameter_set_id
	layers := int(r.bits(3))
	r.skip(1) // sps_temporal_id_nesting_flag
	skipProfileTierLevel(r, layers)
	r.ue() // sps_seq_parameter_set_id
	chroma := r.ue()
	if chroma == 3 && r.flag() { // separate_colour_plane_flag
		chroma = 0
	}
	s.width, s.height = r.ue(), r.ue()
	if r.flag() { // conformance_window_flag
		x, y := cropUnits(chroma)
		s.width, s.height = applyCropping(r, s.width, s.height, x, y)
	}
	ok = !r.failed
	r.ue() // bit_depth_luma_minus8
	r.ue() // bit_depth_chroma_minus8
	r.ue() // log2_max_pic_order_cnt_lsb_minus4
	entries := 1
	if r.flag() { // sps_sub_layer_ordering_info_present_flag
		entries = layers + 1
	}
	depth := uint32(0)
	for range entries { // the last one is that of all layers
		r.ue()
		depth = r.ue() // sps_max_num_reorder_pics
		r.ue()
	}
	if !r.failed && depth <= maxReorder {
		s.reorder = int(depth)
	}
	return s, ok
}

// HasBSlices reports whether the first slice among the NALUs of a frame of H.264 is a B slice (ITU-T H.264, table 7-6).
func HasBSlices(nalus [][]byte) bool {
	for _, nalu := range nalus {
		if t := TypeOf(streams.H264, nalu); t != H264SliceNonIDR && t != h264PartitionA {
			continue
		}
		r := newBitReader(nalu[1:min(len(nalu), 16)])
		r.ue() // first_mb_in_slice
		kind := r.ue()
		return !r.failed && kind%5 == 1
	}
	return false
}

// IsRASL reports whether nalus are a random access skipped leading picture of H.265: it depends on frames before the
// keyframe that it follows, so that it cannot be decoded by who started there (ITU-T H.265, section 3.127).
func IsRASL(codec streams.Codec, nalus [][]byte) bool {
	if codec != streams.H265 {
		return false
	}
	for _, nalu := range nalus {
		if t := TypeOf(codec, nalu); isSlice(codec, t) {
			return t == H265RASLN || t == H265RASLR
		}
	}
	return false
}

// IsIDR reports whether nalus are an instantaneous decoding refresh: nothing that follows depends on anything before.
func IsIDR(codec streams.Codec, nalus [][]byte) bool {
	for _, nalu := range nalus {
		t := TypeOf(codec, nalu)
		if codec == streams.H264 && t == H264SliceIDR || codec == streams.H265 && (t == h265IDRWRADL || t == h265IDRNLP) {
			return true
		}
	}
	return false
}
