package fmp4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4"
)

// Bounds of what Scan reads, in bytes.
const (
	mostHeader = 1 << 20  // the boxes before the first fragment
	mostMoof   = 1 << 20  // description of a fragment
	mostMedia  = 64 << 20 // data of a fragment
)

// ErrNotRecording says that a file does not begin as a Recording does.
var ErrNotRecording = errors.New("the file is not a recording")

// Fragment is a fragment of a file: frames that are decoded one after the other.
type Fragment struct {
	Offset, Size int64     // in the file, in bytes
	Time         uint64    // decoding time of the first frame in the file, in units of 1/90000 s
	Duration     uint64    // in the same units
	Taken        time.Time // when the first frame arrived at the edge, by the edge's clock
	Frames       int
	Keyframe     bool // it begins with one
}

// Layout is what is in a file.
type Layout struct {
	Codec     string // RFC 6381 name, such as avc1.64001f
	Header    int64  // bytes before the first fragment
	Fragments []Fragment
	End       int64 // where the last whole fragment ends; what follows is a manifest or a torn end
}

// Scan reads what a Recording wrote. It goes as far as whole fragments go, so that it reads what was on the disk when the power
// failed: a fragment counts if its checksum is right. It returns ErrNotRecording if not even the beginning is whole. It reads the whole file, and holds one fragment in memory.
func Scan(r io.ReaderAt, size int64) (*Layout, error) {
	head := make([]byte, min(size, mostHeader))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading a recording: %w", err)
	}
	l, err := scanHeader(head)
	if err != nil {
		return nil, err
	}
	for {
		f, err := scanFragment(r, l.End, size)
		if err != nil {
			return nil, fmt.Errorf("reading a recording: %w", err)
		}
		if f == nil {
			return l, nil
		}
		if n := len(l.Fragments); n > 0 && f.Time < l.Fragments[n-1].Time+l.Fragments[n-1].Duration {
			return l, nil // left over from an earlier use of the same room
		}
		l.Fragments = append(l.Fragments, *f)
		l.End += f.Size
	}
}

// scanHeader reads the boxes before the first fragment.
func scanHeader(b []byte) (*Layout, error) {
	whole := box{size: len(b)}
	kind, ok := child(b, whole, "ftyp")
	moov, ok2 := child(b, whole, "moov")
	if !ok || !ok2 || kind.start != 0 || moov.start != kind.size {
		return nil, ErrNotRecording
	}
	if mvex, ok := child(b, moov, "mvex"); !ok {
		return nil, ErrNotRecording
	} else if length, ok := child(b, mvex, "mehd"); !ok || length.size != lengthBox {
		return nil, ErrNotRecording
	}
	end := moov.start + moov.size
	codec, err := codecOf(b[:end])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRecording, err)
	}
	room := 0
	for room < indexRoom { // a free box, or the index and a free box
		x, ok := next(b, end+room, len(b))
		if !ok || x.kind != "free" && x.kind != "sidx" {
			return nil, ErrNotRecording
		}
		room += x.size
	}
	if room != indexRoom {
		return nil, ErrNotRecording
	}
	at := int64(end + room)
	return &Layout{Codec: codec, Header: at, End: at}, nil
}

// codecOf returns the name of the codec of an initialization segment.
func codecOf(segment []byte) (string, error) {
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(segment)); err != nil {
		return "", err
	}
	if len(init.Tracks) != 1 || init.Tracks[0].ID != trackID || init.Tracks[0].TimeScale != timeScale {
		return "", errors.New("it has other tracks")
	}
	switch c := init.Tracks[0].Codec.(type) {
	case *mp4.CodecH264:
		return parametersOfH264(c.SPS), nil
	case *mp4.CodecH265:
		return parametersOfH265(c.SPS), nil
	}
	return "", ErrCodec
}

// scanFragment reads the fragment at an offset; nil: there is no whole one.
func scanFragment(r io.ReaderAt, at, size int64) (*Fragment, error) {
	const before = checksumBox + referenceBox
	var head [before + boxHeader]byte
	if ok, err := readWhole(r, head[:], at, size); !ok {
		return nil, err
	}
	sum, ok := next(head[:], 0, len(head))
	taken, ok2 := next(head[:], checksumBox, len(head))
	moofSize := int64(binary.BigEndian.Uint32(head[before:]))
	if !ok || sum.kind != "free" || sum.size != checksumBox || !ok2 || taken.kind != "prft" || taken.size != referenceBox ||
		string(head[before+4:]) != "moof" || moofSize < boxHeader || moofSize > mostMoof {
		return nil, nil
	}
	var data [boxHeader]byte
	if ok, err := readWhole(r, data[:], at+before+moofSize, size); !ok {
		return nil, err
	}
	dataSize := int64(binary.BigEndian.Uint32(data[:]))
	if string(data[4:]) != "mdat" || dataSize < boxHeader || dataSize > mostMedia {
		return nil, nil
	}
	f := &Fragment{Offset: at, Size: before + moofSize + dataSize, Taken: referenceTime(taken.body(head[:]))}
	if at+f.Size > size {
		return nil, nil
	}
	b := make([]byte, f.Size-checksumBox)
	if ok, err := readWhole(r, b, at+checksumBox, size); !ok {
		return nil, err
	}
	if checksum(b) != binary.BigEndian.Uint32(sum.body(head[:])) || !f.describe(b[referenceBox:referenceBox+moofSize]) {
		return nil, nil
	}
	return f, nil
}

// readWhole reads len(b) bytes; false: the file has fewer, or err.
func readWhole(r io.ReaderAt, b []byte, at, size int64) (bool, error) {
	if at+int64(len(b)) > size {
		return false, nil
	}
	_, err := r.ReadAt(b, at)
	if errors.Is(err, io.EOF) {
		return false, nil // it was cut off meanwhile
	}
	return err == nil, err
}

// describe reads a movie fragment (ISO/IEC 14496-12 section 8.8) as Recording writes it; false: it is another.
func (f *Fragment) describe(b []byte) bool {
	const (
		flagOffset, flagDuration, flagSize, flagFlags, flagComposition = 0x01, 0x100, 0x200, 0x400, 0x800

		flagNonSync = 1 << 16
	)
	moof, ok := child(b, box{size: len(b)}, "moof")
	traf, ok2 := child(b, moof, "traf")
	tfdt, ok3 := child(b, traf, "tfdt")
	trun, ok4 := child(b, traf, "trun")
	if !ok || !ok2 || !ok3 || !ok4 {
		return false
	}
	if body := tfdt.body(b); len(body) != 12 || body[0] != 1 {
		return false
	} else if f.Time = binary.BigEndian.Uint64(body[4:]); f.Time > 1<<48 {
		return false
	}
	body := trun.body(b)
	if len(body) < 12 {
		return false
	}
	flags := binary.BigEndian.Uint32(body) & 0xffffff
	entry := 8
	for _, optional := range []uint32{flagFlags, flagComposition} {
		if flags&optional != 0 {
			entry += 4
		}
	}
	f.Frames = int(binary.BigEndian.Uint32(body[4:]))
	if flags&^(flagFlags|flagComposition) != flagOffset|flagDuration|flagSize || f.Frames == 0 || f.Frames > len(body)/entry || len(body) != 12+f.Frames*entry {
		return false
	}
	for i := range f.Frames {
		f.Duration += uint64(binary.BigEndian.Uint32(body[12+i*entry:]))
	}
	f.Keyframe = flags&flagFlags == 0 || binary.BigEndian.Uint32(body[12+8:])&flagNonSync == 0
	return true
}

// referenceTime returns the time of a producer reference time box, to the microsecond.
func referenceTime(body []byte) time.Time {
	const epoch = 2208988800 // seconds from 1900 to 1970
	seconds, fraction := binary.BigEndian.Uint32(body[8:]), binary.BigEndian.Uint32(body[12:])
	return time.Unix(int64(seconds)-epoch, int64(uint64(fraction)*1e9>>32)).UTC().Round(time.Microsecond)
}
