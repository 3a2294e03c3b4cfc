package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"regexp"
	"text/tabwriter"
	"time"

	"gridpost/firmware-config/enrol"
	"gridpost/hub/internal/app"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/store"
)

// who stands in the audit for whoever has access to the data folder.
const who = "command line"

// data adds the flag that all commands on a data folder have.
func dataFlag(fs *flag.FlagSet) *string {
	return fs.String("data", app.Defaults().Data, "data folder of the hub")
}

// withStore opens the store for one command.
func withStore(dir string, do func(*store.Store) error) (err error) {
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	return do(s)
}

func (p program) edge(ctx context.Context, args []string) error {
	verb, args, err := p.verb("edge", args)
	if err != nil {
		return err
	}
	fs := flag.NewFlagSet("hub edge "+verb, flag.ContinueOnError)
	dir := dataFlag(fs)
	valid := fs.Duration("valid", 72*time.Hour, "how long the token can be redeemed")
	names, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	switch {
	case verb == "add" && len(names) == 1:
		return withStore(*dir, func(s *store.Store) error { return p.edgeAdd(ctx, s, names[0], *valid) })
	case verb == "list" && len(names) == 0:
		return withStore(*dir, func(s *store.Store) error { return p.edgeList(ctx, s) })
	case verb == "revoke" && len(names) == 1:
		return withStore(*dir, func(s *store.Store) error { return s.RevokeEdge(ctx, who, names[0]) })
	}
	return p.wrong("edge", verb, names)
}

// edgeAdd prints a one-time token, and nothing else on standard output.
func (p program) edgeAdd(ctx context.Context, s *store.Store, name string, valid time.Duration) error {
	if !regexp.MustCompile(`^[a-z0-9-]{1,40}$`).MatchString(name) {
		return fmt.Errorf("an edge's name is of [a-z0-9-]{1,40}, not %q", name)
	}
	ca, err := authority.Open(s.Dir(), nil)
	if err != nil {
		return err
	}
	secret := auth.Secret()
	hash := sha256.Sum256([]byte(secret))
	if err := s.AddEdge(ctx, who, name, hash[:], time.Now().Add(valid)); err != nil {
		return err
	}
	fmt.Fprintln(p.out, enrol.Token{Name: name, Secret: secret, SHA256: ca.Fingerprint()})
	fmt.Fprintf(p.err, "On the box, within %s: edge enrol https://HUB:8443 TOKEN\n", valid)
	return nil
}

func (p program) edgeList(ctx context.Context, s *store.Store) error {
	all, err := s.Edges(ctx)
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
