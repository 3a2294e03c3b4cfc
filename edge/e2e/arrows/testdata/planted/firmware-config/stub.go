// Package firmwareconfig stands for the real one.
package firmwareconfig
