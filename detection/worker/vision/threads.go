package vision

/*
#cgo pkg-config: opencv4
#cgo LDFLAGS: -lopencv_core
#include "threads.h"
*/
import "C"

import "gocv.io/x/gocv"

// Settle keeps OpenCV to the thread of its caller: an edge runs a worker for each camera, and
// pools of threads would only fight. It is called before anything else here. gocv has no call for
// it.
func Settle() { C.gp_one_thread() }

// Version names the library that does the work.
func Version() string { return "OpenCV " + gocv.OpenCVVersion() }
