// Package leases stores leases: the right of somebody to view one camera, with who, why, from when, until
// when, and why it ended.
//
// What always holds: a view without a stored lease does not happen, and a lease that has ended does not
// change any more, unless its hub was taken for dead and was not. A lease belongs to the hub that serves
// it. Its end is stored with the time when it happened, also when the database failed then; the
// leases of a hub that is gone are ended by any other hub on the database, or by the next start.
package leases

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/audit"
)

// Lease is the right of somebody to view one camera, live or as it was recorded.
type Lease struct {
	ID       string // UUIDv7
	Edge     string
	Device   string
	Site     string
	Who      string // name of a user, or "token NAME"
	UserID   string // empty: not a user
	Incident string // what it is for; empty if Reason says it
	Reason   string
	File     string // of the incident: the clip that is watched; empty: live video
	Began    time.Time
	Until    time.Time     // when it ends by itself
	Ended    *time.Time    // nil: it holds
	Why      devices.Cause // why it ended
}

// Change is the kind of the feed's entries about leases.
const Change = "view"

// Repository stores leases. Its methods may be called from any goroutine.
type Repository struct {
	db      *db.DB
	present func(Lease) any
}

// New returns the repository of a database. present returns a lease as the change feed has it.
func New(d *db.DB, present func(Lease) any) *Repository { return &Repository{db: d, present: present} }

// Begin stores a lease that a hub serves. The lease's site and user are set by its edge and name.
func (r *Repository) Begin(ctx context.Context, hub string, l Lease) error {
	err := r.db.Update(ctx, "begin_lease", func(t *db.Tx) error {
		var err error
		if l.Site, err = site(t.Reader, l.Edge); err != nil {
			return err
		}
		if l.UserID, err = audit.UserID(t.Reader, l.Who); err != nil {
			return err
		}
		if _, err := t.Exec(`INSERT INTO leases(id, edge, device, site, who, user_id, incident, reason, file, began_at, until, hub)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, l.ID, l.Edge, l.Device, l.Site, l.Who, l.UserID, l.Incident, l.Reason, l.File,
			db.Millis(l.Began), db.Millis(l.Until), hub); err != nil {
			return err
		}
		audit.Append(t, l.Who, "view", l.Edge+"/"+l.Device, strings.TrimRight(l.Reason+" "+l.Incident+" "+l.File, " "))
		r.publish(t, l)
		return nil
	})
	if err != nil {
		return fmt.Errorf("beginning a lease of %s/%s: %w", l.Edge, l.Device, err)
	}
	return nil
}

// site returns the site of an edge. An administrator can publish cameras under the name of no edge: that
// name is their site.
func site(r db.Reader, edge string) (site string, err error) {
	err = r.One(`SELECT site FROM edges WHERE name = ?`, edge)(&site)
	if errors.Is(err, db.ErrNotFound) {
		return edge, nil
	}
	return site, err
}

func (r *Repository) publish(t *db.Tx, l Lease) { t.Publish(Change, l.Site, l.ID, r.present(l), nil) }

// ending is the end of a lease that is to be stored.
type ending struct {
	id  string
	at  time.Time
	why devices.Cause
}

// end stores the ends of leases. A lease that has ended already, or does not exist, stays as it is.
func (r *Repository) end(ctx context.Context, all []ending) error {
	return r.db.Update(ctx, "end_lease", func(t *db.Tx) error {
		for _, e := range all {
			params, err := encode(e.why.Params)
			if err != nil {
				return err
			}
			l, err := scan(t.One(`UPDATE leases SET ended_at = ?, ended_why = ?, ended_code = ?, ended_params = ?
				WHERE id = ? AND ended_at IS NULL RETURNING `+columns, db.Millis(e.at), e.why.Text, e.why.Code, params, e.id))
			if errors.Is(err, db.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			r.publish(t, l)
			appendEnd(t, l)
		}
		return nil
	})
}

// appendEnd records the end of a view. Who has viewed is named, not who or what has ended it: that is the reason.
func appendEnd(t *db.Tx, l Lease) {
	detail := l.Why.Text
	if l.Ended != nil {
		detail = fmt.Sprintf("after %s: %s", l.Ended.Sub(l.Began).Round(time.Second), l.Why.Text)
	}
	audit.Append(t, l.Who, "view end", l.Edge+"/"+l.Device, detail)
}

func encode(params map[string]string) (string, error) {
	if len(params) == 0 {
		return "{}", nil
	}
	text, err := json.Marshal(params)
	return string(text), err
}

// endSome ends leases of a hub, limit of them at most, and returns how many it ended.
func (r *Repository) endSome(t *db.Tx, hub string, why devices.Cause, limit int) (int, error) {
	all, err := db.Collect(scan)(t.Rows(`UPDATE leases SET ended_at = ?, ended_why = ?, ended_code = ? WHERE id IN
		(SELECT id FROM leases WHERE hub = ? AND ended_at IS NULL ORDER BY id LIMIT ?) AND ended_at IS NULL RETURNING `+columns,
		db.Millis(t.Now()), why.Text, why.Code, hub, limit))
	if err != nil {
		return 0, err
	}
	for _, l := range all {
		r.publish(t, l)
		appendEnd(t, l)
	}
	return len(all), nil
}

const columns = `id, edge, device, site, who, user_id, incident, reason, file, began_at, until, ended_at, ended_why, ended_code, ended_params`

func scan(scan func(...any) error) (l Lease, err error) {
	var began, until int64
	var ended sql.NullInt64
	var params string
	if err := scan(&l.ID, &l.Edge, &l.Device, &l.Site, &l.Who, &l.UserID, &l.Incident, &l.Reason, &l.File, &began, &until, &ended,
		&l.Why.Text, &l.Why.Code, &params); err != nil {
		return l, err
	}
	l.Began, l.Until, l.Ended = db.FromMillis(began), db.FromMillis(until), db.TimePtr(ended)
	if params != "{}" {
		err = json.Unmarshal([]byte(params), &l.Why.Params)
	}
	return l, err
}

// Get returns a lease; db.ErrNotFound: there is none.
func (r *Repository) Get(ctx context.Context, id string) (Lease, error) {
	l, err := scan(r.db.Read(ctx).One(`SELECT `+columns+` FROM leases WHERE id = ?`, id))
	if err != nil {
		return l, fmt.Errorf("reading lease %s: %w", id, err)
	}
	return l, nil
}

// EndBy ends a lease of a scope because somebody wants it. The hub that serves it ends the view. It returns
// db.ErrNotFound if there is no such lease, or it has ended.
func (r *Repository) EndBy(ctx context.Context, s scope.Scope, who, id string) error {
	err := r.db.Update(ctx, "end_lease_by", func(t *db.Tx) error {
		why := problem.NewCause("video_ended_by", "who", who)
		params, err := encode(why.Params)
		if err != nil {
			return err
		}
		condition, sites := s.Where("site")
		l, err := scan(t.One(`UPDATE leases SET ended_at = ?, ended_why = ?, ended_code = ?, ended_params = ?
			WHERE id = ? AND ended_at IS NULL AND `+condition+` RETURNING `+columns,
			append([]any{db.Millis(t.Now()), why.Text, why.Code, params, id}, sites...)...))
		if err != nil {
			return err
		}
		audit.Append(t, who, "view end", l.Edge+"/"+l.Device, l.ID)
		r.publish(t, l)
		t.Notify(db.Access, "")
		return nil
	})
	if err != nil {
		return fmt.Errorf("ending lease %s: %w", id, err)
	}
	return nil
}

// Ended returns why leases have ended, by ID, those that have. The end of a lease whose hub is taken for dead is
// not among them: the hub that asks is alive, and opens the lease again.
func (r *Repository) Ended(ctx context.Context, ids []string) (map[string]devices.Cause, error) {
	all, err := db.Collect(scan)(r.db.Read(ctx).Rows(endedQuery+db.InList(r.db.Engine()), gone, db.JSONList(ids)))
	if err != nil {
		return nil, fmt.Errorf("reading which leases have ended: %w", err)
	}
	out := make(map[string]devices.Cause, len(all))
	for _, l := range all {
		out[l.ID] = l.Why
	}
	return out, nil
}

const endedQuery = `SELECT ` + columns + ` FROM leases WHERE ended_at IS NOT NULL AND ended_code != ? AND id `

// DeleteBefore removes leases that began before a time and have ended, the oldest first, and limit of
// them at most.
func (r *Repository) DeleteBefore(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	return r.db.DeleteBefore(ctx, "delete_leases", deleteQuery, before, limit)
}

const deleteQuery = `DELETE FROM leases WHERE id IN
	(SELECT id FROM leases WHERE began_at < ? AND ended_at IS NOT NULL ORDER BY began_at LIMIT ?)`
