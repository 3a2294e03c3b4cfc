package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"gridpost/detection/wire"
)

// inferArgument makes the worker's program an inference process.
const inferArgument = "infer"

// CheckedModel is what CheckModel found out.
type CheckedModel struct {
	wire.Model
	Runtime string // the runtime's name and version
	Memory  uint64 // bytes that the process that runs the model has written, its libraries not counted
}

// CheckModel loads a model in a confined process that is used for nothing else, runs it, and describes
// it. cfg needs Model, Labels and Threads. The error says why the model cannot be used. CheckModel blocks;
// ctx ends it.
func CheckModel(ctx context.Context, binary string, cfg wire.Config) (CheckedModel, error) {
	o := (Options{Memory: cfg.Limits.Memory}).withDefaults()
	var err error
	if cfg.Limits, err = o.limits(); err != nil {
		return CheckedModel{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.StartTimeout, fmt.Errorf("it was not loaded within %v", o.StartTimeout))
	defer cancel()
	p, err := start(binary, nil, inferArgument)
	if err != nil {
		return CheckedModel{}, err
	}
	var checked CheckedModel
	err = p.runWithin(ctx, func() error {
		ready, err := p.configure(cfg)
		if err != nil {
			return err
		}
		if err := validateModel(ready.Model); err != nil {
			return err
		}
		checked = CheckedModel{Model: *ready.Model, Runtime: sanitise(ready.Detector)}
		checked.Memory, err = anonymousMemory(p.cmd.Process.Pid)
		return err
	})
	p.stop(err == nil)
	if err == nil {
		return checked, nil
	}
	if ctx.Err() != nil {
		return CheckedModel{}, context.Cause(ctx)
	}
	if gaveUp := gaveUpError(""); errors.As(err, &gaveUp) {
		return CheckedModel{}, errors.New(string(gaveUp))
	}
	cause, _ := describe(p, err)
	return CheckedModel{}, errors.New(cause.Text)
}

// validateModel returns an error for a description that no valid inference process sends.
func validateModel(m *wire.Model) error {
	const maxLabels = 4096
	if m == nil || m.Width < 1 || m.Height < 1 || m.Width > wire.MaxInput || m.Height > wire.MaxInput ||
		m.Inference <= 0 || m.Runtime < 0 || m.CPU < 0 || len(m.Labels) > maxLabels || len(m.Inputs) > maxDetections || len(m.Outputs) > maxDetections {
		return fmt.Errorf("an invalid description of the model: %w", wire.ErrMalformed)
	}
	m.Head = sanitise(m.Head)
	for _, list := range [][]string{m.Inputs, m.Outputs, m.Labels} {
		for i := range list {
			list[i] = sanitise(list[i])
		}
	}
	return nil
}

// anonymousMemory returns the memory in bytes of the process pid that is no part of a file
// (proc_pid_smaps(5)).
func anonymousMemory(pid int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of the process: %w", err)
	}
	for line := range bytes.Lines(text) {
		value, ok := bytes.CutPrefix(line, []byte("Anonymous:"))
		if !ok {
			continue
		}
		kB, err := strconv.ParseUint(string(bytes.TrimSuffix(bytes.TrimSpace(value), []byte(" kB"))), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the memory of the process: %w", err)
		}
		return kB << 10, nil
	}
	return 0, errors.New("reading the memory of the process: the kernel does not say")
}
