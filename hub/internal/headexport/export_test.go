package headexport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/headexport"
	"gridpost/hub/internal/store/audit"
)

// log is an audit log whose newest entry the test sets.
type log struct {
	mu         sync.Mutex
	entry      int64
	remembered []int64
}

func (l *log) Head(_ context.Context, hub string) (audit.Head, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return audit.Head{Entry: l.entry, Hub: hub}, nil
}

func (l *log) Remember(_ context.Context, h audit.Head) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remembered = append(l.remembered, h.Entry)
	return nil
}

func (l *log) set(entry int64) { l.mu.Lock(); defer l.mu.Unlock(); l.entry = entry }

// TestEachTargetGetsNewHeads: at intervals, and only what is new; a target that fails gets the newest when it works
// again, and delays no other; the last one is written when the hub stops.
func TestEachTargetGetsNewHeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{entry: 1}
		var failing bool
		var got []int64
		targets := append(headexport.Config{}.Targets(l), headexport.Target{Name: "other", Send: func(_ context.Context, h audit.Head) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			if failing {
				return errors.New("down")
			}
			got = append(got, h.Entry)
			return nil
		}})
		e := headexport.New(headexport.Options{Log: l, Hub: "h", Every: 10 * time.Minute, Targets: targets, Logger: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		step := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		fail := func(v bool) { l.mu.Lock(); failing = v; l.mu.Unlock() }
		step(time.Minute)
		step(time.Hour) // nothing is new
		l.set(2)
		step(10 * time.Minute)
		fail(true)
		for n := range 3 {
			l.set(int64(3 + n))
			step(10 * time.Minute)
		}
		if s := e.State(); s[0].Entry != 5 || s[0].Failures != 0 || s[1].Entry != 2 || s[1].Failures < 3 || s[1].Err == nil {
			t.Errorf("%+v", s)
		}
		fail(false)
		step(10 * time.Minute)
		step(25 * time.Hour) // nothing is new, and the target shows that it is alive
		l.set(6)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if want := "[1 2 5 5]"; fmt.Sprint(got) != want {
			t.Errorf("the target got %v, want %s", got, want)
		}
		if want := "[1 2 3 4 5 5 6]"; fmt.Sprint(l.remembered) != want {
			t.Errorf("the data folder got %v, want %s", l.remembered, want)
		}
	})
}

// head returns a real head with what verifies it.
func head(t *testing.T) (audit.Head, *audit.Repository) {
	t.Helper()
	r, err := audit.Open(t.Context(), dbtest.Open(t, db.SQLite, db.Options{}), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.Head(t.Context(), "01890a5d-ac96-774b-bcce-b302099a8057")
	if err != nil {
		t.Fatal(err)
	}
	return h, r
}

// send sends a head to the second target of a configuration.
func send(t *testing.T, c headexport.Config, h audit.Head) error {
	t.Helper()
	c.Every = time.Hour
	if errs := c.Check(); len(errs) > 0 {
		t.Fatal(errs)
	}
	targets := c.Targets(&log{})
	if len(targets) != 2 {
		t.Fatalf("%+v", targets)
	}
	return targets[1].Send(t.Context(), h)
}

// verified checks that a head arrived as it was.
func verified(t *testing.T, r *audit.Repository, text []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "heads")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	all, unread, err := audit.ReadHeads(path)
	if err != nil || unread != 0 || len(all) != 1 {
		t.Fatalf("%v, %d lines, %v in %q", all, unread, err, text)
	}
	if got, err := r.CheckHead(t.Context(), all[0]); err != nil || got.State != audit.HeadFits {
		t.Errorf("%s, %v", got.State, err)
	}
}

func TestFile(t *testing.T) {
	h, r := head(t)
	path := filepath.Join(t.TempDir(), "heads.jsonl")
	if err := send(t, headexport.Config{File: path}, h); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	verified(t, r, text)
}

func TestWebhook(t *testing.T) {
	h, r := head(t)
	bodies := make(chan []byte, 1)
	status := http.StatusNoContent
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if user, password, _ := q.BasicAuth(); err != nil || q.Header.Get("Content-Type") != "application/json" || user != "hub" || password != "secret" {
			t.Errorf("%v, %v", q.Header, err)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		if q.URL.Path != "/heads" {
			t.Errorf("a request of %s", q.URL.Path)
		}
		bodies <- body
	}))
	defer s.Close()
	c := headexport.Config{Webhook: strings.Replace(s.URL, "//", "//hub:secret@", 1) + "/heads"}
	if err := send(t, c, h); err != nil {
		t.Fatal(err)
	}
	verified(t, r, <-bodies)
	for _, status = range []int{http.StatusFound, http.StatusInternalServerError} {
		if err := send(t, c, h); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%d: %v", status, err)
		}
		<-bodies
	}
	s.Close()
	if err := send(t, c, h); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

// message is one of RFC 5424: priority, version, time, host, program, process, ID, structured data, text.
var message = regexp.MustCompile(`^<109>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [!-~]{1,255} gridpost-hub \d+ audit-head - (\{.*\})$`)

func checkMessage(t *testing.T, r *audit.Repository, text []byte) {
	t.Helper()
	if len(text) > 480 || !message.Match(text) {
		t.Errorf("%d bytes: %q", len(text), text)
	}
	verified(t, r, text)
}

func TestSyslogByDatagrams(t *testing.T) {
	h, r := head(t)
	path := filepath.Join(t.TempDir(), "log")
	for _, network := range []string{"udp", "unixgram"} {
		address, url := "127.0.0.1:0", ""
		if network == "unixgram" {
			address, url = path, "unix://"+path
		}
		l, err := (&net.ListenConfig{}).ListenPacket(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // only read
		if url == "" {
			url = "udp://" + l.LocalAddr().String()
		}
		if err := send(t, headexport.Config{Syslog: url}, h); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, _, err := l.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		checkMessage(t, r, buf[:n])
	}
}

func TestSyslogByTCP(t *testing.T) {
	h, r := head(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	frames := make(chan []byte, 1)
	go func() {
		defer close(frames)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close() //nolint:errcheck // only read
		b := bufio.NewReader(conn)
		var n int
		if _, err := fmt.Fscanf(b, "%d ", &n); err != nil { // octet counting
			return
		}
		frame, err := io.ReadAll(b)
		if err == nil && len(frame) == n {
			frames <- frame
		}
	}()
	if err := send(t, headexport.Config{Syslog: "tcp://" + l.Addr().String()}, h); err != nil {
		t.Fatal(err)
	}
	frame, ok := <-frames
	if !ok {
		t.Fatal("no frame with octet counting arrived")
	}
	checkMessage(t, r, frame)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := send(t, headexport.Config{Syslog: "tcp://" + l.Addr().String()}, h); err == nil {
		t.Error("nobody listens, and there is no error")
	}
}

// TestSyslogByTLSVerifiesTheReceiver: a receiver with a certificate that nobody trusts gets nothing.
func TestSyslogByTLSVerifiesTheReceiver(t *testing.T) {
	h, _ := head(t)
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	err := send(t, headexport.Config{Syslog: "tls://" + s.Listener.Addr().String()}, h)
	var unknown *tls.CertificateVerificationError
	if !errors.As(err, &unknown) {
		t.Errorf("%v", err)
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []headexport.Config{
		{Every: time.Second},
		{Every: 48 * time.Hour},
		{Webhook: "ftp://x"},
		{Webhook: "/x"},
		{Syslog: "udp://"},
		{Syslog: "x"},
		{Syslog: "unix://log"},
		{Syslog: "tcp://a/b"},
		{Syslog: "udp://user@a"},
	} {
		if errs := c.Check(); len(errs) != 1 {
			t.Errorf("%+v: %v", c, errs)
		}
	}
	good := headexport.Config{Every: time.Hour, File: "x", Webhook: "https://a/b", Syslog: "udp://[::1]:5140"}
	if errs := good.Check(); len(errs) != 0 || len(good.Targets(&log{})) != 4 {
		t.Errorf("%v", errs)
	}
}
