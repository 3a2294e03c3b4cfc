// Package app breaks a rule on purpose.
package app

import (
	_ "github.com/mochi-mqtt/server/v2"
	_ "gridpost/edge/public"
)
