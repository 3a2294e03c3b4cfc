package onnx

import (
	"errors"
	"fmt"
	"io"
	"os"

	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/sys/unix"
)

// Source is a model file that was read but not parsed, with the runtime loaded. Nothing after it
// needs a file.
type Source struct {
	path    string
	copy    *os.File // of the model in memory
	labels  []string
	threads int
}

// Options are how a model is loaded.
type Options struct {
	Path    string // of the model file
	Labels  string // path of a file with one class name per line; empty: those of the model's metadata, else COCO's if it has 80 classes
	Threads int    // that run the model; 0: 1
}

// Read reads the files and loads the runtime. Weights in files of their own ("external data") are not
// supported.
func Read(o Options) (*Source, error) {
	names, err := readLabels(o.Labels)
	if err != nil {
		return nil, err
	}
	model, err := copyModel(o.Path)
	if err != nil {
		return nil, fmt.Errorf("opening the model: %w", err)
	}
	if err := loadRuntime(); err != nil {
		return nil, errors.Join(err, model.Close())
	}
	return &Source{path: o.Path, copy: model, labels: names, threads: max(o.Threads, 1)}, nil
}

// loadRuntime loads ONNX Runtime.
func loadRuntime() error {
	library, err := FindRuntime()
	if err != nil {
		return err
	}
	// Otherwise newer versions report their use to their vendor, and leave a log file in /tmp each time.
	if err := os.Setenv("ORT_DISABLE_TELEMETRY", "1"); err != nil {
		return fmt.Errorf("loading ONNX Runtime: %w", err)
	}
	ort.SetSharedLibraryPath(library)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return fmt.Errorf("loading ONNX Runtime from %s: %w", library, err)
	}
	if err := warmUp(); err != nil {
		return errors.Join(fmt.Errorf("trying ONNX Runtime: %w", err), ort.DestroyEnvironment())
	}
	return nil
}

// warmUp runs a model of one node. The runtime looks at the machine's CPU when it does so for the first
// time, for which it needs files; without them it uses kernels that take three times as long.
func warmUp() error {
	options, err := sessionOptions(1)
	if err != nil {
		return err
	}
	session, err := ort.NewDynamicAdvancedSessionWithONNXData([]byte(identityModel), []string{"i"}, []string{"o"}, options)
	if err != nil {
		return errors.Join(err, options.Destroy())
	}
	return errors.Join(session.Destroy(), options.Destroy())
}

// identityModel is an ONNX file (onnx.proto) whose output is its input, one float.
const identityModel = "\x08\x08" + // ir_version
	"\x3a\x2f" + // graph
	"\x0a\x10\x0a\x01i\x12\x01o\x22\x08Identity" + // node
	"\x12\x01g" + // name
	"\x5a\x0b\x0a\x01i\x12\x06\x0a\x04\x08\x01\x12\x00" + // input
	"\x62\x0b\x0a\x01o\x12\x06\x0a\x04\x08\x01\x12\x00" + // output
	"\x42\x02\x10\x0d" // opset_import

// checkFile describes the file at path. It returns an error for what is no file, such as a pipe, which would be
// read for ever.
func checkFile(path string) (os.FileInfo, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	return info, err
}

// copyModel returns a memory file with the content of the file at path.
func copyModel(path string) (*os.File, error) {
	if _, err := checkFile(path); err != nil {
		return nil, err
	}
	f, err := os.Open(path) // configured by the operator
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	fd, err := unix.MemfdCreate("model", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("copying it to memory: %w", err)
	}
	model := os.NewFile(uintptr(fd), "model")
	n, err := io.Copy(model, io.LimitReader(f, maxModel+1))
	if err == nil && n > maxModel {
		err = fmt.Errorf("%s is larger than %d MiB", path, maxModel>>20)
	}
	if err == nil && n == 0 {
		err = fmt.Errorf("%s is empty", path)
	}
	if err != nil {
		return nil, errors.Join(err, model.Close())
	}
	return model, nil
}

// Open parses the model and runs it. It may be called once. It needs no file and no privilege, so that a
// process can confine itself before.
func (s *Source) Open() (*Model, error) {
	m := &Model{runtime: "ONNX Runtime " + ort.GetVersion()}
	err := errors.Join(s.open(m), s.copy.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the model %s cannot be used: %w", s.path, err), m.Close())
	}
	return m, nil
}

func (s *Source) open(m *Model) error {
	size, err := unix.Seek(int(s.copy.Fd()), 0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	file, err := unix.Mmap(int(s.copy.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	return errors.Join(m.load(file, s.labels, s.threads), unix.Munmap(file))
}
