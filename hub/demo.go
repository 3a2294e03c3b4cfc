package main

import (
	"context"
	"flag"
	"log/slog"

	"gridpost/hub/internal/demo"
)

func (p program) demo(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("hub demo", flag.ContinueOnError)
	o := demo.Options{Out: p.out, Logger: slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	fs.StringVar(&o.Data, "data", "demo-data", "folder of all data")
	fs.StringVar(&o.Listen, "listen", "127.0.0.1:8080", "address of the console and the API")
	fs.StringVar(&o.Video, "video", "", "video file for the simulated cameras; default: pedestrians from Debian's opencv-doc")
	fs.StringVar(&o.Footage, "footage", "", "folder of converted videos; default: in the data folder")
	fs.Func("camera", "URL of a real camera in place of the simulated ones; may be repeated", func(url string) error {
		o.Cameras = append(o.Cameras, url)
		return nil
	})
	rest, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return p.usageError("demo", "", rest)
	}
	return demo.Run(ctx, o)
}
