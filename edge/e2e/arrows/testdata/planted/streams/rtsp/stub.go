// Package rtsp stands for the real one.
package rtsp
