package supervisor

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"gridpost/detection/wire"
)

// newSlot returns a memory file for the frames of one camera, all zero. It takes memory only where it is
// written. Its size is sealed: whoever has the file cannot make it smaller, which would end a process
// that reads it.
func newSlot() (*os.File, error) {
	fd, err := unix.MemfdCreate("frames", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("making memory for frames: %w", err)
	}
	f := os.NewFile(uintptr(fd), "frames")
	err = f.Truncate(wire.SlotSize)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making memory for frames: %w", err), f.Close())
	}
	return f, nil
}

// clearSlot forgets the frames in a slot and frees their memory, before another camera gets it.
func clearSlot(f *os.File) error {
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, wire.SlotSize); err != nil {
		return fmt.Errorf("clearing memory for frames: %w", err)
	}
	return nil
}
