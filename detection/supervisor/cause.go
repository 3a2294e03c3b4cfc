package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"gridpost/detection/wire"
	"gridpost/devices"
)

// The codes of the causes that OnState reports. Their sentences and parameters are in the registry of
// package devices. A cause has the parameter retry_in if the next start is delayed for longer than by
// the usual back-off.
const (
	CodeNotExecutable = "worker_not_executable" // the program cannot be started
	CodeUser          = "worker_user"           // the worker's user cannot be used
	CodeQuarantined   = "worker_quarantined"    // detection is off because of crashes
	CodeNotReady      = "worker_not_ready"      // it did not become ready in time
	CodeGaveUp        = "worker_gave_up"        // it reported an error and ended
	CodeMemory        = "worker_memory"         // it needed more memory than it may use
	CodeExited        = "worker_exited"
	CodeAborted       = "worker_aborted" // native code ended it, as on unexpected input
	CodeSignal        = "worker_signal"
	CodeViolation     = "worker_violation" // it tried what confined processes must not do, and was ended
	CodeHung          = "worker_hung"      // it did not reply in time
	CodeProtocol      = "worker_protocol"  // it sent an invalid message
	CodeStreamClosed  = "worker_stream_closed"
	CodeFailed        = "worker_failed" // any other failure

	CodeModelQuarantined = "model_quarantined" // of an Inference: the model is off because of crashes
)

// failure is why a worker ended.
type failure struct {
	cause devices.Cause
	crash bool          // it died or hung on its own while it worked on frames
	fed   bool          // it was sent frames
	ran   time.Duration // since it was ready
}

// gaveUpError is what the worker reported as its end.
type gaveUpError string

func (e gaveUpError) Error() string { return "the worker gave up: " + string(e) }

// hungError means that a worker has not replied for too long.
type hungError struct {
	silence time.Duration
	stopped bool // by SIGSTOP or a debugger, so it is not the worker's fault
}

func (e hungError) Error() string { return fmt.Sprintf("no reply for %v", e.silence) }

// errStreamClosed means that nothing will be published to the camera's stream any more.
var errStreamClosed = errors.New("the camera's stream was closed")

// startFailure describes why a worker was not ready within the time limit. The process must have
// ended.
func startFailure(p *process, err error, limit time.Duration) failure {
	if errors.Is(err, context.DeadlineExceeded) {
		return failure{cause: devices.NewCause(CodeNotReady, "seconds", devices.Seconds(limit))}
	}
	cause, _ := describe(p, err)
	return failure{cause: cause}
}

// workFailure describes why a worker failed that was ready for the time ran and was sent so many
// access units. The process must have ended.
func workFailure(p *process, err error, ran time.Duration, sent int) failure {
	cause, crash := describe(p, err)
	return failure{cause: cause, crash: crash && sent > 0, fed: sent > 0, ran: ran}
}

// describe returns the cause for err and whether it is a crash: a fault that the camera's data may
// have led to, in contrast to one from outside. The process must have ended.
func describe(p *process, err error) (devices.Cause, bool) {
	var gaveUp gaveUpError
	var hung hungError
	switch {
	case errors.Is(err, wire.ErrMalformed):
		return devices.NewCause(CodeProtocol, "detail", err.Error()), true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isClosed(err):
		return p.exitCause()
	case errors.As(err, &gaveUp):
		code := CodeGaveUp
		if outOfMemory.MatchString(string(gaveUp)) {
			code = CodeMemory
		}
		return devices.NewCause(code, "detail", string(gaveUp)), true
	case errors.As(err, &hung):
		return devices.NewCause(CodeHung, "seconds", devices.Seconds(hung.silence.Round(100*time.Millisecond))), !hung.stopped
	case errors.Is(err, errStreamClosed):
		return devices.NewCause(CodeStreamClosed), false
	}
	return devices.NewCause(CodeFailed, "detail", err.Error()), false
}

// outOfMemory matches what the worker, Go's runtime, the C++ library and OpenCV write when memory is
// exhausted.
var outOfMemory = regexp.MustCompile(`(?i)out ?of ?memory|cannot allocate memory|failed to allocate|bad_alloc|pthread_create failed`)

// exitCause describes how the process ended, and whether it crashed. It may be called only after done
// is closed.
func (p *process) exitCause() (devices.Cause, bool) {
	output := p.stderr.last()
	status, ok := syscall.WaitStatus(0), false
	if p.cmd.ProcessState != nil {
		status, ok = p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	}
	fromOutside := ok && status.Signaled() && isFromOutside(status.Signal()) && !p.killed
	switch {
	case !ok:
		return devices.NewCause(CodeFailed, "output", output), true
	case outOfMemory.MatchString(output) && !fromOutside:
		return devices.NewCause(CodeMemory, "detail", output), true
	case !status.Signaled():
		return devices.NewCause(CodeExited, "status", strconv.Itoa(status.ExitStatus()), "output", output), true
	case status.Signal() == syscall.SIGABRT:
		return devices.NewCause(CodeAborted, "output", output), true
	case status.Signal() == syscall.SIGSYS:
		return devices.NewCause(CodeViolation, "output", output), true
	}
	signal := fmt.Sprintf("%d (%s)", status.Signal(), status.Signal())
	return devices.NewCause(CodeSignal, "signal", signal, "output", output), !fromOutside
}

// isFromOutside reports a signal that a fault of a process never causes: an operator or the kernel's
// OOM killer sent it. Workers have limited memory, so a machine without memory is not their fault.
func isFromOutside(s syscall.Signal) bool {
	switch s {
	case syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP:
		return true
	}
	return false
}

// restartCause returns the cause of a failure with how long the next start waits, if that is unusual.
// quarantine is the code of the cause of a quarantine.
func restartCause(quarantine string, c devices.Cause, wait time.Duration, why reason, crashes int) devices.Cause {
	retryIn := devices.Seconds(wait.Round(time.Second))
	switch why {
	case overBudget:
		return c.With("retry_in", retryIn)
	case quarantined:
		return devices.NewCause(quarantine, "crashes", strconv.Itoa(crashes), "retry_in", retryIn).Because(c)
	}
	return c
}
