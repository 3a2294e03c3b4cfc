// Package backup makes copies of a hub: hub backup, hub restore and hub migrate.
//
// A backup is a folder of SQLite files, whatever engine the hub uses, with the evidence, the keys of the
// certificate authority and of the audit log and a manifest, which is written last. Rows are copied between engines by one
// copier, which knows every table: a test fails when a table is missing in its list.
//
// The package knows tables and columns only as data. What they mean is their repositories' to know.
package backup

import (
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/store/telemetry"
)

// table is one table that is copied.
type table struct {
	name string

	// seeded says that a new database may have rows in it, which a copy replaces.
	seeded bool

	// zero names columns that are 0 in a copy between engines: what they say does not hold there.
	zero []string

	// order names the columns by which it is read, where that makes writing faster.
	order string
}

// database is one of the hub's two databases.
type database struct {
	name    string
	options func(db.Options) db.Options

	// tables are copied in this order: a table follows those that it refers to.
	tables []table

	// derived names tables that are made from others, by the hub or by finish, and are not copied.
	derived []string

	// legacy names tables that only SQLite has, and that a hub empties after an upgrade.
	legacy []string
}

// databases returns the databases in the order in which they are written. The hub's is the last: without
// it there is no hub.
func databases() []database {
	return []database{telemetryDatabase(), hubDatabase()}
}

func hubDatabase() database {
	return database{
		name: "hub",
		options: func(o db.Options) db.Options {
			o.Name, o.Schema, o.Durability = "hub", schema.Hub(), db.Full
			return o
		},
		tables: []table{
			{name: "installation", seeded: true},
			{name: "feed", seeded: true},
			{name: "changes"},
			{name: "histories", seeded: true},
			{name: "jobs", seeded: true},
			{name: "edges"},
			{name: "edge_tokens"},
			{name: "edge_certificates"},
			{name: "marks"},
			{name: "epochs"},
			{name: "commands"},
			{name: "devices"},
			{name: "incidents", zero: []string{"indexed"}},
			{name: "facts"},
			{name: "reports"},
			{name: "evidence"},
			{name: "incident_groups"},
			{name: "group_summaries"},
			{name: "incident_counts"},
			{name: "mutes"},
			{name: "users"},
			{name: "user_names"},
			{name: "identities"},
			{name: "sessions"},
			{name: "login_origins"},
			{name: "totp_secrets"},
			{name: "recovery_codes"},
			{name: "tokens"},
			{name: "hubs"},
			{name: "leases"},
			{name: "audit"},
			{name: "audit_head", seeded: true},
			{name: "audit_check", seeded: true},
			{name: "webhooks"},
			{name: "alerts"},
			{name: "deliveries"},
		},
		// The keys of the authority and of the audit log and the pieces of evidence are copied apart. The hub indexes incidents in
		// the background.
		derived: []string{"device_places", "incident_search", "authority", "audit_keys", "evidence_pieces"},
		legacy:  []string{"readings", "gaps"},
	}
}

func telemetryDatabase() database {
	return database{
		name:    telemetry.Name,
		options: telemetry.Options,
		tables: []table{
			{name: "series"}, {name: "readings", order: "series, at, value"}, {name: "summaries", order: "series, bucket"}, {name: "marks"}, {name: "gaps"},
		},
	}
}

// version returns the number of the newest migration of a database.
func (d database) version(e db.Engine) (int, error) {
	return db.SchemaVersion(d.options(db.Options{}).Schema, e)
}
