package rtsp

import (
	"strconv"
	"strings"

	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"

	"gridpost/devices"
	"gridpost/streams"
	"gridpost/streams/rtsp/compat"
)

// selection is what of a camera's offer is received.
type selection struct {
	video       *description.Media
	videoFormat format.Format
	audio       *description.Media // nil: none
	audioFormat format.Format
	audioTrack  streams.Track
	remarks     []devices.Cause // what is left out
}

// selectTracks chooses the first video whose codec is supported, and the first such audio. The back channel is never
// set up. remarks name what did not get into desc.
func selectTracks(desc *description.Session, remarks []compat.Remark) selection {
	var s selection
	var otherVideo, otherAudio []string
	for _, media := range desc.Medias {
		if media.IsBackChannel {
			continue
		}
		switch media.Type {
		case description.MediaTypeVideo:
			if s.video != nil {
				otherVideo = append(otherVideo, codecNames(media))
				continue
			}
			for _, f := range media.Formats {
				if isVideo(f) {
					s.video, s.videoFormat = media, f
					break
				}
			}
		case description.MediaTypeAudio:
			if s.audio == nil {
				s.chooseAudio(media)
			}
			if s.audio != media {
				otherAudio = append(otherAudio, codecNames(media))
			}
		}
	}
	for _, r := range remarks {
		switch r.Kind {
		case "video":
			otherVideo = append(otherVideo, r.Codec)
		case "audio":
			otherAudio = append(otherAudio, r.Codec)
		}
	}
	if len(otherVideo) > 0 {
		s.remarks = append(s.remarks, devices.NewCause("video_left_out",
			"count", strconv.Itoa(len(otherVideo)), "codecs", sanitize(strings.Join(otherVideo, ", "), nil)))
	}
	if s.audio == nil && len(otherAudio) > 0 {
		s.remarks = append(s.remarks, devices.NewCause("audio_left_out", "codec", sanitize(strings.Join(otherAudio, ", "), nil)))
	}
	return s
}

// chooseAudio selects media's first format that can be passed on.
func (s *selection) chooseAudio(media *description.Media) {
	for _, f := range media.Formats {
		if t, ok := audioTrackOf(f); ok {
			s.audio, s.audioFormat, s.audioTrack = media, f, t
			return
		}
	}
}

func isVideo(f format.Format) bool {
	switch f.(type) {
	case *format.H264, *format.H265, *format.MJPEG:
		return true
	}
	return false
}

// codecNames returns the names of a medium's codecs as people know them.
func codecNames(media *description.Media) string {
	var names []string
	for _, f := range media.Formats {
		name := f.Codec()
		switch f.(type) {
		case *format.MPEG4Audio, *format.MPEG4AudioLATM:
			name = "AAC"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
