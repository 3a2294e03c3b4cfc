package supervisor

import (
	"strings"
	"testing"
)

// The first message of a runtime names the cause; what it writes after it, however it is cut into
// writes, does not hide it.
func TestTheMessageOfARuntimeIsKept(t *testing.T) {
	registers := strings.Repeat("r8     0x0\n", 1000) + "cs     0x33\nfs     0x0\ngs     0x0\n"
	for text, want := range map[string]string{
		"[h264] a warning\nruntime/cgo: pthread_create failed: Resource temporarily unavailable\nSIGABRT: abort\nPC=0x7f59a58a8eec m=5\n" + registers: "runtime/cgo: pthread_create failed: Resource temporarily unavailable / SIGABRT: abort / PC=0x7f59a58a8eec m=5",
		"runtime: out of memory: cannot allocate 4194304-byte block (3899392 in use)\nfatal error: out of memory\n\n" + registers:                     "runtime: out of memory: cannot allocate 4194304-byte block (3899392 in use) / fatal error: out of memory",
		"panic: worker\n\ngoroutine 1 [running]:\n" + registers:                                                                                       "panic: worker / goroutine 1 [running]:",
	} {
		for _, size := range []int{1, 7, 100, len(text)} {
			o := &outputTail{}
			for rest := text; rest != ""; {
				n := min(size, len(rest))
				_, _ = o.Write([]byte(rest[:n])) // it always returns nil
				rest = rest[n:]
			}
			if got := o.last(); !strings.HasPrefix(got, want) {
				t.Errorf("in writes of %d bytes: %q, want %q", size, got, want)
			}
		}
	}
}
