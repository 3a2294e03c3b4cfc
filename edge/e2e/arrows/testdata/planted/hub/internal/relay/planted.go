// Package relay breaks a rule on purpose.
package relay

import (
	_ "modernc.org/sqlite"
)
