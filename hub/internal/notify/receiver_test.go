package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/devices/memnet"
)

// verify is what a receiver does, written from the specification (Standard Webhooks 1.0,
// "Verifying webhook authenticity") and not from this package's signer.
func verify(secret string, h http.Header, payload []byte, now time.Time) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return err
	}
	sent, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		return err
	}
	if math.Abs(now.Sub(time.Unix(sent, 0)).Minutes()) > 5 {
		return fmt.Errorf("timestamp %d is more than 5 minutes from %d", sent, now.Unix())
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", h.Get("webhook-id"), sent, payload)
	want := mac.Sum(nil)
	for _, s := range strings.Split(h.Get("webhook-signature"), " ") {
		version, value, _ := strings.Cut(s, ",")
		got, err := base64.StdEncoding.DecodeString(value)
		if version == "v1" && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return errors.New("no signature fits")
}

// received is one request as a receiver saw it.
type received struct {
	at     time.Time
	header http.Header
	body   []byte
}

// receiver is a webhook target that answers as it is told.
type receiver struct {
	answer func(n int, w http.ResponseWriter) // n: number of the request, from 1; nil: 204

	mu  sync.Mutex
	got []received
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.got = append(r.got, received{time.Now(), req.Header.Clone(), body})
	n := len(r.got)
	r.mu.Unlock()
	if r.answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	r.answer(n, w)
}

func (r *receiver) requests() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.got...)
}

func status(codes ...int) func(int, http.ResponseWriter) {
	return func(n int, w http.ResponseWriter) { w.WriteHeader(codes[min(n, len(codes))-1]) }
}

func target(id, host string) Target {
	return Target{ID: id, URL: "http://" + host + "/hook/token-in-path", Secrets: []string{testSecret(id)}}
}

// testSecret is a valid secret that depends on nothing but its name.
func testSecret(name string) string {
	sum := sha256.Sum256([]byte(name))
	return secretPrefix + base64.StdEncoding.EncodeToString(sum[:])
}

func alert(seq int64, incident string, kind AlertKind) Alert {
	return Alert{
		ID: "event-" + strconv.FormatInt(seq, 10), Kind: kind, Incident: incident, Device: "gate-7/yard",
		Time: time.Now(), Data: []byte(`{"id":"` + incident + `","title":"somebody in the yard"}`),
	}
}

// bench is a notifier, its queue and its network under a fake clock.
type bench struct {
	queue  *queue
	net    memnet.Network
	n      *Notifier
	giveUp time.Duration // Options.GiveUpAfter

	present func(json.RawMessage) (json.RawMessage, string, error) // Options.Present
	cancel  func()
	stop    func() // cancel, and wait for Run
}

// under runs f in a synctest bubble with a notifier for q's targets. Receivers are put onto
// b.net before b.start.
func under(t *testing.T, targets []Target, f func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, &bench{queue: newQueue(targets...), net: memnet.Network{}})
	})
}

func (b *bench) start(t *testing.T) {
	t.Helper()
	b.n = New(Options{
		Queue: b.queue, Wake: b.queue.changed, Source: "urn:test:hub", AllowPrivate: true, GiveUpAfter: b.giveUp, Present: b.present,
		Logger: slog.New(slog.DiscardHandler), dial: b.net.Dial,
	})
	ctx, cancel := context.WithCancel(t.Context())
	b.cancel = cancel
	done := make(chan error, 1)
	go func() { done <- b.n.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(b.stop)
}

// after lets d pass and everything that happens in it.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
