package incidents

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/audit"
)

// Mutes. A person can mute a rule of a device for some time. Its incidents are recorded and delivered as before;
// MutedUntil of each says that consoles leave it out of the list and raise no alarm. A mute ends by its time or
// when a person ends it, and the incidents that nobody has taken are in the list again.

// MuteChange is the kind of the change feed's entries about mutes.
const MuteChange = "mute"

// MaxMute is how long a rule can be muted at once.
const MaxMute = 24 * time.Hour

// Mute is a rule that is muted.
type Mute struct {
	ID     string
	Edge   string
	Device string
	Rule   string
	Site   string
	Reason string
	Who    string
	Began  time.Time
	Until  time.Time // when it ends by itself

	Ended   *time.Time // nil: nobody has ended it before that
	EndedBy string
}

// MuteRequest is what a person wants to mute.
type MuteRequest struct {
	ID     string // of the new mute
	Who    string
	Scope  scope.Scope
	Edge   string
	Device string
	Rule   string
	Reason string
	For    time.Duration // MaxMute at most
}

// Mute mutes a rule. A mute of the rule that is in force is replaced. It returns db.ErrNotFound if the scope has no
// such rule: neither its device nor an incident names it.
func (r *Repository) Mute(ctx context.Context, q MuteRequest) (Mute, error) {
	m := Mute{ID: q.ID, Edge: q.Edge, Device: q.Device, Rule: q.Rule, Reason: q.Reason, Who: q.Who}
	err := r.db.Update(ctx, "mute", func(tx *db.Tx) error {
		var err error
		if m.Site, err = ruleSite(tx.Reader, q); err != nil {
			return err
		}
		m.Began = db.FromMillis(db.Millis(tx.Now())) // as it will be read
		m.Until = m.Began.Add(min(q.For, MaxMute))
		if _, err := tx.Exec(`DELETE FROM mutes WHERE until <= ?`, db.Millis(tx.Now())); err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO mutes(edge, device, rule, id, site, reason, who, began_at, until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT(edge, device, rule) DO UPDATE SET id = excluded.id, site = excluded.site, reason = excluded.reason, who = excluded.who,
				began_at = excluded.began_at, until = excluded.until`,
			m.Edge, m.Device, m.Rule, m.ID, m.Site, m.Reason, m.Who, db.Millis(m.Began), db.Millis(m.Until)); err != nil {
			return err
		}
		audit.Append(tx, m.Who, "rule muted", m.object(), "until "+m.Until.UTC().Format(time.RFC3339)+": "+m.Reason)
		r.publishMute(tx, m)
		return nil
	})
	if err != nil {
		return Mute{}, fmt.Errorf("muting the rule %s of %s/%s: %w", q.Rule, q.Edge, q.Device, err)
	}
	return m, nil
}

// EndMute ends a mute of a scope before its time. It returns db.ErrNotFound if there is none in force.
func (r *Repository) EndMute(ctx context.Context, s scope.Scope, who, id string) error {
	err := r.db.Update(ctx, "end_mute", func(tx *db.Tx) error {
		where, args := s.Where("site")
		m, err := scanMute(tx.One(`DELETE FROM mutes WHERE id = ? AND until > ? AND `+where+` RETURNING `+muteColumns,
			append([]any{id, db.Millis(tx.Now())}, args...)...))
		if err != nil {
			return err
		}
		now := db.FromMillis(db.Millis(tx.Now()))
		m.Ended, m.EndedBy = &now, who
		audit.Append(tx, who, "rule unmuted", m.object(), m.ID)
		r.publishMute(tx, m)
		return nil
	})
	if err != nil {
		return fmt.Errorf("ending mute %s: %w", id, err)
	}
	return nil
}

// Mutes returns the mutes of a scope that are in force, by ID, after an ID; limit of them at most.
func (r *Repository) Mutes(ctx context.Context, s scope.Scope, after string, limit int) ([]Mute, error) {
	where, args := s.Where("site")
	all, err := db.Collect(scanMute)(r.db.Read(ctx).Rows(`SELECT `+muteColumns+` FROM mutes WHERE id > ? AND until > ? AND `+where+` ORDER BY id LIMIT ?`,
		append(append([]any{after, db.Millis(r.db.Now())}, args...), limit)...))
	if err != nil {
		return nil, fmt.Errorf("listing mutes: %w", err)
	}
	return all, nil
}

func (m Mute) object() string { return m.Edge + "/" + m.Device + "/" + m.Rule }

func (r *Repository) publishMute(tx *db.Tx, m Mute) {
	tx.Publish(MuteChange, m.Site, m.object(), r.hooks.PresentMute(m), nil)
}

const muteColumns = `id, edge, device, rule, site, reason, who, began_at, until`

func scanMute(scan func(...any) error) (m Mute, err error) {
	var began, until int64
	err = scan(&m.ID, &m.Edge, &m.Device, &m.Rule, &m.Site, &m.Reason, &m.Who, &began, &until)
	m.Began, m.Until = db.FromMillis(began), db.FromMillis(until)
	return m, err
}

// ruleSite returns the site of a rule, or db.ErrNotFound if the scope has no such rule.
func ruleSite(r db.Reader, q MuteRequest) (site string, err error) {
	var text string
	if err := r.One(`SELECT e.site, d.rules FROM devices d JOIN edges e ON e.name = d.edge WHERE d.edge = ? AND d.name = ?`, q.Edge, q.Device)(&site, &text); err != nil {
		return "", err
	}
	if !q.Scope.Allows(site) {
		return "", db.ErrNotFound
	}
	var rules []struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal([]byte(text), &rules); err != nil {
		return "", fmt.Errorf("reading the rules of %s/%s: %w", q.Edge, q.Device, err)
	}
	for _, rule := range rules {
		if rule.Name == q.Rule {
			return site, nil
		}
	}
	// A rule that was removed has incidents still.
	var one int
	return site, r.One(`SELECT 1 FROM incident_groups WHERE edge = ? AND device = ? AND rule = ? LIMIT 1`, q.Edge, q.Device, q.Rule)(&one)
}

// ruleKey names a rule of a device.
type ruleKey struct{ edge, device, rule string }

// mutedQuery reads which rules are muted, with mutedRule whether one of them is.
const (
	mutedQuery = `SELECT edge, device, rule, until FROM mutes WHERE until > ?`
	mutedRule  = ` AND edge = ? AND device = ? AND rule = ?`
)

// addMutes sets MutedUntil of incidents.
func addMutes(r db.Reader, now time.Time, all []Incident) error {
	if len(all) == 0 || len(all) == 1 && all[0].Edge == "" {
		return nil
	}
	text, args := mutedQuery, []any{db.Millis(now)}
	if len(all) == 1 {
		text, args = mutedQuery+mutedRule, append(args, all[0].Edge, all[0].Device, all[0].Rule)
	}
	until := map[ruleKey]time.Time{}
	_, err := db.Collect(func(scan func(...any) error) (none struct{}, err error) {
		var key ruleKey
		var ms int64
		err = scan(&key.edge, &key.device, &key.rule, &ms)
		until[key] = db.FromMillis(ms)
		return none, err
	})(r.Rows(text, args...))
	if err != nil {
		return fmt.Errorf("reading which rules are muted: %w", err)
	}
	for i, inc := range all {
		if at, muted := until[ruleKey{inc.Edge, inc.Device, inc.Rule}]; muted {
			all[i].MutedUntil = &at
		}
	}
	return nil
}
