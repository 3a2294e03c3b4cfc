// Package people stores users, the sessions of users, and API tokens.
//
// What always holds: a user is known by an ID that never changes; the name may. A former name of a user is
// not given to anybody else as long as the user exists, so that a name in the audit log means one
// person. At least one administrator may log in, once there has been one. Sessions and tokens are
// known by the SHA-256 of their secret only.
//
// Users and tokens have a role with a scope. They, sessions and the audit log are of the hub as a whole: who
// reads or changes those of others must have the scope of all sites.
package people

import (
	"database/sql"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
)

// Administrator is the role of which at least one user must be able to log in.
const Administrator = "administrator"

// password is the kind of identity of a password. Its subject is the user's ID.
const password = "password"

// User is a person who may log in.
type User struct {
	ID       string // UUIDv7
	Name     string
	Role     string
	Scope    scope.Scope // of the role: the sites that the user may see
	Created  time.Time
	Disabled *time.Time // since when the user cannot log in; nil: can
	TOTP     *time.Time // since when a log-in with the password needs a code too; nil: it does not
}

// Hooks connect a Repository with other domains. They are called inside transactions; nil ones are not.
type Hooks struct {
	// Renamed is called when a user has another name.
	Renamed func(t *db.Tx, name, next string) error
}

// Repository stores people. Its methods may be called from any goroutine.
type Repository struct {
	db    *db.DB
	hooks Hooks
}

// New returns the repository of a database.
func New(d *db.DB, h Hooks) *Repository { return &Repository{db: d, hooks: h} }

const userColumns = `u.id, u.name, u.role, u.sites, u.created_at, u.disabled_at, u.totp_at`

// scanUser reads userColumns, and what comes after them into more.
func scanUser(scan func(...any) error, more ...any) (u User, err error) {
	var created int64
	var disabled, totp sql.NullInt64
	err = scan(append([]any{&u.ID, &u.Name, &u.Role, &u.Scope, &created, &disabled, &totp}, more...)...)
	u.Created, u.Disabled, u.TOTP = db.FromMillis(created), db.TimePtr(disabled), db.TimePtr(totp)
	return u, err
}

// Access is the kind of the feed's entries that say that a principal's rights have changed or ended. The
// key is that of the principal: UserKey or TokenKey.
const Access = "access"

// UserKey and TokenKey return the keys of principals.
func UserKey(id string) string  { return "user:" + id }
func TokenKey(id string) string { return "token:" + id }

// accessChanged tells the hubs to check what a principal has open.
func accessChanged(t *db.Tx, principal string) {
	t.Publish(Access, "", principal, struct{}{}, nil)
	t.Notify(db.Access, "")
}
