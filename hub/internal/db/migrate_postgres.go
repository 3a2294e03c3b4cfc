package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// lockClass is the first key of the advisory locks of Gridpost ("grid"); the second is of the schema's
// name. A hub holds the lock of its schema shared while it runs, and exclusively while it migrates.
const lockClass = 0x67726964

// extensionLine begins a line of a migration that needs an extension.
const extensionLine = "-- extension: "

// migratePostgres applies the migrations that the schema lacks, each in a transaction of its own, while no
// hub runs on it.
func (d *DB) migratePostgres(ctx context.Context, config *pgx.ConnConfig) (err error) {
	all, err := migrations(d.o.Schema, Postgres)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }() // also unlocks
	if err := checkOrder(ctx, conn); err != nil {
		return err
	}
	for until := time.Now().Add(d.o.lockWait); ; {
		have, err := d.schemaVersion(ctx, conn)
		if err != nil {
			return err
		}
		if old, err := behind(have, all); err != nil || !old {
			return err
		}
		var locked bool
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1, hashtext($2))`, lockClass, d.o.Name).Scan(&locked); err != nil {
			return fmt.Errorf("locking the schema: %w", err)
		}
		if locked {
			break
		}
		// The lock can be shared with hubs that run, but not with one that migrates, which may take its time.
		var running bool
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock_shared($1, hashtext($2)) AND pg_advisory_unlock_shared($1, hashtext($2))`,
			lockClass, d.o.Name).Scan(&running); err != nil {
			return fmt.Errorf("locking the schema: %w", err)
		}
		if !running {
			until = time.Now().Add(d.o.lockWait)
		}
		if time.Now().After(until) {
			return fmt.Errorf("the database has schema %d and must be migrated by this version, but a hub of an earlier version runs on it; stop every hub first: %w", have, errRunning)
		}
		select { // another hub may be migrating
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return d.applyPostgres(ctx, conn, all)
}

// checkOrder refuses a database that orders texts otherwise than by their bytes, as SQLite does: pages of
// lists would skip rows.
func checkOrder(ctx context.Context, conn *pgx.Conn) error {
	var bytewise bool
	if err := conn.QueryRow(ctx, `SELECT 'a-b' < 'aa' AND 'B' < 'a' AND current_setting('server_encoding') = 'UTF8'`).Scan(&bytewise); err != nil {
		return fmt.Errorf("asking for the order of texts: %w", err)
	}
	if !bytewise {
		return errors.New("the database must have encoding UTF8 and the order of bytes; make it with: createdb --template=template0 --encoding=UTF8 --locale=C.UTF-8 NAME")
	}
	return nil
}

// schemaVersion returns the number of the newest migration of the schema; 0 if there is none.
func (d *DB) schemaVersion(ctx context.Context, conn *pgx.Conn) (have int, err error) {
	var exists bool
	table := pgx.Identifier{d.o.Name, "schema_version"}.Sanitize()
	if err = conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, table).Scan(&exists); err == nil && exists {
		err = conn.QueryRow(ctx, `SELECT coalesce(max(number), 0) FROM `+table).Scan(&have)
	}
	if err != nil {
		return 0, fmt.Errorf("reading the version of the schema: %w", err)
	}
	return have, nil
}

// applyPostgres applies the migrations that are newer than the schema. The schema is locked.
func (d *DB) applyPostgres(ctx context.Context, conn *pgx.Conn, all []migration) error {
	name := pgx.Identifier{d.o.Name}.Sanitize()
	var exists bool // a user who may not make it may use one that was made
	if err := conn.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, name).Scan(&exists); err != nil {
		return fmt.Errorf("looking for the schema %s: %w", d.o.Name, err)
	}
	if !exists {
		if _, err := conn.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+name); err != nil {
			return fmt.Errorf("making the schema %s (the user needs CREATE on the database): %w", d.o.Name, err)
		}
	}
	if _, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS `+name+`.schema_version (number BIGINT PRIMARY KEY, at TIMESTAMPTZ NOT NULL DEFAULT now())`); err != nil {
		return fmt.Errorf("making the schema %s: %w", d.o.Name, err)
	}
	have, err := d.schemaVersion(ctx, conn) // again: another process may have migrated before this one got the lock
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.number <= have {
			continue
		}
		for line := range strings.Lines(m.text) {
			if extension, ok := strings.CutPrefix(line, extensionLine); ok {
				if err := addExtension(ctx, conn, strings.TrimSpace(extension)); err != nil {
					return err
				}
			}
		}
		if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Conn().PgConn().Exec(ctx, m.text).ReadAll(); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `INSERT INTO schema_version(number) VALUES ($1)`, m.number)
			return err
		}); err != nil {
			return fmt.Errorf("applying schema file %s: %w", m.name, err)
		}
	}
	return nil
}

// addExtension adds an extension to the database, if the user may and the server has it.
func addExtension(ctx context.Context, conn *pgx.Conn, name string) error {
	var has bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = $1)`, name).Scan(&has); err != nil {
		return fmt.Errorf("looking for the extension %s: %w", name, err)
	}
	if has {
		return nil
	}
	_, err := conn.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS `+pgx.Identifier{name}.Sanitize()+` SCHEMA public`)
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	if e.Code == codeInsufficientPrivilege {
		return fmt.Errorf("the database lacks the extension %s; a superuser of the server must run in it: CREATE EXTENSION %s: %w", name, name, err)
	}
	return fmt.Errorf("the database server lacks the extension %s (Debian has PostGIS in postgresql-15-postgis-3): %w", name, err)
}
