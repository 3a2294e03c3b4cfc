// Command torture runs Gridpost's programs under random faults, two at a time, and checks that
// nothing that was acknowledged is lost, doubled or wrong: see package faults. It prints progress on
// standard error and one line of JSON on standard output, and exits with 1 on any violation.
//
// The seed is printed; the same seed repeats the plan of faults, though not the exact timing.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"time"

	"gridpost/edge/e2e/faults"
	"gridpost/edge/e2e/rig"
)

func main() {
	programs := flag.String("programs", "bin", "folder of edge, hub and worker")
	seconds := flag.Int("seconds", 120, "how long faults are injected")
	seed := flag.Uint64("seed", 0, "repeats the plan of an earlier run; 0: a new one")
	only := flag.String("only", "", "beginnings of the names of the faults to inject, separated by commas")
	cache := flag.String("cache", "", "folder for an edge whose clock can be set")
	keep := flag.Bool("keep", false, "keep logs even if nothing was violated")
	flag.Parse()
	ctx := rig.UntilSignal(os.Interrupt, syscall.SIGTERM)
	ok, err := torture(ctx, faults.Options{
		Programs: rig.Programs(*programs), Root: ".", Cache: *cache, Seed: *seed, For: time.Duration(*seconds) * time.Second, Only: split(*only),
	}, *keep)
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func torture(ctx context.Context, o faults.Options, keep bool) (ok bool, err error) {
	if err := o.Programs.Check(); err != nil {
		return false, err
	}
	for o.Seed == 0 {
		o.Seed = rand.Uint64N(1e9)
	}
	if o.Dir, err = os.MkdirTemp("", "gridpost-torture-"); err != nil {
		return false, fmt.Errorf("making a folder: %w", err)
	}
	o.Progress = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	o.Progress("Torturing for %v with -seed %d; logs are in %s", o.For, o.Seed, o.Dir)
	result, err := faults.Run(ctx, o)
	line, marshalErr := json.Marshal(result)
	if marshalErr != nil {
		return false, fmt.Errorf("writing the result: %w", marshalErr)
	}
	fmt.Println(string(line))
	if err != nil || !result.OK || keep {
		o.Progress("Logs and data are kept in %s", o.Dir)
		return result.OK, err
	}
	return true, os.RemoveAll(o.Dir)
}
