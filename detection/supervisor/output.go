package supervisor

import (
	"bytes"
	"strings"
	"sync"
)

const (
	maxTail    = 4 << 10 // bytes of the end of the output
	maxMessage = 1 << 10 // bytes of the message with which a runtime ended the process
)

// outputTail keeps the last bytes that a process wrote, and the first message of a runtime that ended
// it: Go's runtime writes kilobytes of stacks and registers after it. What a worker's native libraries
// write may have no end; the rest is dropped.
type outputTail struct {
	mu      sync.Mutex
	buf     []byte
	message []byte // from the mark on; nil: none was written
}

// marks begin the messages with which Go's runtime and that of C++ end a process.
func marks() []string {
	return []string{"panic: ", "fatal error: ", "runtime/cgo: ", "runtime: out of memory", "terminate called"}
}

func (t *outputTail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if t.message != nil {
		t.message = append(t.message, b[:min(len(b), maxMessage-len(t.message))]...)
	} else {
		first := len(t.buf)
		for _, mark := range marks() {
			if i := bytes.Index(t.buf[:first], []byte(mark)); i >= 0 {
				first = i
			}
		}
		if first < len(t.buf) {
			t.message = bytes.Clone(t.buf[first:min(len(t.buf), first+maxMessage)])
		}
	}
	if len(t.buf) > maxTail {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-maxTail:]...)
	}
	return len(b), nil
}

// last returns the runtime's message, or else the last lines, on one line and sanitised.
func (t *outputTail) last() string {
	t.mu.Lock()
	message, text := string(t.message), string(bytes.TrimSpace(t.buf))
	t.mu.Unlock()
	const maxLines = 3
	split := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	}
	if message != "" {
		lines := split(message)
		return sanitise(strings.Join(lines[:min(maxLines, len(lines))], " / "))
	}
	lines := split(text)
	return sanitise(strings.Join(lines[max(0, len(lines)-maxLines):], " / "))
}

// sanitise removes control characters from a text of the worker's and bounds its length.
func sanitise(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, s)
	const maxText = 400 // bytes
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "..."
	}
	return s
}
