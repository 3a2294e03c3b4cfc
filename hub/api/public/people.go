package public

import "time"

// User is a person who may log in.
type User struct {
	ID       string     `json:"id" doc:"never changes; the name may"`
	Name     string     `json:"name"`
	Role     string     `json:"role"`
	Sites    []string   `json:"sites" nullable:"true" doc:"that the user may see; null: all"`
	Created  time.Time  `json:"created_at"`
	Disabled *time.Time `json:"disabled_at" doc:"since when the user cannot log in; null: can"`
	TOTP     *time.Time `json:"totp_at" doc:"since when a log-in with the password needs a code too; null: it does not"`
}

// Token is an API token. Its secret is not stored.
type Token struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Role        string    `json:"role"`
	Sites       []string  `json:"sites" nullable:"true" doc:"that the token may see; null: all"`
	Created     time.Time `json:"created_at"`
	CreatedBy   string    `json:"created_by" doc:"the name as it was then"`
	CreatedByID string    `json:"created_by_id" doc:"ID of the user; empty: it was not created by a user"`

	Expires  *time.Time `json:"expires_at" doc:"when it ends by itself; null: never"`
	LastUsed *time.Time `json:"last_used_at" doc:"to within a minute; null: never"`
}

// AuditEntry is one action of somebody.
type AuditEntry struct {
	ID     int64     `json:"id"`
	At     time.Time `json:"at"`
	Who    string    `json:"who" doc:"the name as it was then"`
	UserID string    `json:"user_id" doc:"ID of the user; empty: it was not a user, or before users had IDs"`
	Action string    `json:"action"`
	Object string    `json:"object"`
	Detail string    `json:"detail,omitempty"`
}

// AuditState is what is known of the integrity of the audit log, in which each entry's hash covers the entry
// before it.
type AuditState struct {
	Last       int64      `json:"last" doc:"number of the newest entry"`
	LastAt     *time.Time `json:"last_at" doc:"when it was written; null: it is not there"`
	Hash       string     `json:"hash" doc:"of the newest entry, in hexadecimal digits: who keeps it elsewhere can tell later whether the log was changed"`
	Verified   int64      `json:"verified" doc:"every entry up to this one has been verified"`
	VerifiedAt *time.Time `json:"verified_at" doc:"when new entries were last looked for and verified; null: never"`
	Broken     int64      `json:"broken" doc:"the first entry that was ever found changed or missing; 0: none"`
	FullAt     *time.Time `json:"full_at" doc:"when the whole log was last verified again; null: never"`
	Running    bool       `json:"running" doc:"the whole log is being verified"`
	Position   int64      `json:"position" doc:"the entry that this has come to"`

	Key        string      `json:"key" doc:"ID of the key of new entries"`
	KeyPlace   string      `json:"key_place" doc:"where it is: file, data folder or database (beside the log, where it protects little)"`
	MissingKey int64       `json:"missing_key" doc:"the first entry whose key is not known here, so that it cannot be verified; 0: none"`
	Heads      []AuditHead `json:"heads" doc:"where this hub writes signed heads of the log"`
}

// AuditHead is a place to which signed heads of the audit log are written.
type AuditHead struct {
	Target   string     `json:"target" doc:"data folder, file, webhook or syslog"`
	Entry    int64      `json:"entry" doc:"of the head that was written last; 0: none since the start"`
	At       *time.Time `json:"at" doc:"when it was written; null: never since the start"`
	Failures uint64     `json:"failures" doc:"since the start"`
	Failing  bool       `json:"failing" doc:"the last attempt has failed; the log of the hub says why"`
}
