//go:build !linux

package app

import "time"

// userTimeout is a Linux option; elsewhere keepalive has to do.
func userTimeout(int, time.Duration) error { return nil }
