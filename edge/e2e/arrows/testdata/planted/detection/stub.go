// Package detection stands for the real one.
package detection
