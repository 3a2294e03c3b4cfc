package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gridpost/devices/clock"
	"gridpost/devices/diskspace"
	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/store/secrets"
	"gridpost/hub/internal/store/telemetry"
)

// Level is the severity of a finding.
type Level string

// The levels of findings.
const (
	Good    Level = "good"
	Note    Level = "note"    // the hub runs, but the operator may want to know
	Problem Level = "problem" // the hub does not run, or not for long
)

// Finding is one result of Check.
type Finding struct {
	Key   string // of the configuration, or what it is about
	Level Level
	Text  string // a sentence for the operator
}

// String returns the finding as one line.
func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Level, f.Key, f.Text) }

// Problems counts the findings that are problems.
func Problems(findings []Finding) (n int) {
	for _, f := range findings {
		if f.Level == Problem {
			n++
		}
	}
	return n
}

// Room on the disk of the data folder, in bytes.
const (
	leastRoom  = 64 << 20 // less is a problem: the database cannot even be migrated
	enoughRoom = 1 << 30  // less is a note
)

// Check tries what a hub with the configuration needs: its data folder, its database, its addresses,
// its certificates and the clock. It changes nothing, makes no folder, and may run beside the hub.
func Check(ctx context.Context, c Config) []Finding {
	k := &checker{config: c, now: time.Now, synchronized: clock.Synchronized}
	return k.run(ctx)
}

// checker collects the findings of one check.
type checker struct {
	config       Config
	now          func() time.Time
	synchronized func() bool
	findings     []Finding

	running *Running // the hub that runs on the data folder; nil: none
}

func (k *checker) add(level Level, key, format string, args ...any) {
	k.findings = append(k.findings, Finding{Key: key, Level: level, Text: fmt.Sprintf(format, args...)})
}

func (k *checker) run(ctx context.Context) []Finding {
	problems := k.config.problems()
	k.findings = append(k.findings, problems...)
	if k.config.Data != "" && k.folder() {
		k.lock()
	}
	k.database(ctx)
	k.authority(ctx)
	k.auditKey()
	if len(problems) == 0 {
		k.addresses(ctx)
	}
	k.clock()
	return k.findings
}

// folder checks the data folder. It returns false when there is none yet.
func (k *checker) folder() bool {
	dir := k.config.Data
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		k.futureFolder(dir)
		return false
	case err != nil:
		k.add(Problem, "data", "the folder cannot be used: %v", err)
		return false
	case !info.IsDir():
		k.add(Problem, "data", "%s is not a folder", dir)
		return false
	case info.Mode().Perm()&0o077 != 0:
		k.add(Note, "data", "%s can be read by other users of this machine (mode %o); it has keys and password hashes: chmod 700", dir, info.Mode().Perm())
	}
	if err := writable(dir); err != nil {
		k.add(Problem, "data", "nothing can be written in %s: %v", dir, err)
		return true
	}
	k.room(dir)
	return true
}

// futureFolder checks whether hub run can make the data folder.
func (k *checker) futureFolder(dir string) {
	parent := filepath.Dir(filepath.Clean(dir))
	for {
		_, err := os.Stat(parent)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || parent == filepath.Dir(parent) {
			break
		}
		parent = filepath.Dir(parent)
	}
	if err := writable(parent); err != nil {
		k.add(Problem, "data", "the folder %s does not exist and cannot be made: %v", dir, err)
		return
	}
	k.add(Note, "data", "the folder %s does not exist yet; hub run makes it", dir)
	k.room(parent)
}

// writable creates a file in dir and removes it.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".check-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (k *checker) room(dir string) {
	free, err := diskspace.Free(dir)
	switch {
	case err != nil:
		k.add(Note, "data", "the free room on the disk is not known: %v", err)
	case free < leastRoom:
		k.add(Problem, "data", "%s are free on the disk of %s; a hub needs %s to start", size(free), dir, size(leastRoom))
	case free < enoughRoom:
		k.add(Note, "data", "only %s are free on the disk of %s", size(free), dir)
	default:
		k.add(Good, "data", "%s can be written; %s are free on its disk", dir, size(free))
	}
}

// size writes a number of bytes for people.
func size(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// lock finds out whether a hub runs on the data folder.
func (k *checker) lock() {
	f, err := os.Open(filepath.Join(k.config.Data, "hub.lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return // no hub has run yet
	}
	if err != nil {
		k.add(Problem, "data", "the lock of the data folder cannot be read: %v", err)
		return
	}
	defer f.Close() //nolint:errcheck // it was only read
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		k.running = &Running{}
		if text, err := os.ReadFile(filepath.Join(k.config.Data, runFile)); err == nil {
			err = json.Unmarshal(text, k.running)
			if err != nil {
				k.add(Note, "data", "%s cannot be read: %v", runFile, err)
			}
		}
		k.add(Note, "data", "a hub runs on %s now; a second one cannot", k.config.Data)
	case err != nil:
		k.add(Problem, "data", "the data folder cannot be locked: %v; file systems of a network often cannot", err)
	}
}

// database checks whether the database can be opened, as far as possible without changing it.
func (k *checker) database(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, databaseLimit)
	defer cancel()
	for _, o := range []db.Options{
		{Dir: k.config.Data, URL: k.config.Database, Name: "hub", Schema: schema.Hub()},
		telemetry.Options(db.Options{Dir: k.config.Data, URL: k.config.Database}),
	} {
		key := "database"
		if o.URL == "" {
			key = "data"
		}
		found, err := db.Inspect(ctx, o)
		if err != nil {
			k.add(Problem, key, "%v", err)
			if o.URL != "" {
				return // the other one is on the same server
			}
			continue
		}
		k.schema(key, o.Name, found)
	}
}

// databaseLimit is how long looking at the database may take.
const databaseLimit = 15 * time.Second

// schema reports what was found of one database.
func (k *checker) schema(key, name string, found db.Inspection) {
	switch {
	case found.Schema == 0:
		k.add(Note, key, "%s has no tables of %s yet; hub run makes them", found.Server, name)
	case found.Schema < found.Newest && k.running != nil:
		k.add(Problem, key, "%s has schema %d of %s and must be migrated to %d: stop the hub that runs first", found.Server, found.Schema, name, found.Newest)
	case found.Schema < found.Newest:
		k.add(Note, key, "%s has schema %d of %s; hub run migrates it to %d, and earlier versions do not run on it any more", found.Server, found.Schema, name, found.Newest)
	default:
		k.add(Good, key, "%s can be reached and has schema %d of %s", found.Server, found.Schema, name)
	}
	if found.Clock.IsZero() || name != "hub" {
		return
	}
	if off := k.now().Sub(found.Clock); off.Abs() > clockTolerance {
		k.add(Problem, "clock", "this machine's clock differs from the database server's by %s; hubs on one database need the same time", off.Round(time.Second))
	}
}

// clockTolerance is how far two clocks may be apart. What edges and hubs date is compared to seconds.
const clockTolerance = 5 * time.Second

// authority checks the hub's certificate authority, by which edges recognise it.
func (k *checker) authority(ctx context.Context) {
	if k.config.Database != "" || k.config.Data == "" {
		return
	}
	cert, err := authority.Inspect(ctx, secrets.InFolder(k.config.Data, secrets.Authority()))
	switch {
	case err != nil:
		k.add(Problem, "certificates", "%v", err)
	case cert == nil:
		k.add(Note, "certificates", "the hub has no certificate authority yet; hub run makes it")
	case k.now().After(cert.NotAfter):
		k.add(Problem, "certificates", "the certificate authority has expired on %s; edges do not connect any more", day(cert.NotAfter))
	case k.now().Before(cert.NotBefore):
		k.add(Problem, "clock", "the certificate authority is valid from %s: this machine's clock says %s, which is too early", day(cert.NotBefore), day(k.now()))
	case cert.NotAfter.Sub(k.now()) < 365*24*time.Hour:
		k.add(Note, "certificates", "the certificate authority expires on %s; until then all edges must be enrolled again", day(cert.NotAfter))
	default:
		k.add(Good, "certificates", "the certificate authority is valid until %s", day(cert.NotAfter))
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// addresses binds all addresses at the same time, as a hub does, so that two keys with one address
// are found too.
func (k *checker) addresses(ctx context.Context) {
	var bound []io.Closer
	defer func() {
		for _, c := range bound {
			_ = c.Close() // nothing was sent
		}
	}()
	tcp := func(address string) error {
		l, err := listen(ctx, address)
		if err == nil {
			bound = append(bound, l)
		}
		return err
	}
	udp := func(address string) error {
		l, err := net.ListenPacket("udp", address)
		if err == nil {
			bound = append(bound, l)
		}
		return err
	}
	running := Running{}
	if k.running != nil {
		running = *k.running
	}
	k.bind("listen", k.config.Listen, running.Listen, tcp)
	k.bind("edge_listen", k.config.EdgeListen, running.EdgeListen, tcp)
	k.bind("media_listen", k.config.MediaListen, running.MediaListen, tcp, udp)
	if at := k.config.Turn.Listen; at != "" {
		k.bind("turn.listen", at, running.TurnListen, tcp, udp)
	}
	k.reachable()
}

// bind tries an address. running is the one that the hub on the data folder has bound for the key.
func (k *checker) bind(key, address, running string, tries ...func(string) error) {
	for _, try := range tries {
		err := try(address)
		switch {
		case err == nil:
			continue
		case samePort(address, running):
			k.add(Good, key, "%s is used by the hub that runs", address)
		case errors.Is(err, syscall.EADDRINUSE):
			k.add(Problem, key, "%s is in use by another program, or by another key of the configuration", address)
		case errors.Is(err, syscall.EACCES):
			k.add(Problem, key, "%s needs a right that this user does not have: ports below 1024 need CAP_NET_BIND_SERVICE", address)
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			k.add(Problem, key, "%s is not an address of this machine", address)
		default:
			k.add(Problem, key, "%s cannot be bound: %v", address, err)
		}
		return
	}
	k.add(Good, key, "%s can be bound", address)
}

// samePort reports whether both addresses have the same port.
func samePort(a, b string) bool {
	_, p, err := net.SplitHostPort(a)
	_, q, err2 := net.SplitHostPort(b)
	return err == nil && err2 == nil && p == q
}

// reachable compares the addresses with what edges and browsers need.
func (k *checker) reachable() {
	for _, l := range []struct{ key, address string }{{"edge_listen", k.config.EdgeListen}, {"media_listen", k.config.MediaListen}} {
		host, _, err := net.SplitHostPort(l.address)
		if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsLoopback() {
			k.add(Note, l.key, "%s is for this machine only: edges elsewhere cannot reach it", l.address)
		}
	}
}

// oldestYear is the year of this program: no clock that is right is before it.
const oldestYear = 2026

// clock checks whether this machine's clock can be right.
func (k *checker) clock() {
	now := k.now()
	switch {
	case now.Year() < oldestYear:
		k.add(Problem, "clock", "this machine's clock says %s, which cannot be", now.UTC().Format(time.RFC3339))
	case !k.synchronized():
		k.add(Note, "clock", "this machine's clock is not synchronized (NTP or PTP); times of incidents are as good as it is")
	default:
		k.add(Good, "clock", "it is synchronized")
	}
}
