// Package webrtc stands for the real one.
package webrtc
