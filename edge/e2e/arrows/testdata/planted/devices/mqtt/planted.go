// Package mqtt breaks a rule on purpose.
package mqtt

import (
	_ "github.com/bluenviron/gortsplib/v4"
	_ "github.com/pion/webrtc/v4"
)
