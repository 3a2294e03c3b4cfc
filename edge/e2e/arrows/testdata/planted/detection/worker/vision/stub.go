// Package vision stands for the real one.
package vision
