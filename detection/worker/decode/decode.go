// Package decode decodes access units with libavcodec, scales frames with libswscale and reads
// video files with libavformat.
//
// A decoder returns each frame as soon as the stream allows: it has no threads and delays only
// frames that must be reordered. It belongs to the worker's process, because the
// libraries parse hostile input in C. It must not import vision or onnx.
package decode

/*
#cgo pkg-config: libavcodec libavformat libavutil libswscale
#include "decode.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"gridpost/streams"
)

// Decoder decodes the access units of one stream. It belongs to one goroutine.
type Decoder struct {
	codec  streams.Codec
	c      *C.AVCodecContext
	packet *C.AVPacket
}

// NewDecoder returns a decoder of codec, which the caller closes.
func NewDecoder(codec streams.Codec) (*Decoder, error) {
	C.gp_quiet() // a broken stream would fill the log with messages that nobody can act on
	id := C.enum_AVCodecID(C.AV_CODEC_ID_H264)
	switch codec {
	case streams.H264:
	case streams.H265:
		id = C.AV_CODEC_ID_HEVC
	case streams.JPEG:
		id = C.AV_CODEC_ID_MJPEG
	default:
		return nil, fmt.Errorf("making a decoder: codec %q is unknown", codec)
	}
	d := &Decoder{codec: codec, c: C.gp_decoder_new(id), packet: C.av_packet_alloc()}
	if d.c == nil || d.packet == nil {
		d.Close()
		return nil, fmt.Errorf("making a decoder: libavcodec has none for %s, or no memory", codec)
	}
	return d, nil
}

// Codec returns the codec that the decoder decodes.
func (d *Decoder) Codec() streams.Codec { return d.codec }

// Close frees the decoder. Frames that it returned remain valid.
func (d *Decoder) Close() {
	C.av_packet_free(&d.packet)
	C.avcodec_free_context(&d.c)
}

// Decode decodes one access unit, in Annex B form or as a JPEG image, and calls onFrame with every frame that becomes
// available; onFrame owns it. A frame carries the tag of its own access unit, which is an earlier
// one where the stream reorders frames. An error means that the access unit could not be
// decoded completely; the decoder can continue with the next one.
func (d *Decoder) Decode(data []byte, tag int64, onFrame func(*Frame)) error {
	if len(data) == 0 {
		return errors.New("decoding: an empty access unit")
	}
	code := C.gp_decoder_send(d.c, d.packet, (*C.uint8_t)(unsafe.Pointer(&data[0])), C.int(len(data)), C.int64_t(tag))
	return errors.Join(averror("decoding", code), d.receive(onFrame))
}

// Drain calls onFrame with the frames that the decoder still holds. After it the decoder cannot be
// used before Flush.
func (d *Decoder) Drain(onFrame func(*Frame)) error {
	if err := averror("draining the decoder", C.gp_decoder_send(d.c, d.packet, nil, 0, 0)); err != nil {
		return err
	}
	return d.receive(onFrame)
}

// Flush discards everything but the parameter sets, as at the start of a stream.
func (d *Decoder) Flush() { C.avcodec_flush_buffers(d.c) }

func (d *Decoder) receive(onFrame func(*Frame)) error {
	for {
		p, err := newFrame()
		if err != nil {
			return err
		}
		code := C.gp_decoder_receive(d.c, p.f)
		if code != 0 {
			p.Close()
			if code == C.GP_AGAIN || code == C.GP_END {
				return nil
			}
			return averror("decoding", code)
		}
		p.Tag = int64(p.f.pts)
		onFrame(p)
	}
}

// ErrNoMemory is wrapped by errors that mean that memory is exhausted: the process should end, because
// nothing that it does now can be relied on.
var ErrNoMemory = errors.New("out of memory")

// averror returns the error for an AVERROR code, nil when code is no error.
func averror(doing string, code C.int) error {
	if code >= 0 {
		return nil
	}
	if code == C.GP_NO_MEMORY {
		return fmt.Errorf("%s: %w", doing, ErrNoMemory)
	}
	var buf [C.AV_ERROR_MAX_STRING_SIZE]C.char
	C.av_strerror(code, &buf[0], C.AV_ERROR_MAX_STRING_SIZE)
	return fmt.Errorf("%s: %s", doing, C.GoString(&buf[0]))
}
