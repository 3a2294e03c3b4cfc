package faults

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"gridpost/edge/e2e/rig"
)

// restartAfter is how long a service manager waits before it starts a program again that ended by
// itself.
const restartAfter = time.Second

// node is a program that is started, killed and stopped by faults. A program that ends by itself
// is a violation; it is started again, as a service manager would.
type node struct {
	name   string
	launch func() (*rig.Process, error)
	report func(format string, args ...any) // of violations

	mu      sync.Mutex
	process *rig.Process
	wanted  bool // it is to run
	peak    int64
	watch   sync.WaitGroup
	end     chan struct{}
}

func newNode(name string, launch func() (*rig.Process, error), report func(string, ...any)) *node {
	return &node{name: name, launch: launch, report: report, end: make(chan struct{})}
}

// start starts the program.
func (n *node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, err := n.launch()
	if err != nil {
		return fmt.Errorf("starting %s: %w", n.name, err)
	}
	n.process, n.wanted = p, true
	n.watch.Go(func() { n.guard(p) })
	return nil
}

// guard waits for the end of p. If nobody wanted it to end, that is a violation.
func (n *node) guard(p *rig.Process) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-p.Ended():
			running = false
		case <-tick.C:
			n.sample(p.PID())
		}
	}
	n.mu.Lock()
	unexpected := n.wanted && n.process == p
	n.mu.Unlock()
	if !unexpected {
		return
	}
	n.report("%s ended by itself; its log ends with: %s", n.name, lastLines(p.Tail(), 3))
	select {
	case <-time.After(restartAfter):
	case <-n.end:
		return
	}
	n.mu.Lock()
	again := n.wanted && n.process == p
	n.mu.Unlock()
	if again {
		if err := n.start(); err != nil {
			n.report("%s cannot be started again: %v", n.name, err)
		}
	}
}

func (n *node) sample(pid int) {
	peak, err := rig.PeakResident(pid)
	if err != nil {
		return // it has ended meanwhile
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.peak = max(n.peak, peak)
}

// peakResident returns the most memory that any process of the node has had, in bytes.
func (n *node) peakResident() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.peak
}

// take returns the process and marks it as one that may end.
func (n *node) take() *rig.Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wanted = false
	return n.process
}

// kill ends the program as a crash does.
func (n *node) kill() { n.take().Kill() }

// stop ends the program as an operator does. A program that does not end well is a violation.
func (n *node) stop() {
	p := n.take()
	select {
	case <-p.Ended():
		return // by itself just now; guard has reported it
	default:
	}
	if err := p.Stop(); err != nil {
		first, rest, _ := strings.Cut(err.Error(), "\n")
		n.report("%s did not stop cleanly: %s: %s", n.name, first, lastLines(rest, 3))
	}
}

// freeze stops the program's execution; thaw continues it.
func (n *node) freeze() error { return n.signal(syscall.SIGSTOP) }
func (n *node) thaw() error   { return n.signal(syscall.SIGCONT) }

func (n *node) signal(s syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// close ends the program and waits for what watches it.
func (n *node) close() {
	close(n.end)
	if p := n.take(); p != nil {
		_ = p.Signal(syscall.SIGCONT) // it may have ended
		p.Kill()
	}
	n.watch.Wait()
}
