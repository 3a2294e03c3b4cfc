package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"gridpost/devices/durable"
)

const (
	// HeadFileName is the name of the file in a data folder that remembers heads.
	HeadFileName = "audit-heads.jsonl"

	maxHeadFile = 1 << 20 // bytes
	maxHeadLine = 4 << 10 // bytes
)

// HeadFile is a file of heads, one JSON object in a line. It is opened for each use, so that it can be moved away.
// One caller at a time may append.
type HeadFile struct {
	Path    string
	MaxSize int64 // bytes; a file that is larger is renamed to Path+".1", in place of the one before; 0: whoever chose the path removes old ones
}

// Append writes a head to the disk.
func (f *HeadFile) Append(h Head) (err error) {
	line, err := h.Line()
	if err != nil {
		return err
	}
	if info, err := os.Stat(f.Path); f.MaxSize > 0 && err == nil && info.Size() > f.MaxSize {
		if err := durable.Rename(f.Path, f.Path+".1"); err != nil {
			return fmt.Errorf("writing a head of the audit log: %w", err)
		}
	}
	_, err = os.Stat(f.Path)
	created := errors.Is(err, fs.ErrNotExist)
	file, err := os.OpenFile(f.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("writing a head of the audit log: %w", err)
	}
	// The line begins with an end of line: a power cut may have left a part of the one before.
	_, err = file.Write(append([]byte("\n"), line...))
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil && created {
		err = durable.SyncDir(filepath.Dir(f.Path))
	}
	if err != nil {
		return fmt.Errorf("writing a head of the audit log: %w", err)
	}
	return nil
}

// Last returns the last head in the file that can be read; nil if there is none.
func (f *HeadFile) Last() (*Head, error) {
	for _, path := range []string{f.Path, f.Path + ".1"} {
		h, err := lastOf(path)
		if err != nil || h != nil {
			return h, err
		}
	}
	return nil, nil
}

func lastOf(path string) (*Head, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the heads of the audit log: %w", err)
	}
	defer file.Close() //nolint:errcheck // it is only read
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the heads of the audit log: %w", err)
	}
	end := make([]byte, min(info.Size(), 8*maxHeadLine))
	if _, err := file.ReadAt(end, info.Size()-int64(len(end))); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the heads of the audit log: %w", err)
	}
	for _, line := range slices.Backward(bytes.Split(end, []byte("\n"))) {
		if h, err := ParseHead(line); err == nil {
			return &h, nil
		}
	}
	return nil, nil
}

// ReadHeads reads heads out of a file: one JSON object, or one in a line, such as a log of syslog has them. It also
// returns how many lines it could not read.
func ReadHeads(path string) (all []Head, unread int, err error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, fmt.Errorf("reading heads: %w", err)
	}
	if h, err := ParseHead(file); err == nil {
		return []Head{h}, 0, nil
	}
	for line := range bytes.Lines(file) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		from, to := bytes.IndexByte(line, '{'), bytes.LastIndexByte(line, '}')
		if from < 0 || to < from {
			unread++
			continue
		}
		h, err := ParseHead(line[from : to+1])
		if err != nil {
			unread++
			continue
		}
		all = append(all, h)
	}
	if len(all) == 0 {
		return nil, unread, fmt.Errorf("reading heads: %s has none", path)
	}
	return all, unread, nil
}
