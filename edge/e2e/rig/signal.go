package rig

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// UntilSignal returns a context that ends with the first of the signals. The signals stay handled until
// the process ends, so that one that arrives during the shutdown changes nothing; a second one ends the
// process at once. It is for use in main.
func UntilSignal(signals ...os.Signal) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	received := make(chan os.Signal, 2)
	signal.Notify(received, signals...)
	go func() {
		<-received
		cancel()
		second := <-received
		signal.Reset(second) // restore the default action
		if s, ok := second.(syscall.Signal); !ok || syscall.Kill(os.Getpid(), s) != nil {
			os.Exit(1)
		}
	}()
	return ctx
}
