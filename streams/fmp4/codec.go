package fmp4

import (
	"fmt"
	"math/bits"
	"strings"
)

// parametersOfH264 returns the name of RFC 6381, section 3.3: profile, constraints and level of the SPS.
func parametersOfH264(sps []byte) string {
	if len(sps) < 4 {
		return "avc1.42001f"
	}
	return fmt.Sprintf("avc1.%02x%02x%02x", sps[1], sps[2], sps[3])
}

// parametersOfH265 returns the name of ISO/IEC 14496-15, section E.3: profile space and profile, the compatibility flags
// in reverse, tier and level, and the constraint bytes without the zeros at their end.
func parametersOfH265(sps []byte) string {
	const general = 3 // after the NALU's header, and the ID of the VPS with the number of layers
	b := withoutEmulationPrevention(sps)
	if len(b) < general+12 {
		return "hev1.1.6.L93.B0"
	}
	b = b[general:]
	space, tier := []string{"", "A", "B", "C"}[b[0]>>6], "L"
	if b[0]&0x20 != 0 {
		tier = "H"
	}
	compatible := bits.Reverse32(uint32(b[1])<<24 | uint32(b[2])<<16 | uint32(b[3])<<8 | uint32(b[4]))
	var name strings.Builder
	fmt.Fprintf(&name, "hev1.%s%d.%X.%s%d", space, b[0]&0x1f, compatible, tier, b[11])
	constraints := b[5:11]
	for len(constraints) > 0 && constraints[len(constraints)-1] == 0 {
		constraints = constraints[:len(constraints)-1]
	}
	for _, c := range constraints {
		fmt.Fprintf(&name, ".%X", c)
	}
	return name.String()
}

// withoutEmulationPrevention returns the payload of a NALU (ITU-T H.265, section 7.3.1.1).
func withoutEmulationPrevention(nalu []byte) []byte {
	out := make([]byte, 0, len(nalu))
	zeros := 0
	for _, b := range nalu {
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		if out = append(out, b); b == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return out
}
