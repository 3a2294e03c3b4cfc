// Package api stands for the real one.
package api
