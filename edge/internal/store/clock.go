package store

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gridpost/devices/clock"
	"gridpost/hub/api"
)

// moment is a time by both clocks: how old an event is can be told by the monotonic one even
// when the other is wrong, as long as the machine has not restarted.
type moment struct {
	boot   string // the boot's ID; "": not known
	bootMS int64  // milliseconds since the boot, time asleep included
	clock  api.ClockGrade
}

// machine reads the clocks of the machine.
type machine struct {
	boot  string
	fixed func() moment // tests: instead of the clocks
}

func newMachine() (machine, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return machine{}, fmt.Errorf("reading the boot ID: %w", err)
	}
	return machine{boot: strings.TrimSpace(string(id))}, nil
}

func (m machine) now() moment {
	if m.fixed != nil {
		return m.fixed()
	}
	at := moment{boot: m.boot, clock: api.ClockUnsynchronized}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		at.boot = "" // the age is not known
	}
	at.bootMS = ts.Nano() / int64(time.Millisecond)
	if clock.Synchronized() {
		at.clock = api.ClockSynchronized
	}
	return at
}

// age returns how long ago then was, in milliseconds, if both were in the same boot.
func (at moment) age(then moment) *int64 {
	if at.boot == "" || at.boot != then.boot || at.bootMS < then.bootMS {
		return nil
	}
	ms := at.bootMS - then.bootMS
	return &ms
}
