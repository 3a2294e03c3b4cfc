package decode

/*
#include "decode.h"
*/
import "C"

import (
	"fmt"
	"io"
	"math"
	"os"
)

// File reads the frames of a video file. It belongs to one goroutine.
type File struct {
	file     *os.File
	format   *C.AVFormatContext
	codec    *C.AVCodecContext
	packet   *C.AVPacket
	stream   C.int
	draining C.int
}

// NewFile reads the headers of an open video file and takes ownership of it. The caller closes the
// File. Files that the video refers to are not opened.
func NewFile(file *os.File) (*File, error) {
	C.gp_quiet()
	f := &File{file: file, packet: C.av_packet_alloc()}
	if err := averror("opening "+file.Name(), C.gp_file_open(C.int(file.Fd()), &f.format, &f.codec, &f.stream)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close closes the file. Frames that it returned remain valid.
func (f *File) Close() {
	C.av_packet_free(&f.packet)
	C.gp_file_close(&f.format, &f.codec)
	_ = f.file.Close() // nothing was written
}

// Next returns the next frame in presentation order; the caller closes it. Its Tag is its time in
// microseconds on the file's own clock. At the end of the file Next returns io.EOF. After any other
// error the file can still be read.
func (f *File) Next() (*Frame, error) {
	p, err := newFrame()
	if err != nil {
		return nil, err
	}
	code := C.gp_file_next(f.format, f.codec, f.stream, f.packet, p.f, &f.draining)
	if code == C.GP_END {
		p.Close()
		return nil, io.EOF
	}
	if err := averror("reading", code); err != nil {
		p.Close()
		return nil, err
	}
	p.Tag = int64(C.gp_file_time(f.format, f.stream, p.f))
	if p.Tag == math.MinInt64 {
		p.Close()
		return nil, fmt.Errorf("reading: a frame without a time")
	}
	return p, nil
}
