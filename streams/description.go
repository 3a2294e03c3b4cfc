package streams

import (
	"slices"

	"gridpost/devices"
)

// Track describes one track of a stream.
type Track struct {
	Codec     Codec
	ClockRate int // RTP clock, in Hz
	Channels  int // of audio; 0 for video

	// Width and Height are those of the video in pixels after cropping; 0 while they are not known.
	Width, Height int

	// BFrames says that frames are sent in another order than they are shown: their PTS goes back and
	// differs from their DTS. It becomes true when that is first seen in a session.
	BFrames bool
}

// Description says what a source sends in one session. Track 0 is the video; AccessUnit.Track is an index
// of Tracks.
type Description struct {
	Session uint32
	Tracks  []Track

	// Remarks name what the source offers but is left out, and what other outputs cannot carry. They are no
	// faults: the stream works.
	Remarks []devices.Cause
}

// Video returns the track of the video; the zero Track if nothing is known.
func (d Description) Video() Track {
	if len(d.Tracks) == 0 {
		return Track{}
	}
	return d.Tracks[0]
}

// Audio returns the track of the audio and its index; ok is false if there is none.
func (d Description) Audio() (t Track, index int, ok bool) {
	index = slices.IndexFunc(d.Tracks, func(t Track) bool { return t.Codec.IsAudio() })
	if index < 0 {
		return Track{}, 0, false
	}
	return d.Tracks[index], index, true
}

// NotLive returns why browsers cannot show the video live, by WebRTC; zero where they can. Whether a certain browser
// plays a codec that WebRTC carries, such as H.265, shows only when it asks.
func (d Description) NotLive() devices.Cause {
	switch v := d.Video(); {
	case v.BFrames:
		return devices.NewCause("video_b_frames")
	case v.Codec == JPEG:
		return devices.NewCause("video_not_live", "codec", v.Codec.Name())
	}
	return devices.Cause{}
}

// clone returns a copy that shares nothing that can change.
func (d Description) clone() Description {
	d.Tracks, d.Remarks = slices.Clone(d.Tracks), slices.Clone(d.Remarks)
	return d
}

// Describe sets the description of what is published from now on.
func (s *Stream) Describe(d Description) {
	d = d.clone()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.description = d
}

// Description returns the description of the newest session; it is zero before the first one.
func (s *Stream) Description() Description {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.description.clone()
}
