package fmp4

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"
)

// File is an open file that is written and read.
type File interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
}

// ErrEmpty says that a recording has no whole fragment.
var ErrEmpty = errors.New("the recording has no frames")

// gapLeast is the shortest time without frames that counts as a gap.
const gapLeast = timeScale / 2

// Seal ends a recording of size bytes, whether its writer closed it or was interrupted at any byte: it cuts off a torn end,
// writes the length and the index into the room that was left for them, and describes what is there. sign makes a signed
// manifest of the description, which is appended; nil: none is. Sealing again gives the same, so that an interrupted Seal is
// made good by the next one. The caller synchronizes the file.
func Seal(f File, size int64, sign func(Description) ([]byte, error)) (Description, error) {
	l, err := Scan(f, size)
	if err != nil {
		return Description{}, err
	}
	if len(l.Fragments) == 0 {
		return Description{}, ErrEmpty
	}
	if err := f.Truncate(l.End); err != nil {
		return Description{}, fmt.Errorf("sealing a recording: %w", err)
	}
	if err := writeIndex(f, l); err != nil {
		return Description{}, fmt.Errorf("sealing a recording: %w", err)
	}
	d, err := describe(f, l)
	if err != nil || sign == nil {
		return d, err
	}
	manifest, err := sign(d)
	if err != nil {
		return d, err
	}
	if _, err := f.WriteAt(manifest, l.End); err != nil {
		return d, fmt.Errorf("sealing a recording: %w", err)
	}
	return d, nil
}

// Description says what is in a recording.
type Description struct {
	Codec  string    `json:"codec"` // RFC 6381
	From   time.Time `json:"from"`  // of the first frame, by the edge's clock
	To     time.Time `json:"to"`    // when the last frame ends
	Frames int       `json:"frames"`
	Gaps   []Gap     `json:"gaps,omitempty"` // times without frames, at most MaxGaps
	Size   int64     `json:"size"`           // bytes
	SHA256 string    `json:"sha256"`         // of these bytes, in hexadecimal
	Parts  []Part    `json:"parts"`          // the bytes again, part by part, so that what was changed can be named
}

// MaxGaps bounds the gaps of a Description.
const MaxGaps = 100

// Gap is a time without frames.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Part is a part of a file: its beginning, or a fragment.
type Part struct {
	At     float64 `json:"at"`   // seconds from the first frame on
	Size   int64   `json:"size"` // bytes
	SHA256 string  `json:"sha256"`
}

func describe(r io.ReaderAt, l *Layout) (Description, error) {
	first, last := l.Fragments[0], l.Fragments[len(l.Fragments)-1]
	d := Description{Codec: l.Codec, From: first.Taken, To: first.Taken.Add(duration(last.Time + last.Duration - first.Time)), Size: l.End}
	whole := sha256.New()
	part := func(at uint64, offset, size int64) error {
		h := sha256.New()
		if _, err := io.Copy(io.MultiWriter(whole, h), io.NewSectionReader(r, offset, size)); err != nil {
			return fmt.Errorf("hashing a recording: %w", err)
		}
		d.Parts = append(d.Parts, Part{At: duration(at).Seconds(), Size: size, SHA256: hex.EncodeToString(h.Sum(nil))})
		return nil
	}
	if err := part(0, 0, l.Header); err != nil {
		return d, err
	}
	end := first.Time
	for _, f := range l.Fragments {
		if f.Time >= end+gapLeast && len(d.Gaps) < MaxGaps {
			d.Gaps = append(d.Gaps, Gap{first.Taken.Add(duration(end - first.Time)), first.Taken.Add(duration(f.Time - first.Time))})
		}
		end = f.Time + f.Duration
		d.Frames += f.Frames
		if err := part(f.Time-first.Time, f.Offset, f.Size); err != nil {
			return d, err
		}
	}
	d.SHA256 = hex.EncodeToString(whole.Sum(nil))
	return d, nil
}

// duration returns a time in units of 1/90000 s, to the microsecond.
func duration(t uint64) time.Duration {
	return time.Duration(t*1e6/timeScale) * time.Microsecond
}

// writeIndex writes the length and the index of a file into the room that Recording left.
func writeIndex(w File, l *Layout) error {
	first, last := l.Fragments[0], l.Fragments[len(l.Fragments)-1]
	head := make([]byte, l.Header-indexRoom)
	if _, err := w.ReadAt(head, 0); err != nil {
		return err
	}
	moov, _ := child(head, box{size: len(head)}, "moov")
	mvex, _ := child(head, moov, "mvex")
	length, ok := child(head, mvex, "mehd")
	if !ok {
		return ErrNotRecording
	}
	b := binary.BigEndian.AppendUint64(nil, last.Time+last.Duration-first.Time)
	if _, err := w.WriteAt(b, int64(length.start)+boxHeader+4); err != nil {
		return err
	}
	_, err := w.WriteAt(index(l), l.Header-indexRoom)
	return err
}

// index returns the segment index of a file and the free box behind it.
func index(l *Layout) []byte {
	const startsWithKeyframe = 1<<31 | 1<<28 // a stream access point of type 1
	together := (len(l.Fragments) + maxReferences - 1) / maxReferences
	count := (len(l.Fragments) + together - 1) / together
	size := indexHead + count*reference
	b := binary.BigEndian.AppendUint32(nil, uint32(size))
	b = append(b, "sidx\x01\x00\x00\x00"...)
	b = binary.BigEndian.AppendUint32(b, trackID)
	b = binary.BigEndian.AppendUint32(b, timeScale)
	b = binary.BigEndian.AppendUint64(b, l.Fragments[0].Time)
	b = binary.BigEndian.AppendUint64(b, uint64(indexRoom-size)) // from the end of this box to the first fragment
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(count))
	for i := 0; i < len(l.Fragments); i += together {
		group := l.Fragments[i:min(i+together, len(l.Fragments))]
		last := group[len(group)-1]
		until := last.Time + last.Duration
		if next := i + together; next < len(l.Fragments) {
			until = l.Fragments[next].Time // a gap belongs to what is before it
		}
		b = binary.BigEndian.AppendUint32(b, uint32(last.Offset+last.Size-group[0].Offset))
		b = binary.BigEndian.AppendUint32(b, uint32(until-group[0].Time))
		access := uint32(0)
		if group[0].Keyframe {
			access = startsWithKeyframe
		}
		b = binary.BigEndian.AppendUint32(b, access)
	}
	room := make([]byte, indexRoom-size)
	binary.BigEndian.PutUint32(room, uint32(len(room)))
	copy(room[4:], "free")
	return append(b, room...)
}
