// Package gortsplib stands for the real one.
package gortsplib
