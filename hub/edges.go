package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"gridpost/firmware-config/enrol"
	"gridpost/hub/internal/app"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/names"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/secrets"
)

// commandLine is the user of the audit log's entries for changes made by commands.
const commandLine = "command line"

// databaseFlags say where the hub's data is stored.
type databaseFlags struct{ data, database, auditKey string }

// addDatabaseFlags adds the flags that all commands on a hub's data share.
func addDatabaseFlags(fs *flag.FlagSet) *databaseFlags {
	p := &databaseFlags{}
	fs.StringVar(&p.data, "data", app.Defaults().Data, "data folder of the hub")
	fs.StringVar(&p.database, "database", os.Getenv(app.DatabaseVariable), "URL of the hub's PostgreSQL database; empty: SQLite in the data folder")
	fs.StringVar(&p.auditKey, "audit-key", os.Getenv(app.AuditKeyVariable), "file with the key of the audit log; empty: it is where the hub keeps it")
	return p
}

// withDatabase opens the hub's database for one command.
func withDatabase(ctx context.Context, at databaseFlags, do func(*db.DB) error) error {
	return withAudit(ctx, at, false, func(d *db.DB, _ *audit.Repository) error { return do(d) })
}

// withAudit opens the hub's database for one command, with the audit log. replace makes that go on without its key.
func withAudit(ctx context.Context, at databaseFlags, replace bool, do func(*db.DB, *audit.Repository) error) (err error) {
	d, err := db.Open(ctx, db.Options{Dir: at.data, URL: at.database, Schema: schema.Hub(), Name: "hub"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	log, err := audit.Open(ctx, d, audit.Options{KeyFile: at.auditKey, Dir: at.data, Replace: replace})
	if errors.Is(err, audit.ErrKey) {
		err = fmt.Errorf("%w (--audit-key FILE, or the variable %s)", err, app.AuditKeyVariable)
	}
	if err != nil {
		return err
	}
	return do(d, log)
}

// withEdges opens the hub's database for one command about edges.
func withEdges(ctx context.Context, at databaseFlags, do func(*db.DB, *edges.Repository) error) error {
	return withDatabase(ctx, at, func(d *db.DB) error { return do(d, app.NewEdges(d)) })
}

func (p program) edge(ctx context.Context, args []string) error {
	verb, args, err := p.splitVerb("edge", args)
	if err != nil {
		return err
	}
	fs := flag.NewFlagSet("hub edge "+verb, flag.ContinueOnError)
	at := addDatabaseFlags(fs)
	valid := fs.Duration("valid", 72*time.Hour, "how long the token can be redeemed")
	names, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	switch {
	case verb == "add" && len(names) == 1:
		return withEdges(ctx, *at, func(d *db.DB, r *edges.Repository) error {
			return p.edgeAdd(ctx, secrets.Of(d, at.data, secrets.Authority()), r, names[0], *valid)
		})
	case verb == "list" && len(names) == 0:
		return withEdges(ctx, *at, func(_ *db.DB, r *edges.Repository) error { return p.edgeList(ctx, r) })
	case verb == "revoke" && len(names) == 1:
		return withEdges(ctx, *at, func(_ *db.DB, r *edges.Repository) error { return r.Revoke(ctx, commandLine, names[0]) })
	}
	return p.usageError("edge", verb, names)
}

// edgeAdd prints a one-time token, and nothing else on standard output.
func (p program) edgeAdd(ctx context.Context, s authority.Store, r *edges.Repository, name string, valid time.Duration) error {
	if err := names.CheckEdge(name); err != nil {
		return fmt.Errorf("adding edge %q: %w", name, err)
	}
	ca, err := authority.Open(ctx, s, nil)
	if err != nil {
		return err
	}
	secret := auth.Secret()
	hash := sha256.Sum256([]byte(secret))
	if err := r.Add(ctx, commandLine, name, hash[:], time.Now().Add(valid)); err != nil {
		return err
	}
	fmt.Fprintln(p.out, enrol.Token{Name: name, Secret: secret, SHA256: ca.Fingerprint()})
	fmt.Fprintf(p.err, "On the edge, within %s: edge enrol https://HUB:8443 TOKEN\n", valid)
	return nil
}

func (p program) edgeList(ctx context.Context, r *edges.Repository) error {
	all, err := r.Edges(ctx, scope.All())
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tLAST SEEN\tVERSION")
	for _, e := range all {
		seen := "never"
		if e.LastSeen != nil {
			seen = e.LastSeen.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Name, e.State, seen, e.Version)
	}
	return w.Flush()
}
