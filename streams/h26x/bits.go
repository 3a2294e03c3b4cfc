package h26x

// bitReader reads the raw byte sequence payload of a NALU bit by bit. After the end, or a number
// that is too long, every read returns 0 and failed is set: the caller checks it once, at the end.
type bitReader struct {
	data   []byte // without emulation prevention bytes
	pos    int    // in bits
	failed bool
}

// maxHeader is how many bytes of a parameter set are read; real ones have a few hundred at most.
const maxHeader = 4096

// newBitReader returns a reader of the bytes after the NALU's header without the emulation prevention
// bytes (ITU-T H.264, section 7.4.1.1; H.265, section 7.4.2.1). It copies them.
func newBitReader(b []byte) *bitReader {
	b = b[:min(len(b), maxHeader)]
	data := make([]byte, 0, len(b))
	zeros := 0
	for _, c := range b {
		if zeros >= 2 && c == 3 {
			zeros = 0
			continue
		}
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
		data = append(data, c)
	}
	return &bitReader{data: data}
}

func (r *bitReader) bit() uint32 {
	if r.pos >= 8*len(r.data) {
		r.failed = true
		return 0
	}
	b := r.data[r.pos/8] >> (7 - r.pos%8) & 1
	r.pos++
	return uint32(b)
}

func (r *bitReader) flag() bool { return r.bit() == 1 }

// bits reads n bits, 0..32.
func (r *bitReader) bits(n int) uint32 {
	v := uint32(0)
	for range n {
		v = v<<1 | r.bit()
	}
	return v
}

func (r *bitReader) skip(n int) {
	r.pos += n
	if r.pos > 8*len(r.data) {
		r.failed = true
	}
}

// ue reads an unsigned Exp-Golomb number (ITU-T H.264, section 9.1).
func (r *bitReader) ue() uint32 {
	zeros := 0
	for r.bit() == 0 {
		if zeros++; zeros > 31 || r.failed {
			r.failed = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.bits(zeros)
}

// se reads a signed Exp-Golomb number (ITU-T H.264, section 9.1.1).
func (r *bitReader) se() int32 {
	v := r.ue()
	if v&1 == 1 {
		return int32(v/2 + 1)
	}
	return -int32(v / 2)
}
