// Package app puts the hub together: it opens the store, binds the ports, runs the parts and
// stops them in order.
//
// What always holds: live views end first, while their ends can still be recorded and told to
// the edges; then the ports close; the store closes last. Nothing may import this package
// but the program.
package app

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gridpost/devices/retry"
	"gridpost/devices/rungroup"
	"gridpost/firmware-config/enrol"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/ingest"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/store"
	"gridpost/hub/internal/web"
	"gridpost/hub/ui"
	"gridpost/streams/webrtc"
)

// Run runs a hub until ctx ends or a part of it fails.
func Run(ctx context.Context, c Config, version string, logger *slog.Logger) (err error) {
	if err := c.Check(); err != nil {
		return fmt.Errorf("checking the configuration: %w", err)
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	unlock, err := lock(c.Data)
	if err != nil {
		return err
	}
	defer unlock()
	st, err := openStore(ctx, c.Data, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	h := &hub{config: c, log: logger, store: st}
	if err := h.prepare(ctx, version); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	if err := h.announce(ctx); err != nil {
		return err
	}
	defer h.withdraw()
	return rungroup.Run(ctx,
		[]rungroup.Component{h.relay.Run},
		[]rungroup.Component{h.servePublic, h.serveEdges},
		[]rungroup.Component{h.notifier.Run, h.maintain},
	)
}

// openEvery is how often a start is tried again that found no room on the disk.
const openEvery = 5 * time.Second

// openStore opens the store. When the disk is so full that even the store's reserve is not enough,
// it waits for room: a hub must not need a hand to start.
func openStore(ctx context.Context, dir string, logger *slog.Logger) (*store.Store, error) {
	for first := true; ; first = false {
		st, err := store.Open(store.Options{Dir: dir, Logger: logger})
		if !errors.Is(err, store.ErrFull) {
			return st, err
		}
		if first {
			logger.Error("the hub starts as soon as the disk has room", "error", err)
		}
		if !retry.Sleep(ctx, openEvery) {
			return nil, err
		}
	}
}

// hub holds the parts between prepare and close.
type hub struct {
	config Config
	log    *slog.Logger
	store  *store.Store

	authority *authority.Authority
	engine    *webrtc.Engine
	relay     *relay.Relay
	ingest    *ingest.Server
	web       *web.Server
	notifier  *notify.Notifier

	public, edges net.Listener
}

// prepare makes every part and binds every port. What it has made is closed if it fails.
func (h *hub) prepare(ctx context.Context, version string) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if err := h.store.EndAllViews(ctx, "the hub was stopped"); err != nil {
		return err
	}
	if err := h.store.MarkAway(ctx); err != nil {
		return err
	}
	if h.authority, err = authority.Open(h.config.Data, nil); err != nil {
		return err
	}
	people, err := auth.New(auth.Options{Store: h.store, Logger: h.log})
	if err != nil {
		return err
	}
	h.engine, err = webrtc.NewEngine(webrtc.EngineOptions{
		Listen: h.config.MediaListen, PublicAddresses: h.config.PublicAddresses, Logger: h.log,
	})
	if err != nil {
		return fmt.Errorf("binding media_listen %s: %w", h.config.MediaListen, err)
	}
	h.relay = relay.New(relay.Options{
		Engine: h.engine, Leases: leases{h.store}, Commander: commander{store: h.store, now: time.Now}, Logger: h.log,
	})
	h.notifier = notify.New(notify.Options{
		Store: h.store, Logger: h.log, Wake: h.store.AlertsQueued,
		UserAgent: "Gridpost/" + version, AllowPrivate: h.config.AllowPrivateWebhooks,
	})
	h.ingest = ingest.New(ingest.Options{Store: h.store, Authority: h.authority, Media: h.relay, Logger: h.log})
	registry := prometheus.NewRegistry()
	if err := h.register(registry, version); err != nil {
		return fmt.Errorf("preparing metrics: %w", err)
	}
	h.web, err = web.New(web.Options{
		Store: h.store, Auth: people, Media: h.relay, Files: ui.Files(), Policy: ui.ContentSecurityPolicy,
		Registry: registry, Logger: h.log, Version: version, AllowPrivateWebhooks: h.config.AllowPrivateWebhooks,
		EnrolToken:  h.enrolToken,
		EdgeAddress: func() string { return h.edges.Addr().String() },
		TestWebhook: h.notifier.Test,
	})
	if err != nil {
		return err
	}
	if h.public, err = listen(ctx, h.config.Listen); err != nil {
		return fmt.Errorf("binding listen: %w", err)
	}
	if h.edges, err = listen(ctx, h.config.EdgeListen); err != nil {
		return fmt.Errorf("binding edge_listen: %w", err)
	}
	return nil
}

// enrolToken makes what a person carries to a box, as hub edge add prints it.
func (h *hub) enrolToken(name, secret string) string {
	return enrol.Token{Name: name, Secret: secret, SHA256: h.authority.Fingerprint()}.String()
}

func (h *hub) close() error {
	var errs []error
	for _, l := range []net.Listener{h.public, h.edges} {
		if l == nil {
			continue
		}
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if h.engine != nil {
		errs = append(errs, h.engine.Close())
	}
	return errors.Join(errs...)
}

func (h *hub) servePublic(ctx context.Context) error {
	return serve(ctx, &http.Server{Handler: h.web.Handler(), ErrorLog: h.errorLog()}, h.public)
}

func (h *hub) serveEdges(ctx context.Context) error {
	return serve(ctx, &http.Server{Handler: h.ingest.Handler(), ErrorLog: h.errorLog(), TLSConfig: h.authority.TLS()}, h.edges)
}

// Times of the HTTP servers. Bodies have deadlines of their own, set by who reads them.
const (
	headerLimit = 10 * time.Second
	idleLimit   = 2 * time.Minute
	stopLimit   = 5 * time.Second
	maxHeader   = 64 << 10 // bytes
)

// serve serves until ctx ends. The contexts of all requests end with it, and so do streams.
func serve(ctx context.Context, srv *http.Server, l net.Listener) error {
	srv.ReadHeaderTimeout, srv.IdleTimeout, srv.MaxHeaderBytes = headerLimit, idleLimit, maxHeader
	srv.BaseContext = func(net.Listener) context.Context { return ctx }
	done := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			done <- srv.ServeTLS(l, "", "")
			return
		}
		done <- srv.Serve(l)
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		_ = srv.Close() // what would not end in time
	}
	<-done
	return nil
}

// errorLog is for what net/http says of connections: handshakes that failed, mostly.
func (h *hub) errorLog() *log.Logger { return slog.NewLogLogger(h.log.Handler(), slog.LevelDebug) }

// maintain notices edges that have fallen silent and removes what is old.
func (h *hub) maintain(ctx context.Context) error {
	away, prune := time.NewTicker(5*time.Second), time.NewTicker(time.Minute)
	defer away.Stop()
	defer prune.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-away.C:
			if err := h.store.MarkAway(ctx); err != nil && ctx.Err() == nil {
				h.log.Error("looking for silent edges", "error", err)
			}
		case <-prune.C:
			if err := h.store.Prune(ctx, store.Retention{}); err != nil && ctx.Err() == nil {
				h.log.Error("removing what is old", "error", err)
			}
		}
	}
}
