// Package broker breaks a rule on purpose.
package broker

import (
	_ "gridpost/devices/mqtt"
)
