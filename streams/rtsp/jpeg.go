package rtsp

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/bluenviron/gortsplib/v4/pkg/format/rtpmjpeg"
	"github.com/pion/rtp"
)

// jpegDepacketizer reads motion JPEG (RFC 2435). It changes packets that the library does not read into such as it
// does: those with restart markers, and those that refer to quantization tables of an earlier frame.
type jpegDepacketizer struct {
	decoder *rtpmjpeg.Decoder
	tables  map[byte][]byte // quantization table headers by Q value, at most one of each of 127
	restart []byte          // restart interval of the frame under way; nil: none
}

// The main header (RFC 2435, section 3.1).
const (
	jpegOffset = 1 // 3 bytes
	jpegType   = 4
	jpegQ      = 5
	jpegHeader = 8
)

var errJPEGHeader = errors.New("a JPEG header that is cut short or has an invalid quantization value")

func (d *jpegDepacketizer) Decode(packet *rtp.Packet) ([][]byte, error) {
	payload, err := d.normalise(packet.Payload)
	if err != nil {
		return nil, err
	}
	plain := *packet
	plain.Payload = payload
	image, err := d.decoder.Decode(&plain)
	if err != nil {
		return nil, err
	}
	if d.restart != nil {
		image = withRestartInterval(image, d.restart)
	}
	return [][]byte{image}, nil
}

// normalise returns the payload as the library reads it.
func (d *jpegDepacketizer) normalise(p []byte) ([]byte, error) {
	if len(p) < jpegHeader || p[jpegQ] == 0 { // the library divides by the Q value, of which 0 is reserved
		return nil, errJPEGHeader
	}
	first := p[jpegOffset] == 0 && p[jpegOffset+1] == 0 && p[jpegOffset+2] == 0
	if first {
		d.restart = nil
	}
	const withMarkers = 64 // types 64 to 127 (section 3.1.7)
	if t := p[jpegType]; t >= withMarkers && t < 2*withMarkers {
		if len(p) < jpegHeader+4 {
			return nil, errJPEGHeader
		}
		d.restart = slices.Clone(p[jpegHeader : jpegHeader+2])
		p = slices.Concat(p[:jpegHeader], p[jpegHeader+4:])
		p[jpegType] = t - withMarkers
	}
	q := p[jpegQ]
	if !first || q < 128 {
		return p, nil
	}
	rest := p[jpegHeader:]
	if len(rest) < 4 {
		return nil, errJPEGHeader
	}
	length := int(binary.BigEndian.Uint16(rest[2:]))
	if length > 0 {
		if header := rest[:min(4+length, len(rest))]; q != 255 { // tables of 255 may change with each frame
			d.tables[q] = slices.Clone(header)
		}
		return p, nil
	}
	if known := d.tables[q]; known != nil { // section 3.1.8
		return slices.Concat(p[:jpegHeader], known, rest[4:]), nil
	}
	return p, nil
}

// withRestartInterval inserts the restart interval before the scan of an image (ITU-T T.81, section B.2.4.4).
func withRestartInterval(image, interval []byte) []byte {
	const startOfScan = 0xda
	for at := 2; at+4 <= len(image) && image[at] == 0xff; {
		if image[at+1] == startOfScan {
			return slices.Concat(image[:at], []byte{0xff, 0xdd, 0, 4}, interval, image[at:])
		}
		at += 2 + int(binary.BigEndian.Uint16(image[at+2:]))
	}
	return image
}
