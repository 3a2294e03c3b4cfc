package app

import (
	"context"

	"gridpost/hub/internal/access"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/oidc"
	"gridpost/hub/internal/store/incidents"
	"gridpost/hub/internal/store/leases"
	"gridpost/hub/internal/store/people"
	"gridpost/hub/internal/web"
)

// NewPeople returns the repository of people on the hub's database. What is assigned to a user stays assigned
// when the user is renamed.
func NewPeople(d *db.DB, r *incidents.Repository) *people.Repository {
	return people.New(d, people.Hooks{Renamed: r.RenameAssignee})
}

// openPeople prepares users and leases, and ends the leases that an earlier run left open.
func (h *hub) openPeople(ctx context.Context) (err error) {
	h.people = NewPeople(h.db, h.incidents)
	h.failures = auth.NewFailures(h.recordFailures, h.log)
	if h.auth, err = auth.New(auth.Options{People: h.people, Logger: h.log, Failures: h.failures}); err != nil {
		return err
	}
	id, err := hubID(h.config.Data, h.log)
	if err != nil {
		return err
	}
	h.heads = h.newHeads(id)
	h.leaseRecords = leases.New(h.db, func(l leases.Lease) any { return web.PresentLease(l) })
	h.leases = leases.NewKeeper(h.leaseRecords, id, h.log)
	h.access = access.New(access.Options{
		Principals: h.auth, Edges: h.edges, Incidents: h.incidents, Leases: h.leaseRecords,
		Wake: func() <-chan struct{} { return h.db.Wait(db.Access, "") }, Limits: h.config.Limits, Logger: h.log,
	})
	h.views = &viewLeases{keeper: h.leases, access: h.access, held: map[string]func(){}}
	return h.leases.Start(ctx)
}

// openID returns the OpenID Connect provider of the configuration; nil without one.
func (h *hub) openID() (web.OpenID, error) {
	c := h.config.OIDC
	if !c.Enabled() {
		return nil, nil
	}
	secret, err := c.ReadSecret()
	if err != nil {
		return nil, err
	}
	return oidc.New(oidc.Options{Config: c, Secret: secret, Redirect: func() string { return h.publicURL() + web.CallbackPath }}), nil
}
