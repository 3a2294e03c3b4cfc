// Package edges stores the edges of a hub: their enrolment and certificates, whether they are
// connected, the numbering of their events (epochs and marks), the commands for them, and their
// devices.
//
// What always holds: a change that people see is committed together with its entry of the change
// feed; the marks of an epoch move in the transaction that applies its events, so each event is
// applied once; all changes of one edge's events and commands lock its row first, so they are in one
// order on every engine.
//
// The package must import neither other repositories nor HTTP packages; it implements the store of
// package authority.
package edges

import (
	"errors"

	"gridpost/hub/internal/db"
)

// ErrSuperseded says that a request is not of the epoch that greeted last.
var ErrSuperseded = errors.New("another epoch of the edge has greeted the hub since")

// Options connect a Repository with what stands above it. Each function may be nil; they are called
// inside transactions.
type Options struct {
	// PresentEdge and PresentDevice return the public forms, which the change feed holds as JSON.
	PresentEdge   func(Edge) any
	PresentDevice func(Device) any

	// Audit appends to the audit log.
	Audit func(t *db.Tx, who, action, object, detail string) error
}

// Repository reads and writes edges. Its methods may be called from any goroutine.
type Repository struct {
	db *db.DB
	o  Options
}

// New returns the repository on a database.
func New(d *db.DB, o Options) *Repository {
	if o.PresentEdge == nil {
		o.PresentEdge = func(e Edge) any { return e }
	}
	if o.PresentDevice == nil {
		o.PresentDevice = func(d Device) any { return d }
	}
	if o.Audit == nil {
		o.Audit = func(*db.Tx, string, string, string, string) error { return nil }
	}
	return &Repository{db: d, o: o}
}
