// Package footage makes recordings that look like a camera's main stream out of any video:
// H.264 without B-frames, a keyframe every two seconds, in MPEG-TS, as simcam plays it.
//
// It needs the program ffmpeg. A recording is made once and cached under a name that depends on
// the video and the format. The package imports nothing of Gridpost.
package footage

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Pedestrians is the video of Debian's package opencv-doc: people on a walkway, 768x576,
// 10 frames a second, 79 s.
const Pedestrians = "/usr/share/doc/opencv-doc/examples/data/vtest.avi"

// Format describes a recording. Zero values leave a property as it is in the video.
type Format struct {
	Width, Height int // pixels; black bars where the aspect ratio differs
	Rate          int // frames a second
	Bitrate       int // kbit/s, nearly constant; 0: what good quality needs
	Seconds       int // maximum length

	View View // zero: all of the video, as it is

	// Still repeats the first frame with sensor noise: a place where nothing happens. Seconds
	// must be set.
	Still bool
}

// View is the part of a video that a camera sees, and its light: one video serves as several places.
type View struct {
	X, Y, Width, Height float64 // of the part, in fractions of the video; no width: all of it

	Mirror     bool    // left and right are exchanged
	Brightness float64 // that is added, -1..1
	Saturation float64 // factor of the colours; 0: as they are
	Warmth     float64 // from colder to warmer, -1..1
}

// filters returns the filters of ffmpeg that make the view.
func (v View) filters() string {
	var all string
	if v.Width > 0 && v.Height > 0 {
		all += fmt.Sprintf("crop=iw*%g:ih*%g:iw*%g:ih*%g,", v.Width, v.Height, v.X, v.Y)
	}
	if v.Mirror {
		all += "hflip,"
	}
	if v.Brightness != 0 || v.Saturation != 0 {
		all += fmt.Sprintf("eq=brightness=%g:saturation=%g,", v.Brightness, cmp.Or(v.Saturation, 1))
	}
	if v.Warmth != 0 {
		all += fmt.Sprintf("colorbalance=rm=%g:bm=%g,", v.Warmth, -v.Warmth)
	}
	return all
}

// Cached returns the path of the recording of video in the format f in the folder dir. It creates the
// recording if there is none; it calls making, which may be nil, before, because that takes a while.
func Cached(ctx context.Context, video, dir string, f Format, making func()) (string, error) {
	info, err := os.Stat(video)
	if err != nil {
		return "", fmt.Errorf("looking for the video: %w", err)
	}
	absolute, err := filepath.Abs(video)
	if err != nil {
		return "", fmt.Errorf("naming the recording: %w", err)
	}
	hash := sha256.Sum256(fmt.Appendf(nil, "%s %d %d %+v", absolute, info.Size(), info.ModTime().UnixNano(), f))
	stem := strings.TrimSuffix(filepath.Base(video), filepath.Ext(video))
	path := filepath.Join(dir, fmt.Sprintf("%s-%x.ts", stem, hash[:6]))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if making != nil {
		making()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the folder of recordings: %w", err)
	}
	return path, Create(ctx, absolute, path, f)
}

// Create writes the recording of video to path. On an error there is no file.
func Create(ctx context.Context, video, path string, f Format) error {
	part, err := os.CreateTemp(filepath.Dir(path), ".making-*.ts")
	if err != nil {
		return fmt.Errorf("making a recording: %w", err)
	}
	defer func() { _ = os.Remove(part.Name()) }() // gone already, if all went well
	if err := part.Close(); err != nil {
		return fmt.Errorf("making a recording: %w", err)
	}
	cmd := exec.CommandContext(ctx, "ffmpeg", arguments(video, part.Name(), f)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); errors.Is(err, exec.ErrNotFound) {
		return errors.New("ffmpeg is not installed; `make deps` installs it")
	} else if err != nil {
		return fmt.Errorf("ffmpeg on %s: %w: %s", video, err, strings.TrimSpace(stderr.String()))
	}
	if err := os.Rename(part.Name(), path); err != nil {
		return fmt.Errorf("saving the recording: %w", err)
	}
	return nil
}

func arguments(video, path string, f Format) []string {
	filter := "scale=trunc(iw/2)*2:trunc(ih/2)*2" // 4:2:0 needs even sides
	if f.Width > 0 && f.Height > 0 {
		filter = fmt.Sprintf("scale=%[1]d:%[2]d:force_original_aspect_ratio=decrease:force_divisible_by=2,pad=%[1]d:%[2]d:(ow-iw)/2:(oh-ih)/2", f.Width, f.Height)
	}
	filter = f.View.filters() + filter
	if f.Still {
		filter += ",loop=loop=-1:size=1,noise=alls=6:allf=t"
	}
	if f.Rate > 0 {
		filter += ",fps=" + strconv.Itoa(f.Rate)
	}
	args := []string{
		"-nostdin", "-v", "error", "-y", "-i", video, "-map", "0:v:0", "-vf", filter + ",format=yuv420p",
		"-c:v", "libx264", "-preset", "veryfast", "-profile:v", "main", "-bf", "0",
		// A keyframe every two seconds and at no other time, whatever the rate is.
		"-g", "1000", "-sc_threshold", "0", "-force_key_frames", "expr:gte(t,n_forced*2)",
	}
	if f.Bitrate > 0 {
		rate := strconv.Itoa(f.Bitrate) + "k"
		args = append(args, "-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-x264-params", "nal-hrd=cbr")
	} else {
		args = append(args, "-crf", "25")
	}
	if f.Seconds > 0 {
		args = append(args, "-t", strconv.Itoa(f.Seconds))
	}
	return append(args, "-f", "mpegts", path)
}
