// Package postgresql runs a PostgreSQL server, of Debian's packages postgresql-15 and
// postgresql-15-postgis-3, for tests and measurements.
//
// It imports nothing of Gridpost, and no program that a site runs imports it.
package postgresql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

const (
	// startWithin bounds the time from the start of the server until it accepts connections.
	startWithin = 60 * time.Second

	// maxSocket is the greatest length of the path of a Unix socket (sockaddr_un.sun_path).
	maxSocket = 107

	socketName = ".s.PGSQL.5432"
)

// Options say how a server runs.
type Options struct {
	// Durable makes each commit wait for the disk, as an operator's server does. Tests leave it out.
	Durable bool

	Settings []string // further settings, each as name=value
}

// Server is a server on a Unix socket, in a folder of its own below the system's temporary folder. It
// ends, and its folder is removed, with Stop or with the process that started it, however that ends.
type Server struct {
	dir   string
	alive *os.File // a pipe: when it is closed, the server ends
	cmd   *exec.Cmd
}

// Programs returns the folder of PostgreSQL's programs. Debian installs them where no PATH leads.
func Programs() (string, error) {
	versions, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err == nil && len(versions) > 0 {
		return filepath.Dir(slices.Max(versions)), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errors.New("PostgreSQL is missing: it is in Debian's packages postgresql-15 and postgresql-15-postgis-3, which `make deps` installs")
}

// Start makes a server with no databases of its own and starts it. It returns when the server accepts
// connections.
func Start(ctx context.Context, o Options) (s *Server, err error) {
	programs, err := Programs()
	if err != nil {
		return nil, err
	}
	dir, credential, err := folder()
	if err != nil {
		return nil, fmt.Errorf("making a folder for PostgreSQL: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	attributes := &syscall.SysProcAttr{Credential: credential, Setpgid: true}
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(programs, "initdb"), "--pgdata", data, "--auth=trust", "--username=postgres",
		"--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
	initdb.Dir, initdb.SysProcAttr = dir, attributes
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(out))
	}
	settings := []string{"unix_socket_directories=" + dir, "listen_addresses=", "max_connections=200", "shared_buffers=64MB", "logging_collector=off"}
	if !o.Durable {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0")
	}
	args := []string{"-c", supervisor, "postgresql", dir, filepath.Join(programs, "postgres"), "-D", data}
	for _, setting := range append(settings, o.Settings...) {
		args = append(args, "-c", setting)
	}
	s = &Server{dir: dir}
	if err := s.run(exec.Command("/bin/sh", args...), attributes); err != nil {
		return nil, err
	}
	if err := s.wait(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// supervisor is a shell script that runs a server until its standard input ends, which it does with the
// process that holds the other end, and removes the folder. Its arguments are the folder and the command.
const supervisor = `dir=$1; shift
"$@" </dev/null & pid=$!
cat >/dev/null
kill -INT $pid 2>/dev/null
wait $pid
cd / && rm -rf "$dir"`

// run starts the supervisor.
func (s *Server) run(cmd *exec.Cmd, attributes *syscall.SysProcAttr) (err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return errors.Join(fmt.Errorf("starting PostgreSQL: %w", err), read.Close(), write.Close())
	}
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = s.dir, read, log, log, attributes
	err = errors.Join(cmd.Start(), read.Close(), log.Close())
	if err != nil {
		return errors.Join(fmt.Errorf("starting PostgreSQL: %w", err), write.Close())
	}
	s.cmd, s.alive = cmd, write
	return nil
}

// wait returns when the server accepts connections.
func (s *Server) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	ready := filepath.Join(s.dir, "data", "postmaster.pid")
	for {
		text, err := os.ReadFile(ready)
		// The eighth line is the status: "ready" once connections are accepted.
		if lines := bytes.Split(text, []byte("\n")); err == nil && len(lines) >= 8 && bytes.HasPrefix(lines[7], []byte("ready")) {
			c, err := net.Dial("unix", filepath.Join(s.dir, socketName))
			if err == nil {
				return c.Close()
			}
		}
		log, err := os.ReadFile(filepath.Join(s.dir, "log"))
		if err != nil {
			return fmt.Errorf("waiting for PostgreSQL: %w", err)
		}
		if bytes.Contains(log, []byte("FATAL:")) { // nobody has connected yet: it is the server's own
			return fmt.Errorf("PostgreSQL does not start: %s", bytes.TrimSpace(log))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL accepts no connections: %w: %s", ctx.Err(), bytes.TrimSpace(log))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// URL returns the URL of a database on the server, for its superuser. "postgres" exists from the start.
func (s *Server) URL(database string) string {
	return "postgres://postgres@/" + database + "?" + url.Values{"host": {s.dir}}.Encode()
}

// Stop ends the server, waits for its end and removes its folder.
func (s *Server) Stop() error {
	err := s.alive.Close()
	var exit *exec.ExitError
	if werr := s.cmd.Wait(); !errors.As(werr, &exit) {
		err = errors.Join(err, werr)
	}
	if err != nil {
		return fmt.Errorf("stopping PostgreSQL: %w", err)
	}
	return nil
}

// folder makes a folder that the server's user can use, with a path that is short enough for a socket.
// PostgreSQL refuses to run as root: the user postgres runs it then.
func folder() (dir string, credential *syscall.Credential, err error) {
	parent := os.TempDir()
	if len(parent)+len("/gridpost-pg-0123456789/"+socketName) > maxSocket {
		parent = "/tmp"
	}
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return "", nil, fmt.Errorf("PostgreSQL does not run as root, and: %w", err)
		}
		if uid, err = strconv.Atoi(u.Uid); err != nil {
			return "", nil, err
		}
		if gid, err = strconv.Atoi(u.Gid); err != nil {
			return "", nil, err
		}
		credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	if dir, err = os.MkdirTemp(parent, "gridpost-pg-"); err != nil {
		return "", nil, err
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, credential, nil
}
