package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"gridpost/detection/supervisor"
	"gridpost/detection/wire"
)

// model runs `edge model check FILE`: it loads an object model in a process of its own and describes it.
func (f *flags) model(ctx context.Context, args []string, out io.Writer) error {
	f.withWorker()
	labels := f.set.String("labels", "", "`file` with the name of a class in each line; without it those in the model, or COCO's")
	threads := f.set.Int("threads", 1, "`number` of threads that run the model, 1 to 64")
	if len(args) > 0 && args[0] == "check" {
		args = args[1:]
	} else {
		args = nil // prints the usage
	}
	if err := f.parse(args, 1); err != nil {
		return err
	}
	if *threads < 1 || *threads > 64 {
		return fmt.Errorf("--threads %d is not between 1 and 64", *threads)
	}
	worker, err := findWorker(f.worker)
	if err != nil {
		return err
	}
	m, err := supervisor.CheckModel(ctx, worker, wire.Config{Model: f.args[0], Labels: *labels, Threads: *threads})
	if err != nil {
		return fmt.Errorf("checking the model: %w", err)
	}
	return describeModel(out, f.args[0], *threads, m)
}

func describeModel(out io.Writer, file string, threads int, m supervisor.CheckedModel) error {
	const shown = 5 // labels
	labels := strings.Join(m.Labels[:min(shown, len(m.Labels))], ", ")
	if len(m.Labels) > shown {
		labels += ", ..."
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: good\n", file)
	fmt.Fprintf(&b, "head     %s\n", m.Head)
	for _, in := range m.Inputs {
		fmt.Fprintf(&b, "input    %s\n", in)
	}
	for _, o := range m.Outputs {
		fmt.Fprintf(&b, "output   %s\n", o)
	}
	fmt.Fprintf(&b, "labels   %d (%s)\n", len(m.Labels), labels)
	fmt.Fprintf(&b, "speed    %.1f ms per inference, %.1f ms of it in the runtime; threads: %d\n",
		milliseconds(m.Inference), milliseconds(m.Model.Runtime), threads)
	fmt.Fprintf(&b, "memory   %d MiB, beside the libraries\n", m.Memory>>20)
	fmt.Fprintf(&b, "runtime  %s\n", m.Runtime)
	_, err := io.WriteString(out, b.String())
	return err
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }
