package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// SQLite opens a write-ahead log that it cannot verify without an error, and leaves out
// everything from the first frame that it does not accept: commits that were acknowledged are
// gone and nobody is told. checkWAL reads the log first, by
// https://www.sqlite.org/fileformat2.html#walformat, and finds out whether that will happen.
//
// These are normal: no log, an empty one, one shorter than a header (its making was interrupted
// before anything was committed), valid frames, frames of an earlier use of the file behind them
// (the salts are older), a torn last transaction that was not committed, zeros where a file system
// has grown a file but not written it. These are damage: a header that is not valid, a frame of
// this use of the file with a wrong checksum before a commit, bytes that are no frame at all, and
// fewer frames than the shared-memory index says were committed.
const (
	walHeaderSize = 32
	walFrameSize  = 24 // of a frame's header; the page follows
	walMagic      = 0x377f0682
	walVersion    = 3007000

	// maxSaltAge bounds how often a log can have been reused since a frame in it was written; each
	// reuse adds one to the first salt.
	maxSaltAge = 1 << 24
)

// errWAL says that SQLite would leave out frames of a write-ahead log that may be commits.
var errWAL = errors.New("the write-ahead log is damaged")

// checkWAL returns an error that is errWAL when the log at path has lost commits. frames is the
// number of frames up to the last commit that SQLite will accept.
func checkWAL(path, shm string) (frames uint32, err error) {
	index, err := os.ReadFile(shm)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, missingWAL(index)
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	frames, err = readWAL(f, nil)
	if err != nil {
		return frames, err
	}
	var header [walHeaderSize]byte
	if _, err := f.ReadAt(header[:], 0); err != nil {
		return frames, missingWAL(index) // an empty log
	}
	if committed, ok := indexFrames(index); ok && string(index[32:40]) == string(header[16:24]) && committed > frames {
		return frames, fmt.Errorf("%w: %d frames were committed, %d are valid", errWAL, committed, frames)
	}
	return frames, nil
}

// readWAL reads a log and calls page, which may be nil, for each page of each valid frame. It
// returns the number of frames up to the last commit.
func readWAL(r io.Reader, page func(number, commit uint32, data []byte) error) (committed uint32, err error) {
	header := make([]byte, walHeaderSize)
	switch n, err := io.ReadFull(r, header); {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && n < walHeaderSize:
		return 0, nil
	case err != nil:
		return 0, err
	}
	w := walReader{salts: [2]uint32{be(header, 16), be(header, 20)}}
	magic, size := be(header, 0), be(header, 8)
	w.order = binary.LittleEndian
	if magic&1 == 1 {
		w.order = binary.BigEndian
	}
	w.sum(header[:24])
	if magic&^1 != walMagic || be(header, 4) != walVersion || size < 512 || size > 65536 || size&(size-1) != 0 ||
		w.s0 != be(header, 24) || w.s1 != be(header, 28) {
		return 0, fmt.Errorf("%w: its header is not valid", errWAL)
	}
	frame := make([]byte, walFrameSize+int(size))
	for count := uint32(1); ; count++ {
		if _, err := io.ReadFull(r, frame); err != nil {
			return committed, end(err)
		}
		if !w.accept(frame) {
			return committed, w.rest(r, frame, count)
		}
		if page != nil {
			if err := page(be(frame, 0), be(frame, 4), frame[walFrameSize:]); err != nil {
				return committed, err
			}
		}
		if be(frame, 4) != 0 {
			committed = count
		}
	}
}

type walReader struct {
	order  binary.ByteOrder
	salts  [2]uint32
	s0, s1 uint32 // checksum of all frames so far
}

// sum adds data, whose length is a multiple of 8, to the checksum.
func (w *walReader) sum(data []byte) {
	for i := 0; i+8 <= len(data); i += 8 {
		w.s0 += w.order.Uint32(data[i:]) + w.s1
		w.s1 += w.order.Uint32(data[i+4:]) + w.s0
	}
}

// current says whether a frame belongs to this use of the log.
func (w *walReader) current(frame []byte) bool {
	return be(frame, 8) == w.salts[0] && be(frame, 12) == w.salts[1]
}

// accept says whether SQLite accepts a frame as the next one.
func (w *walReader) accept(frame []byte) bool {
	if !w.current(frame) || be(frame, 0) == 0 {
		return false
	}
	w.sum(frame[:8])
	w.sum(frame[walFrameSize:])
	return w.s0 == be(frame, 16) && w.s1 == be(frame, 20)
}

// rest judges what follows the last frame that SQLite accepts. frame is the first of it.
func (w *walReader) rest(r io.Reader, frame []byte, number uint32) error {
	first := true
	for {
		age := w.salts[0] - be(frame, 8)
		switch {
		case w.current(frame):
			if !first && be(frame, 4) != 0 {
				return fmt.Errorf("%w: frame %d is not valid, and a commit follows it", errWAL, number)
			}
		case age >= 1 && age <= maxSaltAge && be(frame, 0) != 0, zero(frame):
		default:
			return fmt.Errorf("%w: frame %d or one after it is no frame", errWAL, number)
		}
		first = false
		if _, err := io.ReadFull(r, frame); err != nil {
			return end(err)
		}
	}
}

// end returns nil at the end of a log, also within a frame: that one was never committed.
func end(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

func zero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

func be(b []byte, at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }

// missingWAL says whether a log that is not there held commits: a process that was killed leaves
// the index, and in it how many frames were committed and how many of them the database has.
func missingWAL(index []byte) error {
	const backfilled = 2 * indexHeaderSize // where the second number is
	committed, ok := indexFrames(index)
	if !ok || len(index) < backfilled+4 {
		return nil
	}
	if n := binary.NativeEndian.Uint32(index[backfilled:]); n < committed {
		return fmt.Errorf("%w: it is gone, with %d frames that the database does not have", errWAL, committed-n)
	}
	return nil
}

const indexHeaderSize = 48

// indexFrames returns how many frames were committed by the shared-memory index, which survives
// the death of a process, if it is whole
// (https://www.sqlite.org/walformat.html#the_wal_index_header).
func indexFrames(shm []byte) (frames uint32, ok bool) {
	const size = indexHeaderSize
	if len(shm) < 2*size || string(shm[:size]) != string(shm[size:2*size]) {
		return 0, false
	}
	w := walReader{order: binary.NativeEndian}
	w.sum(shm[:40])
	native := func(at int) uint32 { return binary.NativeEndian.Uint32(shm[at:]) }
	if native(0) != walVersion || shm[12] == 0 || w.s0 != native(40) || w.s1 != native(44) {
		return 0, false
	}
	return native(16), true
}
