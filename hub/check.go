package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"gridpost/hub/internal/app"
)

// check reports errors in a configuration, and what a hub lacks on this machine.
func (p program) check(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("hub check", flag.ContinueOnError)
	file := fs.String("config", "", "configuration file (YAML)")
	data := fs.String("data", "", "data folder")
	database := fs.String("database", os.Getenv(app.DatabaseVariable), "URL of a PostgreSQL database; empty: SQLite in the data folder")
	rest, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return p.usageError("check", "", rest)
	}
	name := *file
	if name == "" {
		name = "defaults"
	}
	c, err := app.Load(*file)
	if err != nil {
		return err
	}
	if *data != "" {
		c.Data = *data
	}
	if *database != "" {
		c.Database = *database
	}
	findings := app.Check(ctx, c)
	for _, f := range findings {
		if _, err := fmt.Fprintf(p.out, "%s: %s\n", name, f); err != nil {
			return err
		}
	}
	if n := app.Problems(findings); n > 0 {
		return fmt.Errorf("checking %s: %d problems", name, n)
	}
	_, err = fmt.Fprintf(p.out, "%s: good: a hub can run\n", name)
	return err
}
