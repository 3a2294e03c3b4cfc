// Package x breaks a rule on purpose.
package x

import (
	_ "gocv.io/x/gocv"
)
