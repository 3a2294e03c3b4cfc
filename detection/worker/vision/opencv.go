package vision

/*
#cgo pkg-config: opencv4
#cgo CXXFLAGS: -O3
#include "opencv.h"
*/
import "C"

import (
	"errors"

	"gocv.io/x/gocv"
)

// DisableThreads makes OpenCV use only the thread of its caller: an edge runs a worker for each
// camera, and thread pools would compete for the same cores. It must be called before anything else
// in this package. gocv has no function for it.
func DisableThreads() { C.gp_one_thread() }

// Version returns the name and version of the library.
func Version() string { return "OpenCV " + gocv.OpenCVVersion() }

// ErrNoMemory means that memory is exhausted: the process should end, because nothing that it does now
// can be relied on.
var ErrNoMemory = errors.New("OpenCV: out of memory")
