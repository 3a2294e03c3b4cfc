package rtsptest

// This file writes H.264 by hand (ITU-T H.264, section 7.3), so that no recording has to be stored: Constrained Baseline,
// Width x Height, deblocking off. A keyframe is a grey picture whose last macroblocks are raw samples (I_PCM); the other
// frames change one macroblock of it.

// Width and Height are the size of the frames of H264 in pixels.
const Width, Height = 320, 240

const (
	macroblocks = Width / 16 * (Height / 16)
	rawBlocks   = 6  // of a keyframe
	videoFrames = 25 // after which the video begins again
)

// Frames returns the NALUs of the frames of H264. Each keyframe begins with SPS and PPS.
func Frames() [][][]byte {
	frames := make([][][]byte, videoFrames)
	for n := range frames {
		if n%GOP == 0 {
			frames[n] = [][]byte{sps(), pps(), keyframe(n)}
		} else {
			frames[n] = [][]byte{interframe(n)}
		}
	}
	return frames
}

func sps() []byte {
	b := &bits{}
	b.bytes(0x67, 66, 0xc0, 13) // profile, constraints, level
	b.ue(0)                     // seq_parameter_set_id
	b.ue(0)                     // log2_max_frame_num_minus4
	b.ue(2)                     // pic_order_cnt_type: the order of decoding
	b.ue(1)                     // max_num_ref_frames
	b.u(1, 0)                   // gaps_in_frame_num_value_allowed_flag
	b.ue(Width/16 - 1)
	b.ue(Height/16 - 1)
	b.u(1, 1) // frame_mbs_only_flag
	b.u(1, 1) // direct_8x8_inference_flag
	b.u(1, 0) // frame_cropping_flag
	b.u(1, 0) // vui_parameters_present_flag
	return b.nalu()
}

func pps() []byte {
	b := &bits{}
	b.bytes(0x68)
	b.ue(0)   // pic_parameter_set_id
	b.ue(0)   // seq_parameter_set_id
	b.u(2, 0) // entropy_coding_mode_flag, bottom_field_pic_order_in_frame_present_flag
	b.ue(0)   // num_slice_groups_minus1
	b.ue(0)   // num_ref_idx_l0_default_active_minus1
	b.ue(0)   // num_ref_idx_l1_default_active_minus1
	b.u(3, 0) // weighted_pred_flag, weighted_bipred_idc
	b.ue(0)   // pic_init_qp_minus26
	b.ue(0)   // pic_init_qs_minus26
	b.ue(0)   // chroma_qp_index_offset
	b.u(3, 4) // deblocking_filter_control_present_flag, constrained_intra_pred_flag, redundant_pic_cnt_present_flag
	return b.nalu()
}

const (
	sliceP, sliceI = 5, 7 // all slices of the picture are of this type
	typeDC16       = 3    // I_16x16_2_0_0: predicted, without residual
	typeRaw        = 25   // I_PCM; in a P slice five more
)

func keyframe(n int) []byte {
	b := &bits{}
	b.bytes(0x65)
	b.ue(0) // first_mb_in_slice
	b.ue(sliceI)
	b.ue(0)                 // pic_parameter_set_id
	b.u(4, 0)               // frame_num
	b.ue(uint(n / GOP % 2)) // idr_pic_id: another one than before
	b.u(2, 0)               // no_output_of_prior_pics_flag, long_term_reference_flag
	b.ue(0)                 // slice_qp_delta
	b.ue(1)                 // disable_deblocking_filter_idc
	for range macroblocks - rawBlocks {
		b.ue(typeDC16)
		b.ue(0)   // intra_chroma_pred_mode
		b.ue(0)   // mb_qp_delta
		b.u(1, 1) // coeff_token: no coefficients
	}
	for i := range rawBlocks {
		b.ue(typeRaw)
		b.samples(n + i)
	}
	return b.nalu()
}

func interframe(n int) []byte {
	b := &bits{}
	b.bytes(0x41)
	b.ue(0) // first_mb_in_slice
	b.ue(sliceP)
	b.ue(0)               // pic_parameter_set_id
	b.u(4, uint(n%GOP))   // frame_num
	b.u(3, 0)             // num_ref_idx_active_override_flag, ref_pic_list_modification_flag_l0, adaptive_ref_pic_marking_mode_flag
	b.ue(0)               // slice_qp_delta
	b.ue(1)               // disable_deblocking_filter_idc
	b.ue(macroblocks - 1) // mb_skip_run
	b.ue(typeRaw + 5)
	b.samples(n)
	return b.nalu()
}

// bits writes the bits of a NALU.
type bits struct {
	b    []byte
	free int // bits of the last byte that are not written
}

func (w *bits) bytes(b ...byte) { w.b = append(w.b, b...) }

// u writes the n lowest bits of v.
func (w *bits) u(n int, v uint) {
	for n--; n >= 0; n-- {
		if w.free == 0 {
			w.b, w.free = append(w.b, 0), 8
		}
		w.free--
		w.b[len(w.b)-1] |= byte(v>>n&1) << w.free
	}
}

// ue writes v as an Exp-Golomb code (section 9.1).
func (w *bits) ue(v uint) {
	n := 0
	for v+1 >= 1<<(n+1) {
		n++
	}
	w.u(n, 0)
	w.u(n+1, v+1)
}

// samples writes the 384 samples of a macroblock whose colour depends on n.
func (w *bits) samples(n int) {
	w.free = 0
	for i := range 384 {
		w.bytes(byte(64 + (n*9+i%16*4)%128))
	}
}

// nalu returns the NALU with its trailing bits and emulation prevention (section 7.4.1).
func (w *bits) nalu() []byte {
	w.u(1, 1)
	var out []byte
	zeros := 0
	for _, b := range w.b {
		if zeros == 2 && b <= 3 {
			out, zeros = append(out, 3), 0
		}
		if out = append(out, b); b == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return out
}
