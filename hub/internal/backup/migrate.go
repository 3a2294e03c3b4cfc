package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"gridpost/hub/internal/store/secrets"
	"gridpost/hub/internal/store/telemetry"
)

// MigrateOptions of a migration.
type MigrateOptions struct {
	From, To Place
	Progress Progress
	Logger   *slog.Logger
}

// Migrate copies everything of a hub that does not run into another, empty place, and checks the copy. The source
// is not changed, but for readings of an older version, which move to the database of telemetry first.
func Migrate(ctx context.Context, o MigrateOptions) (err error) {
	shared := Options{Progress: o.Progress, Logger: o.Logger}
	shared.setDefaults()
	o.Progress, o.Logger = shared.Progress, shared.Logger
	unlock, err := o.From.lock(ctx)
	if err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	unlock() // opening it may need the lock, for migrations
	source, err := o.From.open(ctx, false, o.Logger)
	if err != nil {
		return fmt.Errorf("opening the source: %w", err)
	}
	defer func() { err = errors.Join(err, source.close()) }()
	if unlock, err = o.From.lock(ctx); err == nil {
		defer unlock()
	} else if o.From.URL == "" {
		return fmt.Errorf("the source: %w", err)
	}
	if err := adopt(ctx, source, o.Logger); err != nil {
		return err
	}
	target, err := o.To.open(ctx, true, o.Logger)
	if err != nil {
		return fmt.Errorf("opening the target: %w", err)
	}
	defer func() { err = errors.Join(err, target.close()) }()
	for _, d := range databases() {
		t := target.dbs[d.name]
		if err := d.checkEmpty(t.Read(ctx), t.Engine()); err != nil {
			return err
		}
	}
	if err := copyAuthority(ctx, source, target); err != nil {
		return fmt.Errorf("copying the key of the certificate authority: %w", err)
	}
	if err := copyAuditKey(ctx, source, target, o.Progress); err != nil {
		return fmt.Errorf("copying the key of the audit log: %w", err)
	}
	if err := copyEvidence(ctx, source, target, o.Progress); err != nil {
		return fmt.Errorf("copying evidence: %w", err)
	}
	return copyAll(ctx, source, target, o.Progress)
}

// adopt moves what an older version kept in the hub's own database.
func adopt(ctx context.Context, h *hub, logger *slog.Logger) error {
	r := telemetry.New(h.dbs[telemetry.Name], logger)
	if err := r.Adopt(ctx, h.dbs["hub"]); err != nil {
		return err
	}
	return r.AdoptReadings(ctx, h.dbs["hub"])
}

// copyAll copies both databases and checks the copies.
func copyAll(ctx context.Context, from, to *hub, progress Progress) error {
	for _, d := range databases() {
		copied, err := copyDatabase(ctx, d, from.dbs[d.name], to.dbs[d.name], progress)
		if err == nil {
			err = verify(ctx, d, to.dbs[d.name], copied, progress)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyAuthority(ctx context.Context, from, to *hub) error {
	text, err := from.secret(secrets.Authority()).Load(ctx)
	if err != nil || text == nil {
		return err
	}
	return to.secret(secrets.Authority()).Create(ctx, text)
}

// copyEvidence copies the files that the source has as they are recorded.
func copyEvidence(ctx context.Context, from, to *hub, progress Progress) error {
	all, err := records(from.dbs["hub"].Read(ctx))
	if err != nil {
		return err
	}
	source, target := from.evidence(), to.evidence()
	report, missing := reporter(progress, "evidence"), 0
	for i, v := range all {
		f, err := source.Open(ctx, v.Key)
		if err == nil {
			err = putFile(ctx, target, v.Key, f, v.sha256)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			missing++
			progress(fmt.Sprintf("evidence %s/%s is not copied: %v", v.Incident, v.Name, err))
		}
		report(int64(i+1), false)
	}
	progress(fmt.Sprintf("evidence: %d files, %d missing", len(all)-missing, missing))
	return nil
}
