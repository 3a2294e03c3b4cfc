// Package sqlite stands for the real one.
package sqlite
