package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/store"
)

func (p program) user(ctx context.Context, args []string) error {
	verb, args, err := p.verb("user", args)
	if err != nil {
		return err
	}
	fs := flag.NewFlagSet("hub user "+verb, flag.ContinueOnError)
	dir := dataFlag(fs)
	role := fs.String("role", "", "monitor, dispatcher or administrator")
	names, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	switch {
	case verb == "add" && len(names) == 1:
		r, err := auth.ParseRole(*role)
		if err != nil {
			return err
		}
		return p.withPassword(*dir, func(people *auth.Service, password string) error {
			return people.AddUser(ctx, who, names[0], password, r)
		})
	case verb == "password" && len(names) == 1:
		return p.withPassword(*dir, func(people *auth.Service, password string) error {
			return people.SetPassword(ctx, who, names[0], password)
		})
	case verb == "list" && len(names) == 0:
		return withStore(*dir, func(s *store.Store) error { return p.userList(ctx, s) })
	}
	return p.wrong("user", verb, names)
}

// withPassword reads a password from standard input, where no list of processes shows it.
func (p program) withPassword(dir string, do func(*auth.Service, string) error) error {
	restore, err := hideInput(p.in)
	if err != nil {
		return fmt.Errorf("reading the password: %w", err)
	}
	if restore != nil {
		fmt.Fprint(p.err, "password: ")
	}
	line, err := bufio.NewReader(p.in).ReadString('\n')
	if restore != nil {
		fmt.Fprintln(p.err)
		restore()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the password: %w", err)
	}
	return withStore(dir, func(s *store.Store) error {
		people, err := auth.New(auth.Options{Store: s})
		if err != nil {
			return err
		}
		return do(people, strings.TrimRight(line, "\r\n"))
	})
}

func (p program) userList(ctx context.Context, s *store.Store) error {
	all, err := s.Users(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tCREATED")
	for _, u := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\n", u.Name, u.Role, u.Created.Format(time.RFC3339))
	}
	return w.Flush()
}

func (p program) token(ctx context.Context, args []string) error {
	verb, args, err := p.verb("token", args)
	if err != nil {
		return err
	}
	fs := flag.NewFlagSet("hub token "+verb, flag.ContinueOnError)
	dir := dataFlag(fs)
	role := fs.String("role", "", "monitor, dispatcher or administrator")
	name := fs.String("name", "unnamed", "what it is for")
	ids, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	switch {
	case verb == "create" && len(ids) == 0:
		r, err := auth.ParseRole(*role)
		if err != nil {
			return err
		}
		return withStore(*dir, func(s *store.Store) error { return p.tokenCreate(ctx, s, *name, r) })
	case verb == "list" && len(ids) == 0:
		return withStore(*dir, func(s *store.Store) error { return p.tokenList(ctx, s) })
	case verb == "revoke" && len(ids) == 1:
		return withStore(*dir, func(s *store.Store) error { return s.RevokeToken(ctx, who, ids[0]) })
	}
	return p.wrong("token", verb, ids)
}

// tokenCreate prints the token, and nothing else on standard output.
func (p program) tokenCreate(ctx context.Context, s *store.Store, name string, role auth.Role) error {
	people, err := auth.New(auth.Options{Store: s})
	if err != nil {
		return err
	}
	text, _, err := people.CreateToken(ctx, who, name, role)
	if err != nil {
		return err
	}
	fmt.Fprintln(p.out, text)
	return nil
}

func (p program) tokenList(ctx context.Context, s *store.Store) error {
	all, err := s.Tokens(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tROLE\tCREATED")
	for _, t := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", t.ID, t.Name, t.Role, t.Created.Format(time.RFC3339))
	}
	return w.Flush()
}
