package decode

/*
#include <stdlib.h>
#include "decode.h"
*/
import "C"

import (
	"fmt"
	"io"
	"math"
	"unsafe"
)

// File reads the frames of a video file. It belongs to one goroutine.
type File struct {
	format   *C.AVFormatContext
	codec    *C.AVCodecContext
	packet   *C.AVPacket
	stream   C.int
	draining C.int
}

// OpenFile opens the video file at path, which the caller closes.
func OpenFile(path string) (*File, error) {
	C.gp_quiet()
	f := &File{packet: C.av_packet_alloc()}
	name := C.CString("file:" + path) // the file itself, whatever its name looks like
	defer C.free(unsafe.Pointer(name))
	if err := averror("opening "+path, C.gp_file_open(name, &f.format, &f.codec, &f.stream)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close closes the file. Frames that it returned remain valid.
func (f *File) Close() {
	C.av_packet_free(&f.packet)
	C.gp_file_close(&f.format, &f.codec)
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
