// Package mochi stands for the real one.
package mochi
