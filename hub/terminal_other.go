//go:build !linux

package main

import "os"

// hideInput is implemented on Linux only; on other systems, the terminal shows the input.
func hideInput(*os.File) (restore func(), err error) { return nil, nil }
