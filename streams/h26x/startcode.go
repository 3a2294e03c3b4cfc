package h26x

import (
	"bytes"
	"slices"
)

// maxJoined bounds the NALUs that are found in one; with more, it is left as it is.
const maxJoined = 64

// SplitStartCodes divides those of nalus that hold several, separated by start codes (ITU-T H.264 and H.265, annex B): some
// cameras send the parameter sets and the slice of a keyframe as one NALU, or a start code before each. A NALU itself
// contains no start code. The result shares memory with nalus.
func SplitStartCodes(nalus [][]byte) [][]byte {
	startCode := []byte{0, 0, 1}
	first := slices.IndexFunc(nalus, func(nalu []byte) bool { return bytes.Contains(nalu, startCode) })
	if first < 0 {
		return nalus
	}
	split := slices.Clone(nalus[:first])
	for _, nalu := range nalus[first:] {
		parts := bytes.SplitN(nalu, startCode, maxJoined+1)
		if len(parts) > maxJoined {
			parts = [][]byte{nalu}
		}
		for _, part := range parts {
			if part = bytes.TrimRight(part, "\x00"); len(part) > 0 { // zeros may precede a start code
				split = append(split, part)
			}
		}
	}
	return split
}
