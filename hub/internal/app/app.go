// Package app wires the hub: it opens the databases, binds the ports, runs the components and stops them
// in order.
//
// At a stop, viewers' sessions end first, while their ends can still be stored and sent to the edges; then
// the ports close; the databases close last. Only the program may import this package.
package app

import (
	"context"
	"crypto/rand"
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
	"gridpost/hub/internal/access"
	"gridpost/hub/internal/announce"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/commands"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/jobs"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/evidence"
	"gridpost/hub/internal/feed"
	"gridpost/hub/internal/headexport"
	"gridpost/hub/internal/ingest"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/present"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/retention"
	"gridpost/hub/internal/store/alerts"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/incidents"
	"gridpost/hub/internal/store/leases"
	"gridpost/hub/internal/store/people"
	"gridpost/hub/internal/store/secrets"
	"gridpost/hub/internal/store/telemetry"
	"gridpost/hub/internal/turn"
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
	m := newMetrics()
	d, err := openDatabase(ctx, db.Options{
		Dir: c.Data, URL: c.Database, Schema: schema.Hub(), Name: "hub", Exclusive: true, Logger: logger, Observer: m.database("hub"),
	})
	if err != nil {
		return unlessStopped(ctx, logger, err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	readings, err := openDatabase(ctx, telemetry.Options(db.Options{Dir: c.Data, URL: c.Database, Exclusive: true, Logger: logger, Observer: m.database("telemetry")}))
	if err != nil {
		return unlessStopped(ctx, logger, err)
	}
	defer func() { err = errors.Join(err, readings.Close()) }()
	h := &hub{config: c, log: logger, db: d, incidents: announce.Incidents(d), telemetry: telemetry.New(readings, logger), metrics: m, commands: commands.New(), publications: newPublicationLog(d, logger)}
	h.alerts = alerts.New(d, alerts.Options{GiveUpAfter: c.WebhookGiveUpAfter})
	h.edges = NewEdges(d)
	h.presence = edges.NewPresence(h.edges, logger)
	m.h = h
	if err := h.prepare(ctx, version); err != nil {
		return unlessStopped(ctx, logger, err)
	}
	defer func() { err = errors.Join(err, h.close()) }()
	if err := h.announce(ctx); err != nil {
		return unlessStopped(ctx, logger, err)
	}
	defer h.withdraw()
	return rungroup.Run(ctx,
		[]rungroup.Component{h.relay.Run},
		[]rungroup.Component{h.servePublic, h.serveEdges, h.relayTurn},
		[]rungroup.Component{h.db.Run, h.telemetry.DB().Run, h.presence.Run, h.auth.Run, h.access.Run, h.feed.Run, h.notifier.Run, h.leases.Run, h.publications.Run, h.heads.Run, h.failures.Run, h.indexIncidents, h.runJobs, h.keepRoom, h.adoptTelemetry},
	)
}

// unlessStopped returns the error of a step of the start; nil if the hub was told to stop meanwhile, which is no failure.
func unlessStopped(ctx context.Context, logger *slog.Logger, err error) error {
	if ctx.Err() == nil {
		return err
	}
	logger.Info("stopped before the start was complete", "during", err)
	return nil
}

// NewEdges returns the repository of edges on the hub's database, with the public forms of its changes.
func NewEdges(d *db.DB) *edges.Repository {
	return edges.New(d, edges.Options{
		PresentEdge:   func(e edges.Edge) any { return present.Edge(e) },
		PresentDevice: func(d edges.Device) any { return present.Device(d) },
		Audit: func(t *db.Tx, who, action, object, detail string) error {
			audit.Append(t, who, action, object, detail)
			return nil
		},
	})
}

// openEvery is how often a start is tried again that found no room on the disk.
const openEvery = 5 * time.Second

// openDatabase opens a database. When the disk is so full that even the reserve is not enough, it waits
// for room: a hub must start again without help.
func openDatabase(ctx context.Context, o db.Options) (*db.DB, error) {
	for first := true; ; first = false {
		d, err := db.Open(ctx, o)
		if !errors.Is(err, db.ErrFull) {
			return d, err
		}
		if first {
			o.Logger.Error("the hub starts as soon as the disk has room", "error", err)
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
	db     *db.DB
	alerts *alerts.Repository

	incidents *incidents.Repository

	people       *people.Repository
	leaseRecords *leases.Repository
	leases       *leases.Keeper
	audit        *audit.Repository
	heads        *headexport.Exporter
	failures     *auth.Failures
	auth         *auth.Service
	access       *access.Registry

	commands     *commands.Channel
	publications *publicationLog
	edges        *edges.Repository
	presence     *edges.Presence
	telemetry    *telemetry.Repository
	evidence     evidence.Store
	pictures     *retention.Total // bytes of complete files of evidence without clips
	clips        *retention.Total // bytes of complete clips
	views        *viewLeases
	room         *retention.Room
	keeper       *retention.Keeper
	authority    *authority.Authority
	engine       *webrtc.Engine
	turn         *turn.Server // nil: there is none
	relay        *relay.Relay
	ingest       *ingest.Server
	web          *web.Server
	notifier     *notify.Notifier
	metrics      *metrics
	feed         *feed.Tail

	public, edgePort net.Listener
}

// prepare makes every part and binds every port. What it has made is closed if it fails.
func (h *hub) prepare(ctx context.Context, version string) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if err := h.db.BeginHistory(ctx); err != nil {
		return err
	}
	if h.db.Engine() == db.SQLite { // this hub is alone on it
		if err := jobs.EndAll(ctx, h.db); err != nil {
			return err
		}
	}
	if err := h.openAudit(ctx); err != nil {
		return err
	}
	if err := h.openPeople(ctx); err != nil {
		return err
	}
	if err := h.telemetry.Adopt(ctx, h.db); err != nil {
		return err
	}
	h.evidence = evidence.Of(h.db, h.config.Data)
	h.pictures = retention.NewTotal(func(ctx context.Context) (int64, error) { return h.incidents.StoredFiles(ctx, incidents.Pictures) }, nil)
	h.clips = retention.NewTotal(func(ctx context.Context) (int64, error) { return h.incidents.StoredFiles(ctx, incidents.Clips) }, nil)
	h.room = h.newRoom()
	h.keeper = retention.New(retention.Options{Kinds: h.retained(), Logger: h.log})
	h.telemetry.Guard(h.room.Full)
	if h.authority, err = authority.Open(ctx, secrets.Of(h.db, h.config.Data, secrets.Authority()), nil); err != nil {
		return err
	}
	h.engine, err = webrtc.NewEngine(webrtc.EngineOptions{
		Listen: h.config.MediaListen, PublicAddresses: h.config.PublicAddresses, Logger: h.log,
	})
	if err != nil {
		return fmt.Errorf("binding media_listen %s: %w", h.config.MediaListen, err)
	}
	servers, err := h.openTurn()
	if err != nil {
		return err
	}
	h.relay = relay.New(relay.Options{
		Engine: h.engine, Leases: h.views, Commander: commander{live: h.commands, edges: h.edges, now: time.Now}, Publications: h.publications, MaxViewers: h.config.MaxViewers, Logger: h.log,
		ICEServers: servers,
	})
	source, err := h.alerts.Source(ctx)
	if err != nil {
		return err
	}
	h.notifier = notify.New(notify.Options{
		Queue: h.alerts, Logger: h.log, Source: source, Present: announce.Presenter(h.publicURL), Wake: func() <-chan struct{} { return h.db.Wait(db.Alerts, "") },
		UserAgent: "Gridpost/" + version, AllowPrivate: h.config.AllowPrivateWebhooks, GiveUpAfter: h.alerts.GiveUpAfter(), Observe: h.metrics.attempt,
	})
	credentials, err := h.newCredentials()
	if err != nil {
		return err
	}
	h.ingest = ingest.New(ingest.Options{
		Credentials: credentials, RelayOf: h.config.relayOf,
		DB: h.db, Edges: h.edges, Presence: h.presence, Incidents: h.incidents, Telemetry: h.telemetry,
		Evidence: h.evidence, Full: h.room.Full, EvidenceQuota: int64(h.config.Retention.PicturesEdgeMax), Authority: h.authority, Access: h.access, Media: edgeMedia{h.relay}, Commands: h.commands, Logger: h.log,
	})
	registry := prometheus.NewRegistry()
	if err := h.metrics.register(registry, version); err != nil {
		return err
	}
	h.feed = feed.New(feed.Options{
		Source: h.db, Histories: h.db, Devices: &liveDevices{edges: h.edges, telemetry: h.telemetry}, Logger: h.log,
	})
	provider, err := h.openID()
	if err != nil {
		return err
	}
	h.web, err = web.New(web.Options{
		OpenID: provider,
		Feed:   h.feed, Hub: rand.Text(),
		DB: h.db, Edges: h.edges, Telemetry: h.telemetry, Incidents: h.incidents, Alerts: h.alerts, Evidence: h.evidence, Auth: h.auth, Access: h.access, People: h.people, Leases: h.leaseRecords, Views: h.views, Audit: h.audit, Media: h.relay, Files: ui.Files(), Policy: ui.ContentSecurityPolicy(h.config.Relays), Origins: h.config.apiOrigins(),
		Credentials: credentials, RelayOf: h.config.relayOf,
		Heads: h.heads.State, MonitorEvidence: h.config.MonitorEvidence, Demo: h.config.Demo,
		Registry: registry, Logger: h.log, Version: version, AllowPrivateWebhooks: h.config.AllowPrivateWebhooks,
		EnrolToken:  h.enrolToken,
		EdgeAddress: func() string { return h.edgePort.Addr().String() },
		TestWebhook: h.notifier.Test,
		StreamLag:   func(lag time.Duration) { h.metrics.observe("stream_lag_seconds", lag.Seconds()) },
	})
	if err != nil {
		return err
	}
	if h.public, err = listen(ctx, h.config.Listen); err != nil {
		return fmt.Errorf("binding listen: %w", err)
	}
	if h.edgePort, err = listen(ctx, h.config.EdgeListen); err != nil {
		return fmt.Errorf("binding edge_listen: %w", err)
	}
	return nil
}

// enrolToken returns the enrolment token of an edge as text, as hub edge add prints it.
func (h *hub) enrolToken(name, secret string) string {
	return enrol.Token{Name: name, Secret: secret, SHA256: h.authority.Fingerprint()}.String()
}

func (h *hub) close() error {
	var errs []error
	for _, l := range []net.Listener{h.public, h.edgePort} {
		if l == nil {
			continue
		}
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if h.turn != nil {
		errs = append(errs, h.turn.Close())
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
	return serve(ctx, &http.Server{Handler: h.ingest.Handler(), ErrorLog: h.errorLog(), TLSConfig: h.authority.TLS()}, h.edgePort)
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

// errorLog is for net/http's messages about connections, most of which are failed handshakes.
func (h *hub) errorLog() *log.Logger { return slog.NewLogLogger(h.log.Handler(), slog.LevelDebug) }
