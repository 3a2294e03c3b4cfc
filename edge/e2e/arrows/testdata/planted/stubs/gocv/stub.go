// Package gocv stands for the real one.
package gocv
