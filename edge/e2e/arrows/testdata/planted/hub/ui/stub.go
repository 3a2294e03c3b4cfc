// Package ui stands for the real one.
package ui
