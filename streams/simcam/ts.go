package simcam

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// TS reads the frames of an MPEG-TS file with one H.264 track.
type TS struct {
	file   *os.File
	reader mpegts.Reader
	params *h26x.Params
	clock  mpegts.TimeDecoder

	pending []*streams.AccessUnit // what the last read returned
	started bool
	first   int64 // decoding time of the first frame, in ticks of 90 kHz
}

// OpenTS opens the MPEG-TS file at path. The caller closes it.
func OpenTS(path string) (*TS, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening video file: %w", err)
	}
	t := &TS{file: file, params: h26x.NewParams(streams.H264)}
	t.reader.R = bufio.NewReaderSize(file, 1<<16)
	if err := t.reader.Initialize(); err != nil {
		return nil, errors.Join(fmt.Errorf("reading %s as MPEG-TS: %w", path, err), file.Close())
	}
	t.clock.Initialize()
	for _, track := range t.reader.Tracks() {
		if _, ok := track.Codec.(*mpegts.CodecH264); ok {
			t.reader.OnDataH264(track, t.onData)
			return t, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("reading %s: no H.264 track in it", path), file.Close())
}

func (t *TS) onData(pts, dts int64, au [][]byte) error {
	dts = t.clock.Decode(dts)
	pts = t.clock.Decode(pts)
	if !t.started {
		t.started, t.first = true, dts
	}
	nalus, key, ok := t.params.Assemble(au)
	if !ok {
		return nil
	}
	t.pending = append(t.pending, &streams.AccessUnit{
		Codec: streams.H264, Session: 1, PTS: ticks(pts - t.first), DTS: ticks(dts - t.first), Keyframe: key, NALUs: nalus,
	})
	return nil
}

// ticks converts a time of the 90 kHz clock of MPEG-TS to a duration.
func ticks(n int64) time.Duration { return time.Duration(n) * time.Second / 90000 }

// Next returns the next frame in decoding order, io.EOF after the last. Its session is 1, it has not arrived, and its
// times count from the first frame's DTS.
func (t *TS) Next() (*streams.AccessUnit, error) {
	for len(t.pending) == 0 {
		if err := t.reader.Read(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil, io.EOF
			}
			return nil, fmt.Errorf("reading video file: %w", err)
		}
	}
	p := t.pending[0]
	t.pending = t.pending[1:]
	return p, nil
}

// Close closes the file.
func (t *TS) Close() error { return t.file.Close() }

// maxFile bounds what Load reads into memory, in encoded bytes.
const maxFile = 256 << 20

// Load reads the whole file at path. The result begins with a keyframe.
func Load(path string) (frames []*streams.AccessUnit, err error) {
	t, err := OpenTS(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	size := 0
	for {
		p, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(frames) == 0 && !p.Keyframe {
			continue
		}
		if size += p.Size(); size > maxFile {
			return nil, fmt.Errorf("reading %s: more than %d MiB of video", path, maxFile>>20)
		}
		frames = append(frames, p)
	}
	if len(frames) < 2 {
		return nil, fmt.Errorf("reading %s: fewer than two frames in it", path)
	}
	return frames, nil
}
