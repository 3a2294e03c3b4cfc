// Package webrtc breaks a rule on purpose.
package webrtc

import (
	_ "github.com/pion/webrtc/v4"
	_ "gridpost/streams/rtsp"
)
