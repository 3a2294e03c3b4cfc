package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"gridpost/devices/diskspace"
	"gridpost/devices/retry"
	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/jobs"
	"gridpost/hub/internal/evidence"
	"gridpost/hub/internal/retention"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/incidents"
)

const (
	// retentionEvery is the pause between two passes over all that is kept.
	retentionEvery = time.Minute

	// originAge is how long an address is remembered from which somebody has logged in.
	originAge = 90 * 24 * time.Hour

	// abandonedAge is how long an upload may take.
	abandonedAge = 14 * 24 * time.Hour

	// overEvery is the pause between two measurements of what each edge has stored.
	overEvery = 5 * time.Minute

	// sweepEvery is the pause between two searches for files without a record, and sweepAge how old they must be.
	sweepEvery = 24 * time.Hour
	sweepAge   = time.Hour

	// roomEvery is how often the room on the disk is looked at.
	roomEvery = 10 * time.Second

	// releasePages is how many pages of the telemetry's file are given back after each deletion for want
	// of room.
	releasePages = 500
)

// retained lists what expires: a new kind is one line.
func (h *hub) retained() []retention.Kind {
	c := h.config.Retention
	return []retention.Kind{
		{Name: "changes", Age: c.Changes.Duration(), Delete: h.db.DeleteChangesBefore, Max: c.ChangesMax, Size: h.db.ChangesKept},
		{Name: "readings", Age: c.Readings.Duration(), Delete: h.telemetry.DeleteReadingsBefore, Max: c.ReadingsMax, Size: h.telemetry.Stored},
		{Name: "series", Age: c.Readings.Duration(), Delete: h.telemetry.DeleteSeriesBefore},
		{Name: "gaps", Age: c.Gaps.Duration(), Delete: h.telemetry.DeleteGapsBefore},
		{Name: "commands", Age: time.Hour, Delete: h.edges.DeleteCommandsBefore}, // after they expired
		{Name: "edge_tokens", Age: 7 * 24 * time.Hour, Delete: h.edges.DeleteTokensBefore},
		{Name: "edge_certificates", Age: authority.RenewGrace, Delete: h.edges.DeleteCertificatesBefore},
		{Name: "deliveries", Age: c.Alerts.Duration(), Delete: h.alerts.DeleteDeliveriesBefore},
		{Name: "alerts", Age: c.Alerts.Duration(), Delete: h.alerts.DeleteAlertsBefore},
		{Name: "webhooks", Age: h.alerts.GiveUpAfter(), Delete: h.alerts.Clean},
		{Name: "sessions", Age: time.Hour, Delete: h.people.DeleteSessionsBefore}, // after they expired
		{Name: "login_origins", Age: originAge, Delete: h.people.DeleteOriginsBefore},
		{Name: "leases", Age: c.Leases.Duration(), Delete: h.leaseRecords.DeleteBefore},
		{Name: "audit", Age: c.Audit.Duration(), Delete: h.audit.DeleteBefore},
		{Name: "clips", Age: c.Clips.Duration(), Delete: h.deleteFiles(incidents.Clips), Max: int64(c.ClipsMax), Size: h.clips.Size},
		{Name: "pictures", Age: c.Pictures.Duration(), Delete: h.deleteFiles(incidents.Pictures), Max: int64(c.PicturesMax), Size: h.pictures.Size},
		{Name: "pictures_of_edges", Age: time.Minute, Delete: h.picturesOver(int64(c.PicturesEdgeMax) / 10 * 9)},
		{Name: "uploads", Age: abandonedAge, Delete: h.deleteAbandoned},
		{Name: "incidents", Age: c.Incidents.Duration(), Delete: h.deleteIncidents},
	}
}

// jobs lists the kinds of deferred work: a new kind is one line.
func (h *hub) jobs() []jobs.Kind {
	return []jobs.Kind{
		{Name: audit.Job, Every: audit.JobEvery, Run: h.verifyAudit},
		{Name: "evidence_sweep", Every: sweepEvery, Run: h.sweepEvidence},
		{Name: "retention", Every: retentionEvery, Run: func(ctx context.Context, _ *jobs.Claim) error { return h.keeper.Pass(ctx) }},
	}
}

func (h *hub) runJobs(ctx context.Context) error { return jobs.Run(ctx, h.db, h.jobs(), h.log) }

// newRoom returns what keeps room for alerts on the disk of the data folder. With PostgreSQL, its server's
// disk is the administrator's to watch.
func (h *hub) newRoom() *retention.Room {
	reserve := int64(h.config.Retention.DiskReserve)
	if h.db.Engine() != db.SQLite {
		reserve = 0
	}
	return retention.NewRoom(retention.RoomOptions{
		Reserve: reserve, Logger: h.log,
		Free: func(context.Context) (int64, error) { return diskspace.Free(h.config.Data) },
		Sacrifice: []retention.Kind{
			{Name: "clips", Delete: h.deleteFiles(incidents.Clips)},
			{Name: "pictures", Delete: h.deleteFiles(incidents.Pictures)},
			{Name: "readings", Delete: h.deleteReadingsForRoom},
		},
	})
}

// deletedRows emits how many rows of each kind were deleted because of their age, their number or the room on the
// disk.
func deletedRows(s *scrape, emit func(float64, ...string)) error {
	for kind, n := range s.h.keeper.Deleted() {
		emit(float64(n+s.h.room.Deleted()[kind]), kind)
	}
	return nil
}

// deleteFiles returns a function that deletes files of a kind of closed incidents that no hold protects: first their records, then
// the files themselves.
func (h *hub) deleteFiles(kind incidents.FileKind) func(context.Context, time.Time, int) (int, error) {
	return func(ctx context.Context, before time.Time, limit int) (int, error) {
		keys, err := h.incidents.DeleteEvidenceBefore(ctx, kind, before, limit)
		if err != nil {
			return 0, err
		}
		return len(keys), h.removeFiles(ctx, keys)
	}
}

// picturesOver returns a function that deletes the oldest files of edges that have more than max bytes. It is called from
// one goroutine at a time.
func (h *hub) picturesOver(max int64) func(context.Context, time.Time, int) (int, error) {
	var next time.Time
	return func(ctx context.Context, _ time.Time, limit int) (int, error) {
		if max <= 0 || time.Now().Before(next) {
			return 0, nil
		}
		keys, err := h.incidents.DeleteEvidenceOver(ctx, max, limit)
		if err != nil {
			return 0, err
		}
		if len(keys) == 0 {
			next = time.Now().Add(overEvery)
		}
		return len(keys), h.removeFiles(ctx, keys)
	}
}

func (h *hub) deleteAbandoned(ctx context.Context, before time.Time, limit int) (int, error) {
	keys, err := h.incidents.DeleteAbandonedBefore(ctx, before, limit)
	if err != nil {
		return 0, err
	}
	return len(keys), h.removeFiles(ctx, keys)
}

func (h *hub) deleteIncidents(ctx context.Context, before time.Time, limit int) (int, error) {
	n, keys, err := h.incidents.DeleteIncidentsBefore(ctx, before, limit)
	if err != nil {
		return 0, err
	}
	return n, h.removeFiles(ctx, keys)
}

func (h *hub) removeFiles(ctx context.Context, keys []incidents.EvidenceKey) error {
	var errs []error
	for _, k := range keys {
		total := h.pictures
		if k.Clip {
			total = h.clips
		}
		total.Subtract(k.Size)
		errs = append(errs, h.evidence.Remove(ctx, evidence.Key{Incident: k.Incident, Name: k.Name}))
	}
	return errors.Join(errs...)
}

// sweepEvidence removes files whose records were deleted by a hub that ended before it removed the files.
func (h *hub) sweepEvidence(ctx context.Context, _ *jobs.Claim) error {
	n, err := h.evidence.Sweep(ctx, time.Now().Add(-sweepAge), h.knownEvidence)
	if n > 0 {
		h.log.Warn("files of evidence without a record were removed", "count", n)
	}
	return err
}

func (h *hub) knownEvidence(ctx context.Context, keys []evidence.Key) (map[evidence.Key]bool, error) {
	asked := make([]incidents.EvidenceKey, len(keys))
	for i, k := range keys {
		asked[i] = incidents.EvidenceKey{Incident: k.Incident, Name: k.Name}
	}
	rows, err := h.incidents.KnownEvidence(ctx, asked)
	known := make(map[evidence.Key]bool, len(rows))
	for _, r := range rows {
		known[evidence.Key{Incident: r.Incident, Name: r.Name}] = true
	}
	return known, err
}

// deleteReadingsForRoom deletes readings and gives their room back to the disk.
func (h *hub) deleteReadingsForRoom(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := h.telemetry.DeleteReadingsBefore(ctx, before, limit)
	if err != nil || n == 0 {
		return n, err
	}
	return n, h.telemetry.ReleasePages(ctx, releasePages)
}

// keepRoom deletes what matters least while the disk is short of room.
func (h *hub) keepRoom(ctx context.Context) error {
	if folder, ok := h.evidence.(*evidence.Folder); ok {
		if err := folder.RemoveEmpty(); err != nil {
			h.log.Warn("removing empty folders", "error", err)
		}
	}
	for retry.Sleep(ctx, roomEvery) {
		if err := h.room.Pass(ctx); err != nil && ctx.Err() == nil {
			h.log.Error("making room on the disk", "folder", filepath.Clean(h.config.Data), "error", err)
		}
		if err := h.db.Reserve(); err != nil {
			h.log.Warn("no room is reserved on the disk", "error", err)
		}
	}
	return nil
}

// adoptTelemetry moves the readings that an older version kept in the hub's own database.
func (h *hub) adoptTelemetry(ctx context.Context) error {
	if err := h.telemetry.AdoptReadings(ctx, h.db); err != nil && ctx.Err() == nil {
		return fmt.Errorf("moving readings of an older version: %w", err)
	}
	return nil
}
