package main

import (
	"context"
	"flag"
	"log/slog"

	"gridpost/hub/internal/app"
)

func (p program) run(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("hub run", flag.ContinueOnError)
	file := fs.String("config", "", "configuration file (YAML)")
	data := fs.String("data", "", "data folder")
	listen := fs.String("listen", "", "address of the console and the API")
	edges := fs.String("edge-listen", "", "address of the edges' port")
	media := fs.String("media-listen", "", "address of live video")
	level := fs.String("log-level", "info", "debug, info, warn or error")
	rest, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return p.wrong("run", "", rest)
	}
	c, err := app.Load(*file)
	if err != nil {
		return err
	}
	for _, o := range []struct{ to, from *string }{
		{&c.Data, data}, {&c.Listen, listen}, {&c.EdgeListen, edges}, {&c.MediaListen, media},
	} {
		if *o.from != "" {
			*o.to = *o.from
		}
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(*level)); err != nil {
		return err
	}
	return app.Run(ctx, c, version(), slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: l})))
}
