package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"gridpost/detection/wire"
	"gridpost/devices"
)

// Stats are the counts of a camera's worker since the supervisor was created.
type Stats struct {
	Running  bool          // a worker is ready
	PID      int           // of the process; 0 if there is none
	Detector string        // description of the detector, for people
	Cause    devices.Cause // why the last worker failed; zero if none failed
	Restarts uint64        // processes that failed

	Crashes     uint64 // of which died or hung on their own while they worked on frames
	Quarantines uint64 // how often detection was switched off because of crashes

	Frames   uint64        // access units sent to a worker
	Results  uint64        // results received
	Analysed uint64        // frames that were analysed
	Repeated uint64        // frames analysed again after a restart, which do not count as analysed
	Looks    uint64        // of them by an Inference
	Errors   uint64        // access units that could not be decoded
	CPU      time.Duration // processor time of all processes so far, user and system
}

// Stats returns the counts now. It may be called concurrently.
func (s *Supervisor) Stats() Stats {
	s.mu.Lock()
	stats := s.stats
	s.mu.Unlock()
	stats.CPU += cpuTime(stats.PID)
	return stats
}

func (s *Supervisor) started(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.PID = pid
}

func (s *Supervisor) ready(r wire.Ready) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Running = true
	s.stats.Detector = sanitise(r.Detector)
}

func (s *Supervisor) ended(state *os.ProcessState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Running = false
	s.stats.PID = 0
	if state != nil {
		s.stats.CPU += state.UserTime() + state.SystemTime()
	}
}

func (s *Supervisor) failed(f failure, why reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Restarts++
	s.stats.Cause = f.cause
	if f.crash {
		s.stats.Crashes++
	}
	if why == quarantined {
		s.stats.Quarantines++
	}
}

func (s *Supervisor) countFrame() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Frames++
}

func (s *Supervisor) countRepeated() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Repeated++
}

func (s *Supervisor) countResult(r wire.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Results++
	if r.Analysed {
		s.stats.Analysed++
	}
	if r.Error != "" {
		s.stats.Errors++
	}
}

// cpuTime returns the processor time of the process pid so far; 0 if it does not exist.
func cpuTime(pid int) time.Duration {
	if pid == 0 {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	return parseStat(b)
}

// isStopped reports that a process was stopped by a signal or a debugger (state T or t, proc(5)).
func isStopped(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	i := bytes.LastIndexByte(b, ')')
	return err == nil && i+2 < len(b) && (b[i+2] == 'T' || b[i+2] == 't')
}

// parseStat returns user and system time from /proc/PID/stat (proc(5), fields 14 and 15, in
// ticks, 100 per second for user space). The second field, the program's name, may contain any
// character, so fields are counted from its closing bracket.
func parseStat(b []byte) time.Duration {
	const tick = 10 * time.Millisecond
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return 0
	}
	fields := bytes.Fields(b[i+1:])
	if len(fields) < 13 {
		return 0
	}
	var sum time.Duration
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil || n < 0 {
			return 0
		}
		sum += time.Duration(n) * tick
	}
	return sum
}

func (s *Supervisor) countLook() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Looks++
}
