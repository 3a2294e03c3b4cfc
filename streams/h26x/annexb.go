package h26x

import "bytes"

// AppendAnnexB appends nalus to dst in the byte stream form, each after a four-byte start code
// (ITU-T H.264, annex B).
func AppendAnnexB(dst []byte, nalus [][]byte) []byte {
	for _, nalu := range nalus {
		dst = append(dst, 0, 0, 0, 1)
		dst = append(dst, nalu...)
	}
	return dst
}

// maxNALUs bounds how many NALUs SplitAnnexB returns; a picture of either standard has fewer slices.
const maxNALUs = 1024

// SplitAnnexB returns the NALUs of a byte stream, which share its memory. Bytes before the first start
// code, empty NALUs and whatever follows the first 1024 are left out.
func SplitAnnexB(data []byte) [][]byte {
	startCode := []byte{0, 0, 1}
	start := bytes.Index(data, startCode)
	if start < 0 {
		return nil
	}
	var nalus [][]byte
	rest := data[start+len(startCode):]
	for len(nalus) < maxNALUs {
		nalu, after, more := bytes.Cut(rest, startCode)
		// The zero of a four-byte start code and trailing_zero_8bits belong to no NALU, and no
		// NALU ends with a zero byte (section 7.4.1.1).
		if nalu = bytes.TrimRight(nalu, "\x00"); len(nalu) > 0 {
			nalus = append(nalus, nalu[:len(nalu):len(nalu)])
		}
		if !more {
			break
		}
		rest = after
	}
	return nalus
}
