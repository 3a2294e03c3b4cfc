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

	"gridpost/hub/internal/announce"
	"gridpost/hub/internal/app"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/people"
)

func (p program) user(ctx context.Context, args []string) error {
	verb, args, err := p.splitVerb("user", args)
	if err != nil {
		return err
	}
	fs := flag.NewFlagSet("hub user "+verb, flag.ContinueOnError)
	at := addDatabaseFlags(fs)
	role := fs.String("role", "", "monitor, dispatcher or administrator")
	sites := fs.String("sites", "all", "sites that the user may see, separated by commas")
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
		return p.withPassword(ctx, *at, func(users *auth.Service, password string) error {
			_, err := users.AddUserIn(ctx, commandLine, names[0], password, r, parseSites(*sites))
			return err
		})
	case verb == "sites" && len(names) == 1:
		return withUsers(ctx, *at, func(users *auth.Service, _ *people.Repository) error {
			return users.SetScope(ctx, commandLine, names[0], parseSites(*sites))
		})
	case verb == "password" && len(names) == 1:
		return p.withPassword(ctx, *at, func(users *auth.Service, password string) error {
			return users.SetPassword(ctx, commandLine, names[0], password)
		})
	case verb == "totp-remove" && len(names) == 1:
		return withUsers(ctx, *at, func(_ *auth.Service, r *people.Repository) error {
			return r.RemoveTOTP(ctx, commandLine, names[0])
		})
	case verb == "rename" && len(names) == 2:
		return withUsers(ctx, *at, func(users *auth.Service, _ *people.Repository) error {
			return users.RenameUser(ctx, commandLine, names[0], names[1])
		})
	case verb == "list" && len(names) == 0:
		return withUsers(ctx, *at, func(_ *auth.Service, r *people.Repository) error { return p.userList(ctx, r) })
	}
	return p.usageError("user", verb, names)
}

// parseSites returns the scope of the sites of an argument, or that of all.
func parseSites(list string) scope.Scope {
	if list == "all" {
		return scope.All()
	}
	return scope.Sites(strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })...)
}

// withUsers opens the hub's database for one command about users and tokens.
func withUsers(ctx context.Context, at databaseFlags, do func(*auth.Service, *people.Repository) error) error {
	return withDatabase(ctx, at, func(d *db.DB) error {
		r := app.NewPeople(d, announce.Incidents(d))
		users, err := auth.New(auth.Options{People: r})
		if err != nil {
			return err
		}
		return do(users, r)
	})
}

// withPassword reads a password from standard input: lists of processes would show an argument.
func (p program) withPassword(ctx context.Context, at databaseFlags, do func(*auth.Service, string) error) error {
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
	return withUsers(ctx, at, func(users *auth.Service, _ *people.Repository) error {
		return do(users, strings.TrimRight(line, "\r\n"))
	})
}

// listPage is the number of rows that a command reads per query.
const listPage = 500

func (p program) userList(ctx context.Context, r *people.Repository) error {
	w := tabwriter.NewWriter(p.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tCREATED\tID\tTOTP SINCE\tSITES")
	for after := ""; ; {
		page, err := r.Users(ctx, after, listPage)
		if err != nil {
			return err
		}
		for _, u := range page {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", u.Name, u.Role, u.Created.Format(time.RFC3339), u.ID, moment(u.TOTP, "-"), u.Scope)
		}
		if len(page) < listPage {
			return w.Flush()
		}
		after = page[len(page)-1].Name
	}
}

func (p program) token(ctx context.Context, args []string) error {
	verb, args, err := p.splitVerb("token", args)
	if err != nil {
		return err
	}
	fs := flag.NewFlagSet("hub token "+verb, flag.ContinueOnError)
	at := addDatabaseFlags(fs)
	role := fs.String("role", "", "monitor, dispatcher or administrator")
	name := fs.String("name", "unnamed", "name of the token")
	sites := fs.String("sites", "all", "sites that the token may see, separated by commas")
	valid := fs.Duration("valid", 0, "how long the token is valid, such as 720h; 0: until it is revoked")
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
		return withUsers(ctx, *at, func(users *auth.Service, _ *people.Repository) error {
			in := parseSites(*sites)
			text, _, err := users.CreateToken(ctx, auth.NewToken{By: commandLine, Name: *name, Role: r, Scope: &in, Expires: expiry(*valid)})
			if err != nil {
				return err
			}
			fmt.Fprintln(p.out, text) // and nothing else on standard output
			return nil
		})
	case verb == "list" && len(ids) == 0:
		return withUsers(ctx, *at, func(_ *auth.Service, r *people.Repository) error { return p.tokenList(ctx, r) })
	case verb == "revoke" && len(ids) == 1:
		return withUsers(ctx, *at, func(_ *auth.Service, r *people.Repository) error { return r.RevokeToken(ctx, commandLine, ids[0]) })
	}
	return p.usageError("token", verb, ids)
}

// expiry returns when something ends that is valid for a time from now on; the zero time for 0, and a time that has
// passed for a negative one.
func expiry(valid time.Duration) time.Time {
	if valid == 0 {
		return time.Time{}
	}
	return time.Now().Add(valid)
}

// moment returns a time as text, and unless for nil.
func moment(t *time.Time, unless string) string {
	if t == nil {
		return unless
	}
	return t.Format(time.RFC3339)
}

func (p program) tokenList(ctx context.Context, r *people.Repository) error {
	w := tabwriter.NewWriter(p.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tROLE\tCREATED\tEXPIRES\tLAST USED")
	var last people.Token
	for {
		page, err := r.Tokens(ctx, last.Created, last.ID, listPage)
		if err != nil {
			return err
		}
		for _, t := range page {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, t.Role, t.Created.Format(time.RFC3339), moment(t.Expires, "never"), moment(t.LastUsed, "never"))
		}
		if len(page) < listPage {
			return w.Flush()
		}
		last = page[len(page)-1]
	}
}
