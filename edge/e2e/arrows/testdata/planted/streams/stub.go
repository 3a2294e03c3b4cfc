// Package streams stands for the real one.
package streams
