//go:build !linux

package uplink

// socketOptions changes nothing: the options are Linux's.
func socketOptions(int, bool) error { return nil }
