// Package public stands for the real one.
package public
