// Command hubbench measures a hub under the load of a town, with its programs as they are built, on
// SQLite and on PostgreSQL, and prints one JSON object. It is also the generator of that load, on the
// same machine: edges are TLS clients with certificates that the hub issued, consoles are readers of the
// live stream.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"gridpost/edge/e2e/rig"
)

// options say what is measured.
type options struct {
	programs rig.Programs
	engines  []string // sqlite, postgres
	parts    []string // load, scale, failover, console

	edges    int
	consoles int
	seconds  int // of steady load

	incidents, readings, devices int // rows of the parts scale and console

	pruning  time.Duration // of part scale
	failover time.Duration // of part failover
	seed     uint64        // of its random kills
}

// report is what is printed.
type report struct {
	Machine  machine          `json:"machine"`
	Load     []loadFigure     `json:"load,omitempty"`
	Scale    []scaleFigure    `json:"scale,omitempty"`
	Failover *failoverFigures `json:"failover,omitempty"`
	Console  []consoleFigure  `json:"console,omitempty"`
}

type machine struct {
	Cores int    `json:"cores"`
	Go    string `json:"go"`
}

func main() {
	var o options
	programs := flag.String("programs", "bin", "`folder` of the programs")
	engines := flag.String("engines", "sqlite,postgres", "databases to measure")
	parts := flag.String("only", "load,scale,failover", "parts to measure")
	flag.IntVar(&o.edges, "edges", 1000, "simulated edges")
	flag.IntVar(&o.consoles, "consoles", 100, "live streams")
	flag.IntVar(&o.seconds, "seconds", 60, "seconds of steady load")
	flag.IntVar(&o.incidents, "incidents", 1_000_000, "incidents of the parts scale and console")
	flag.IntVar(&o.readings, "readings", 30_000_000, "readings of the parts scale and console")
	flag.IntVar(&o.devices, "devices", 2000, "devices of the parts scale and console")
	flag.DurationVar(&o.pruning, "pruning", 2*time.Minute, "how long expired rows are deleted while alerts come")
	flag.DurationVar(&o.failover, "failover", 10*time.Minute, "how long hubs are killed at random")
	flag.Uint64Var(&o.seed, "seed", 0, "of the random kills; 0: a new one")
	flag.Parse()
	o.programs, o.engines, o.parts = rig.Programs(*programs), strings.Split(*engines, ","), strings.Split(*parts, ",")
	// Never stopped: a signal that is handled while the program ends would kill it.
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if err := measure(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "hubbench:", err)
		os.Exit(1)
	}
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func measure(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "gridpost-hubbench-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer func() {
		if err != nil {
			progress("The logs of the programs are in %s", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	r := report{Machine: machine{Cores: runtime.NumCPU(), Go: runtime.Version()}}
	for _, part := range o.parts {
		switch part {
		case "load":
			err = eachEngine(ctx, o, dir, func(e engine) error {
				f, err := measureLoad(ctx, o, e)
				r.Load = append(r.Load, f)
				return err
			})
		case "scale":
			err = eachEngine(ctx, o, dir, func(e engine) error {
				f, err := measureScale(ctx, o, e)
				r.Scale = append(r.Scale, f)
				return err
			})
		case "failover":
			r.Failover, err = measureFailover(ctx, o, filepath.Join(dir, "failover"))
		case "console":
			err = eachEngine(ctx, o, dir, func(e engine) error {
				f, err := measureConsole(ctx, o, e)
				r.Console = append(r.Console, f)
				return err
			})
		default:
			err = fmt.Errorf("there is no part %q: load, scale, failover, console", part)
		}
		if err != nil {
			return fmt.Errorf("measuring %s: %w", part, err)
		}
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	fmt.Println(string(text))
	return nil
}
