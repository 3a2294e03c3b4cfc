// Package hub is cgo on purpose.
package hub

import "C"
