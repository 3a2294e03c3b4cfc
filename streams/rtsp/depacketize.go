package rtsp

import (
	"errors"
	"fmt"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph265"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtpmjpeg"
	"github.com/pion/rtp"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// depacketizer returns the NALUs of a frame when packet was its last one; of motion JPEG, the image.
type depacketizer interface {
	Decode(packet *rtp.Packet) ([][]byte, error)
}

// isIncomplete reports whether err means that the frame goes on in the next packet.
func isIncomplete(err error) bool {
	return errors.Is(err, rtph264.ErrMorePacketsNeeded) || errors.Is(err, rtph265.ErrMorePacketsNeeded) ||
		errors.Is(err, rtpmjpeg.ErrMorePacketsNeeded)
}

// isWithoutStart reports whether err means that the first packets of the frame are missing.
func isWithoutStart(err error) bool {
	return errors.Is(err, rtph264.ErrNonStartingPacketAndNoPrevious) ||
		errors.Is(err, rtph265.ErrNonStartingPacketAndNoPrevious) ||
		errors.Is(err, rtpmjpeg.ErrNonStartingPacketAndNoPrevious)
}

// videoFormat is how a video format is read.
type videoFormat struct {
	codec      streams.Codec
	newDecoder func() (depacketizer, error)
	params     *h26x.Params // with those of the session description; nil for motion JPEG
}

func videoFormatOf(f format.Format) (v videoFormat, err error) {
	var sets [][]byte
	switch f := f.(type) {
	case *format.H264:
		v.codec = streams.H264
		v.newDecoder = func() (depacketizer, error) { return newH264Depacketizer(f) }
		sps, pps := f.SafeParams()
		sets = [][]byte{sps, pps}
	case *format.H265:
		v.codec = streams.H265
		v.newDecoder = func() (depacketizer, error) { return newH265Depacketizer(f.MaxDONDiff > 0) }
		vps, sps, pps := f.SafeParams()
		sets = [][]byte{vps, sps, pps}
	case *format.MJPEG:
		v.codec = streams.JPEG
		tables := map[byte][]byte{} // survive a lost packet
		v.newDecoder = func() (depacketizer, error) {
			d, err := f.CreateDecoder()
			if err != nil {
				return nil, fmt.Errorf("reading the parameters of the video: %w", err)
			}
			return &jpegDepacketizer{decoder: d, tables: tables}, nil
		}
		return v, nil
	default:
		return v, errNoVideo
	}
	v.params = h26x.NewParams(v.codec)
	for _, set := range sets {
		v.params.Observe(set)
	}
	return v, nil
}
