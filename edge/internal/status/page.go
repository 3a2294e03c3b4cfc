package status

import (
	"bytes"
	"context"
	_ "embed" // the page
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"gridpost/devices"
	"gridpost/devices/retry"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS []byte

// Page serves the status over HTTP on the loopback interface: / for people, /status.json, and /metrics
// for Prometheus. It has no login: whoever works on this machine may read it, and it changes nothing.
type Page struct {
	Address string // host:port of the loopback interface, as CheckAddress accepts it
	Status  func() Status

	// OnState is called with the cause when the page cannot be served, and with none when it is.
	OnState func(cause devices.Cause)

	// Listening is called with the address each time it has been bound. It may be nil.
	Listening func(address string)

	Logger *slog.Logger
}

// CheckAddress says what is wrong with an address of a Page. Other interfaces than the loopback one are
// refused, because the page has no login.
func CheckAddress(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !isLoopback(host) {
		return fmt.Errorf("expected a loopback address such as 127.0.0.1:9101 for the status page, found %q", address)
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Run serves the page until ctx ends. A port that is in use is a problem and is retried: nothing else of
// the edge depends on it.
func (p Page) Run(ctx context.Context) error {
	backoff := retry.Policy{First: time.Second}.New()
	for ctx.Err() == nil {
		l, err := net.Listen("tcp", p.Address)
		if err == nil {
			p.OnState(devices.Cause{})
			if p.Listening != nil {
				p.Listening(l.Addr().String())
			}
			err = serve(ctx, l, p.handler())
		}
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = errors.New("it stopped by itself")
		}
		p.Logger.Warn("the status page cannot be served; it is retried", "address", p.Address, "error", err)
		p.OnState(devices.NewCause("status_unavailable", "address", p.Address, "reason", err.Error()))
		if !backoff.Wait(ctx) {
			return nil
		}
	}
	return nil
}

// handler serves the paths to requests that name this machine.
func (p Page) handler() http.Handler {
	page := template.Must(template.New("page").Parse(pageHTML))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		var out bytes.Buffer
		if err := page.Execute(&out, p.Status()); err != nil {
			p.Logger.Error("making the status page", "error", err)
			http.Error(w, "the page cannot be made", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(out.Bytes()) // a client that is gone needs no answer
	})
	mux.HandleFunc("GET /page.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(pageCSS) // as above
	})
	mux.HandleFunc("GET /status.json", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, p.Status()) })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_ = p.Status().WriteMetrics(w) // as above
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		// A page of the internet whose name resolves to 127.0.0.1 (DNS rebinding) sends its own name.
		host := r.Host
		if name, _, err := net.SplitHostPort(r.Host); err == nil {
			host = name
		}
		if !isLoopback(trimBrackets(host)) {
			http.Error(w, "this page answers to localhost only", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// trimBrackets takes an IPv6 address out of its brackets (RFC 3986, section 3.2.2).
func trimBrackets(host string) string {
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}
