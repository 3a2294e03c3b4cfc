// Package low breaks a rule on purpose.
package low

import (
	_ "gridpost/hub/api"
	_ "gridpost/streams"
)
