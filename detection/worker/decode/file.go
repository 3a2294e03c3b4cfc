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

// File reads the pictures of a video file. It belongs to one goroutine.
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

// Close closes the file; pictures that it gave stay.
func (f *File) Close() {
	C.av_packet_free(&f.packet)
	C.gp_file_close(&f.format, &f.codec)
}

// Next returns the next picture, in the order of showing, which the caller closes. Its Tag is
// its time in microseconds, on the file's own clock. At the end of the file it returns io.EOF. After another error
// the file can be read on.
func (f *File) Next() (*Picture, error) {
	p, err := newPicture()
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
		return nil, fmt.Errorf("reading: a picture without a time")
	}
	return p, nil
}
