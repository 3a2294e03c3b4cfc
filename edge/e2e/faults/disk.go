package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Disk is a small file system of its own (tmpfs) that can be filled. Without the right to mount,
// it is an ordinary folder that cannot be filled: see Real.
type Disk struct {
	Dir  string
	Real bool // it is mounted, and Fill works
	sudo bool
}

// NewDisk mounts a file system of so many bytes at dir, which it creates.
func NewDisk(dir string, bytes int64) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a disk: %w", err)
	}
	d := &Disk{Dir: dir}
	options := fmt.Sprintf("size=%d,mode=700", bytes)
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options)
	if err == nil {
		d.Real = true
		return d, nil
	}
	if !errors.Is(err, syscall.EPERM) {
		return nil, fmt.Errorf("mounting %s: %w", dir, err)
	}
	options += ",uid=" + strconv.Itoa(os.Getuid()) + ",gid=" + strconv.Itoa(os.Getgid())
	if err := exec.Command("sudo", "-n", "mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).Run(); err == nil {
		d.Real, d.sudo = true, true
	}
	return d, nil
}

// Close unmounts the disk; what was on it is gone. save, if not empty, is a folder that gets a
// copy of it first.
func (d *Disk) Close(save string) error {
	if !d.Real {
		return nil
	}
	var saved error
	if save != "" {
		_ = d.Free() // it need not be full
		saved = copyFiles(d.Dir, save)
	}
	if d.sudo {
		return errors.Join(saved, exec.Command("sudo", "-n", "umount", "-l", d.Dir).Run())
	}
	return errors.Join(saved, syscall.Unmount(d.Dir, syscall.MNT_DETACH))
}

func (d *Disk) ballast() string { return filepath.Join(d.Dir, "ballast") }

// Fill takes all free space of the disk.
func (d *Disk) Fill() (err error) {
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("filling the disk: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for block := make([]byte, 64<<10); len(block) > 0; block = block[:len(block)/2] {
		for err == nil {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("filling the disk: %w", err)
		}
		err = nil
	}
	return nil
}

// Free gives the space back.
func (d *Disk) Free() error {
	if err := os.Remove(d.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("freeing the disk: %w", err)
	}
	return nil
}

// copyFiles copies the regular files of a folder, with its sub-folders, except the ballast.
func copyFiles(from, to string) error {
	err := filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o700)
		case !entry.Type().IsRegular() || entry.Name() == "ballast":
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o600)
	})
	if err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	return nil
}
