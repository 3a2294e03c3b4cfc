package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"gridpost/devices"
	"gridpost/edge/internal/health"
	"gridpost/edge/internal/hublink"
	"gridpost/edge/internal/reconcile"
	"gridpost/edge/internal/sitefile"
	"gridpost/edge/internal/status"

	firmwareconfig "gridpost/firmware-config"
)

// Changes are what a new document changed.
type Changes struct {
	File    string            `json:"file"` // where the document comes from
	Cameras reconcile.Changes `json:"cameras"`
	Sensors reconcile.Changes `json:"sensors"`
	Brokers reconcile.Changes `json:"brokers"`
	Hub     bool              `json:"hub,omitempty"` // another hub, or none, or one where none was
}

// String describes the changes for an operator, a line each.
func (c Changes) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s runs\n", c.File)
	none := !c.Hub
	for _, set := range []struct {
		kind    string
		changes reconcile.Changes
	}{{"camera", c.Cameras}, {"sensor", c.Sensors}, {"broker", c.Brokers}} {
		none = none && set.changes.IsZero()
		for _, list := range []struct {
			what  string
			names []string
		}{{"added", set.changes.Added}, {"updated", set.changes.Updated}, {"restarted", set.changes.Restarted}, {"removed", set.changes.Removed}, {"failed", set.changes.Failed}} {
			for _, name := range list.names {
				fmt.Fprintf(&b, "%s %s: %s\n", set.kind, name, list.what)
			}
		}
	}
	if c.Hub {
		b.WriteString("hub: changed\n")
	}
	if none {
		b.WriteString("no device changed\n")
	}
	return b.String()
}

// reloadKey is the key of the problem that a reload was refused.
const reloadKey = "reload"

// serveReloads applies the document of the start, and reads it again with each value of
// Options.Reload.
func (e *edge) serveReloads(ctx context.Context) error {
	e.applying <- struct{}{}
	changes, err := e.commit(ctx, e.base, e.source)
	<-e.applying
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	e.o.Logger.Info("the edge runs", "edge", e.name, "version", e.o.Version, "document", changes.File,
		"cameras", len(changes.Cameras.Added), "sensors", len(changes.Sensors.Added))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.o.Reload:
			if _, err := e.reload(ctx); err != nil && ctx.Err() == nil {
				e.o.Logger.Error("the document was refused and changes nothing", "error", err)
			}
		}
	}
}

// reload reads the document of the --config file again.
func (e *edge) reload(ctx context.Context) (Changes, error) {
	e.applying <- struct{}{}
	defer func() { <-e.applying }()
	doc, source, err := e.o.Files.Load()
	if err == nil {
		err = e.check(doc, source.File)
	}
	if err != nil {
		return Changes{}, e.refuse(source.File, err)
	}
	return e.commit(ctx, doc, source)
}

// applyFile runs a document that an operator hands over, and saves it so that it survives a restart.
func (e *edge) applyFile(ctx context.Context, name string, data []byte) (any, error) {
	e.applying <- struct{}{}
	defer func() { <-e.applying }()
	doc, err := e.o.Files.Parse(name, data)
	if err == nil {
		err = e.check(doc, name)
	}
	if err != nil {
		return nil, &status.Refused{Reason: err.Error()} // the operator sees it: it is no problem of the edge
	}
	if err := e.o.Files.SaveApplied(name, data); err != nil {
		return nil, &status.Refused{Reason: err.Error()}
	}
	return e.commit(ctx, doc, sitefile.Source{File: name, Applied: true})
}

// refuse makes a refusal a problem until a document is accepted.
func (e *edge) refuse(file string, err error) error {
	e.health.Set(health.Degraded, reloadKey, devices.NewCause("reload_refused", "file", file, "reason", err.Error()))
	return &status.Refused{Reason: err.Error()}
}

// check says why a document cannot replace the one that runs.
func (e *edge) check(doc *firmwareconfig.Document, file string) error {
	if err := Check(doc); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if doc.Hub.URL != "" {
		if err := hublink.Check(e.name, e.o.Dir); err != nil {
			return fmt.Errorf("%s: hub.url: %w", file, err)
		}
	}
	return nil
}

// commit makes the edge run a document that was accepted. Devices that have not changed are not
// touched. It returns when all that changed runs. The caller holds applying.
func (e *edge) commit(ctx context.Context, doc *firmwareconfig.Document, source sitefile.Source) (Changes, error) {
	e.mu.Lock()
	e.base, e.source, e.loaded = doc, source, time.Now()
	e.mu.Unlock()
	e.templates.SetDocument(doc)
	e.discovered.SetFormats(doc.MQTT.Discover)
	full := e.withTemplates(doc)
	e.health.Clear(reloadKey)
	if !source.Applied {
		if err := e.o.Files.Discard(); err != nil {
			e.o.Logger.Error("what was applied earlier could come back", "error", err)
		}
	}
	e.setDevices(full)
	changes := Changes{File: source.File, Hub: e.link.SetURL(doc.Hub.URL)}
	e.publish.SetUpload(doc.Hub.Upload)
	e.store.KeepClips(int64(doc.Clips.Size*(1<<30)), doc.Clips.Keep)
	if changes.Hub {
		e.publish.StopAll(ctx)
	}
	e.loadMemory(ctx, full)
	var all errgroup.Group
	all.Go(func() (err error) {
		// The object model first: cameras that use it are given it when they start.
		if _, err := e.models.Apply(ctx, e.wantedModels(doc)); err != nil {
			return err
		}
		changes.Cameras, err = e.cameras.Apply(ctx, e.wantedCameras(doc))
		return err
	})
	all.Go(func() (err error) {
		if changes.Sensors, err = e.sensors.Apply(ctx, e.wantedSensors(full)); err != nil {
			return err
		}
		changes.Brokers, err = e.brokers.Apply(ctx, e.wantedBrokers(doc))
		return err
	})
	err := all.Wait()
	for _, c := range e.allCameras() {
		c.RetryDetection()
	}
	if inference := e.inference.Load(); inference != nil {
		inference.Retry()
	}
	if err == nil {
		e.o.Logger.Info("the document runs", "file", source.File, "cameras", changes.Cameras, "sensors", changes.Sensors, "brokers", changes.Brokers, "hub_changed", changes.Hub)
	}
	return changes, err
}
