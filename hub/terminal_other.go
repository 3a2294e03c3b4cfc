//go:build !linux

package main

import "os"

// hideInput knows terminals on Linux only; elsewhere what is typed is shown.
func hideInput(*os.File) (restore func(), err error) { return nil, nil }
