package db

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"gridpost/devices/retry"
)

const (
	// postgresConns is how many connections write, and how many others read. The two pools are apart:
	// a read within a transaction never waits for a connection that a transaction has.
	postgresConns = 8

	connectTimeout = 10 * time.Second

	// maxAttempts bounds how often a transaction runs. With the pauses it is about ten seconds, which
	// a restart of the server takes.
	maxAttempts = 12

	// updateWithin bounds the time of a transaction: the network may have gone away without a word.
	updateWithin = 2 * time.Minute

	// fateWithin bounds how long the fate of a transaction is asked for whose connection was lost during
	// its commit.
	fateWithin = 15 * time.Second
)

// SQLSTATE codes (https://www.postgresql.org/docs/15/errcodes-appendix.html).
const (
	codeInsufficientPrivilege = "42501"
	codeInvalidPassword       = "28P01"
	codeInvalidAuthorization  = "28000"
	codeUnknownDatabase       = "3D000"
	codeSerializationFailure  = "40001"
	codeDeadlock              = "40P01"
	codeDiskFull              = "53100"
	codeTooManyConnections    = "53300"
	codeConnection            = "08" // the class
	codeIdleInTransaction     = "25P03"
	codeAdminShutdown         = "57P01"
	codeCrashShutdown         = "57P02"
	codeCannotConnectNow      = "57P03"
)

// errUnknownFate says that the connection was lost during a commit.
var errUnknownFate = errors.New("the connection to the database was lost while it committed")

func (d *DB) openPostgres(ctx context.Context) (err error) {
	d.engine = Postgres
	config, err := pgx.ParseConfig(d.o.URL)
	if err != nil {
		return fmt.Errorf("reading the URL of the database: %w", err)
	}
	config.RuntimeParams["search_path"] = d.o.Name + ",public"
	// A plan for any parameters ignores which words, states and edges are rare: lists would scan.
	config.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	config.RuntimeParams["application_name"] = "gridpost " + d.o.Name
	config.RuntimeParams["synchronous_commit"] = map[Durability]string{Full: "on", Normal: "off"}[d.o.Durability]
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	config.DialFunc = dialer.DialContext
	defer func() {
		if err != nil {
			for _, pool := range d.pools {
				err = errors.Join(err, pool.Close())
			}
			d.unlock()
			err = d.full(err)
		}
	}()
	if d.o.Exclusive && d.o.Dir != "" {
		if d.unlock, err = lockDir(d.o.Dir, d.o.Name); err != nil {
			return err
		}
	}
	if err := d.migratePostgres(ctx, config); err != nil {
		return fmt.Errorf("opening the database %s: %w", where(config), explain(err))
	}
	for _, c := range []*pgx.ConnConfig{writing(config), config} {
		pool := stdlib.OpenDB(*c)
		pool.SetMaxOpenConns(postgresConns)
		pool.SetMaxIdleConns(postgresConns)
		pool.SetConnMaxIdleTime(5 * time.Minute)
		d.pools = append(d.pools, pool)
	}
	w := &postgresWriter{d: d, pool: d.pools[0], config: config, instance: rand.Text()}
	d.writer, d.read = w, &postgresReader{pool: d.pools[1]}
	return nil
}

// writing returns the configuration of connections that write. A hub whose machine or network is gone, or
// that hangs in a transaction, must not hold its locks, which the other hubs wait for: the server ends its
// connection. The URL may have other values.
func writing(config *pgx.ConnConfig) *pgx.ConnConfig {
	c := config.Copy()
	for name, value := range map[string]string{
		"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3", // seconds
		"tcp_user_timeout": "25000", "idle_in_transaction_session_timeout": "20000", // milliseconds
	} {
		if _, set := c.RuntimeParams[name]; !set {
			c.RuntimeParams[name] = value
		}
	}
	return c
}

// where names a database without its password.
func where(c *pgx.ConnConfig) string {
	return fmt.Sprintf("%s on %s:%d as %s", c.Database, c.Host, c.Port, c.User)
}

// explain says in the words of an operator what is wrong with a connection.
func explain(err error) error {
	var e *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &e):
		switch e.Code {
		case codeInvalidPassword, codeInvalidAuthorization:
			return fmt.Errorf("the server refuses the user or the password: %w", err)
		case codeUnknownDatabase:
			return fmt.Errorf("the server has no such database; make it with createdb: %w", err)
		case codeTooManyConnections:
			return fmt.Errorf("the server has no connection left (max_connections): %w", err)
		}
	case errors.As(err, &connect):
		return fmt.Errorf("no PostgreSQL server answers there: %w", err)
	}
	return err
}

// postgresReader reads on several connections at a time.
type postgresReader struct{ pool *sql.DB }

func (r *postgresReader) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	text, args = dollars(text), arguments(args)
	for attempt := 1; ; attempt++ {
		rows, err := r.pool.QueryContext(ctx, text, args...)
		// A read changes nothing: it may be repeated on another connection.
		if err == nil || attempt == 3 || !lost(err) || ctx.Err() != nil {
			return rows, err
		}
	}
}

func (r *postgresReader) close() error { return nil } // the pool is the DB's

// arguments returns arguments as the portable subset has them: a bool is 0 or 1, as in SQLite.
func arguments(args []any) []any {
	copied := false
	for i, a := range args {
		b, ok := a.(bool)
		if !ok {
			continue
		}
		if !copied {
			args, copied = append([]any(nil), args...), true
		}
		args[i] = int64(0)
		if b {
			args[i] = int64(1)
		}
	}
	return args
}

// postgresWriter runs transactions of PostgreSQL, several at a time.
type postgresWriter struct {
	d        *DB
	pool     *sql.DB
	config   *pgx.ConnConfig
	instance string // tells the notifications of this DB from those of others
}

func (w *postgresWriter) close() error { return nil } // the pool is the DB's

// update runs fn until it is committed or fails for a reason of its own.
func (w *postgresWriter) update(ctx context.Context, name string, fn func(*Tx) error) (*Tx, error) {
	pause := retry.Policy{First: 5 * time.Millisecond, Longest: 2 * time.Second}.New()
	for attempt := 1; ; attempt++ {
		t, err := w.attempt(ctx, fn)
		if err == nil || !again(err) || attempt == maxAttempts || ctx.Err() != nil {
			return t, w.d.full(err)
		}
		w.d.o.Observer.Retry(name)
		w.d.log.Debug("a transaction runs again", "transaction", name, "error", err)
		if !pause.Wait(ctx) {
			return t, err
		}
	}
}

// again says whether a transaction that failed with err was rolled back for a reason that may be gone when
// it runs again.
func again(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code {
		case codeSerializationFailure, codeDeadlock, codeTooManyConnections:
			return true
		}
	}
	return errors.Is(err, errAgain) || !errors.Is(err, errUnknownFate) && lost(err)
}

// lost says whether err is of a connection and not of a statement.
func lost(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code {
		case codeAdminShutdown, codeCrashShutdown, codeCannotConnectNow, codeIdleInTransaction:
			return true
		}
		return strings.HasPrefix(e.Code, codeConnection)
	}
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err)
}

// attempt runs fn in one transaction.
func (w *postgresWriter) attempt(ctx context.Context, fn func(*Tx) error) (_ *Tx, err error) {
	conn, err := w.pool.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("waiting to write: %w", err)
	}
	c := &postgresConn{conn: conn}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), updateWithin)
	defer cancel()
	t := newTx(ctx, w.d, c)
	done := false
	defer func() {
		if !done { // fn failed or panicked
			c.rollback(w.d.log)
		}
		if cerr := conn.Close(); cerr != nil {
			w.d.log.Debug("giving a connection back", "error", cerr)
		}
	}()
	if err := c.begin(t.ctx); err != nil {
		return t, fmt.Errorf("beginning a transaction: %w", err)
	}
	if err := fn(t); err != nil {
		return t, err
	}
	if err := t.finish(); err != nil {
		return t, err
	}
	if err := w.notify(t); err != nil {
		return t, fmt.Errorf("notifying the other hubs: %w", err)
	}
	err = c.commit(t.ctx)
	done = err == nil
	if errors.Is(err, errUnknownFate) {
		err = w.fate(t.ctx, c.xid, err)
	}
	return t, err
}

// fate finds out what became of a transaction whose connection was lost during its commit. It returns nil
// if it was committed, errAgain if it was rolled back, and err if that cannot be known.
func (w *postgresWriter) fate(ctx context.Context, xid string, err error) error {
	ctx, cancel := context.WithTimeout(ctx, fateWithin)
	defer cancel()
	pause := retry.Policy{First: 10 * time.Millisecond, Longest: time.Second}.New()
	for {
		var status sql.NullString
		if qerr := w.pool.QueryRowContext(ctx, `SELECT pg_xact_status($1::text::xid8)`, xid).Scan(&status); qerr == nil {
			switch status.String {
			case "committed":
				return nil
			case "aborted":
				return fmt.Errorf("%w: %w", errAgain, err)
			case "in progress": // its server process has not noticed yet
			default: // too old to be known
				return err
			}
		}
		if !pause.Wait(ctx) {
			return err
		}
	}
}

// postgresConn is the connection of one transaction.
type postgresConn struct {
	conn *sql.Conn
	xid  string // of the transaction
}

func (c *postgresConn) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	return c.conn.QueryContext(ctx, dollars(text), arguments(args)...)
}

func (c *postgresConn) exec(ctx context.Context, text string, args []any) (sql.Result, error) {
	return c.conn.ExecContext(ctx, dollars(text), arguments(args)...)
}

// raw calls fn with the connection below database/sql.
func (c *postgresConn) raw(fn func(*pgconn.PgConn) error) error {
	return c.conn.Raw(func(conn any) error { return fn(conn.(*stdlib.Conn).Conn().PgConn()) })
}

// begin begins a transaction and reads its number, in one round trip.
func (c *postgresConn) begin(ctx context.Context) error {
	return c.raw(func(p *pgconn.PgConn) error {
		results, err := p.Exec(ctx, `BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_current_xact_id()::text`).ReadAll()
		if err != nil {
			return err
		}
		c.xid = string(results[1].Rows[0][0])
		return nil
	})
}

// commit returns errUnknownFate when the connection was lost on the way.
func (c *postgresConn) commit(ctx context.Context) error {
	return c.raw(func(p *pgconn.PgConn) error {
		results, err := p.Exec(ctx, `COMMIT`).ReadAll()
		var e *pgconn.PgError
		switch {
		case err != nil && (lost(err) || !errors.As(err, &e)):
			return fmt.Errorf("%w: %w", errUnknownFate, err)
		case err != nil:
			return fmt.Errorf("committing: %w", err)
		case results[0].CommandTag.String() != "COMMIT": // ROLLBACK: a statement had failed before
			return errors.New("committing: the transaction went on after a statement that had failed")
		}
		return nil
	})
}

// rollback ends the transaction, or the connection when that fails: it must not go back to the pool.
func (c *postgresConn) rollback(log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	err := c.raw(func(p *pgconn.PgConn) error {
		if p.IsClosed() || p.TxStatus() == 'I' {
			return nil
		}
		if _, err := p.Exec(ctx, `ROLLBACK`).ReadAll(); err != nil {
			return errors.Join(err, p.Close(ctx))
		}
		return nil
	})
	if err != nil {
		log.Debug("rolling back", "error", err)
	}
}
