package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"

	"gridpost/hub/internal/backup"
)

// progress prints a line of progress.
func (p program) progress(text string) { fmt.Fprintln(p.err, text) }

// warnings is the logger of commands that print their progress themselves.
func (p program) warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// backup prints the folder of the backup on standard output.
func (p program) backup(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("hub backup", flag.ContinueOnError)
	place := addDatabaseFlags(fs)
	rest, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return p.usageError("backup", "", rest)
	}
	from := backup.Place{Dir: place.data, URL: place.database}
	dir, err := backup.Backup(ctx, backup.Options{From: from, Dir: rest[0], AuditKey: place.auditKey, Program: version(), Progress: p.progress, Logger: p.warnings()})
	if err != nil {
		return err
	}
	fmt.Fprintln(p.out, dir)
	return nil
}

func (p program) restore(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("hub restore", flag.ContinueOnError)
	from := fs.String("from", "", "a backup, or a folder of backups, of which the newest complete one is restored")
	force := fs.Bool("force", false, "move existing data of a hub aside")
	place := addDatabaseFlags(fs)
	rest, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 || *from == "" {
		return p.usageError("restore", "", rest)
	}
	to := backup.Place{Dir: place.data, URL: place.database}
	out, err := backup.Restore(ctx, backup.RestoreOptions{From: *from, To: to, Force: *force, AuditKey: place.auditKey, Progress: p.progress, Logger: p.warnings()})
	if out.Aside != "" {
		p.progress("the previous data is now in " + out.Aside)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "restored %s, made at %s\n", out.Backup, out.Manifest.Created.Format("2006-01-02 15:04:05 MST"))
	return nil
}

func (p program) migrate(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("hub migrate", flag.ContinueOnError)
	from := fs.String("from", "", "sqlite:DIR or postgres://...")
	to := fs.String("to", "", "sqlite:DIR or postgres://...")
	rest, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return p.usageError("migrate", "", rest)
	}
	source, err1 := backup.ParsePlace(*from)
	target, err2 := backup.ParsePlace(*to)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := backup.Migrate(ctx, backup.MigrateOptions{From: source, To: target, Progress: p.progress, Logger: p.warnings()}); err != nil {
		return err
	}
	fmt.Fprintln(p.out, "migrated; all rows were counted and compared")
	return nil
}
