package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"runtime/debug"

	"gridpost/hub/internal/app"
)

func (p program) run(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("hub run", flag.ContinueOnError)
	file := fs.String("config", "", "configuration file (YAML)")
	data := fs.String("data", "", "data folder")
	database := fs.String("database", os.Getenv(app.DatabaseVariable), "URL of a PostgreSQL database; empty: SQLite in the data folder")
	listen := fs.String("listen", "", "address of the console and the API")
	edges := fs.String("edge-listen", "", "address of the edges' port")
	media := fs.String("media-listen", "", "address of live video")
	demo := fs.Bool("demo", false, "the devices are simulated: the console says so at the first visit")
	level := fs.String("log-level", "info", "debug, info, warn or error")
	rest, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return p.usageError("run", "", rest)
	}
	c, err := app.Load(*file)
	if err != nil {
		return err
	}
	for _, o := range []struct{ to, from *string }{
		{&c.Data, data}, {&c.Database, database}, {&c.Listen, listen}, {&c.EdgeListen, edges}, {&c.MediaListen, media},
	} {
		if *o.from != "" {
			*o.to = *o.from
		}
	}
	c.Demo = c.Demo || *demo
	var l slog.Level
	if err := l.UnmarshalText([]byte(*level)); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		// With a thousand edges connected, most of the memory is garbage of requests: a third less of
		// it costs a few percent of the processor.
		debug.SetGCPercent(35)
	}
	return app.Run(ctx, c, version(), slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: l})))
}
