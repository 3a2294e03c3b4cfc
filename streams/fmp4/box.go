package fmp4

import (
	"encoding/binary"
	"hash/crc32"
)

// Sizes of boxes in bytes (ISO/IEC 14496-12).
const (
	boxHeader = 8  // size and type, section 4.2
	lengthBox = 20 // movie extends header of version 1, section 8.8.2
	indexHead = 40 // segment index of version 1 without its references, section 8.16.3
	reference = 12 // one of them

	// A producer reference time (section 8.16.5) stands before each fragment, and before that a free box (section 8.1.2) with the
	// checksum of both.
	referenceBox = 32
	checksumBox  = 12

	indexRoom = indexHead + maxReferences*reference + boxHeader // and a free box behind it
)

// box is where a box is in a slice. Boxes of 64-bit sizes, and those that go on to the end of the file, are not known here:
// recordings have none.
type box struct {
	start, size int
	kind        string
}

// next returns the box that begins at a position before end; ok is false if there is no whole one.
func next(b []byte, start, end int) (out box, ok bool) {
	if start < 0 || end > len(b) || end-start < boxHeader {
		return box{}, false
	}
	size := binary.BigEndian.Uint32(b[start:])
	if size < boxHeader || uint64(size) > uint64(end-start) {
		return box{}, false
	}
	return box{start: start, size: int(size), kind: string(b[start+4 : start+8])}, true
}

// child returns the first box of a kind within another. A parent without a kind is the whole slice.
func child(b []byte, parent box, kind string) (box, bool) {
	at, end := parent.start, parent.start+parent.size
	if parent.kind != "" {
		at += boxHeader
	}
	for {
		c, ok := next(b, at, end)
		if !ok {
			return box{}, false
		}
		if c.kind == kind {
			return c, true
		}
		at += c.size
	}
}

// body returns what is in a box.
func (x box) body(b []byte) []byte { return b[x.start+boxHeader : x.start+x.size] }

// putChecksum writes the free box at the beginning of a fragment: the CRC-32C (RFC 3720, appendix B.4) of what is behind it.
func putChecksum(b []byte) {
	binary.BigEndian.PutUint32(b, checksumBox)
	copy(b[4:], "free")
	binary.BigEndian.PutUint32(b[boxHeader:], checksum(b[checksumBox:]))
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
