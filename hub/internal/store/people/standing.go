package people

import (
	"context"
	"database/sql"
	"fmt"

	"gridpost/hub/internal/db"
)

// UsersByID returns those of the users that exist and are not disabled, in no order.
func (r *Repository) UsersByID(ctx context.Context, ids []string) ([]User, error) {
	all, err := db.Collect(func(scan func(...any) error) (User, error) { return scanUser(scan) })(
		r.db.Read(ctx).Rows(usersByIDQuery(r.db.Engine()), db.JSONList(ids)))
	if err != nil {
		return nil, fmt.Errorf("reading users: %w", err)
	}
	return all, nil
}

func usersByIDQuery(e db.Engine) string {
	return `SELECT ` + userColumns + ` FROM users u WHERE u.disabled_at IS NULL AND u.id ` + db.InList(e)
}

// TokensByID returns those of the tokens that are valid, in no order.
func (r *Repository) TokensByID(ctx context.Context, ids []string) ([]Token, error) {
	all, err := db.Collect(scanToken)(r.db.Read(ctx).Rows(tokensByIDQuery(r.db.Engine()), db.Millis(r.db.Now()), db.JSONList(ids)))
	if err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	return all, nil
}

func tokensByIDQuery(e db.Engine) string {
	return `SELECT ` + tokenColumns + tokenFrom + ` WHERE ` + tokenValid + ` AND k.id ` + db.InList(e)
}

// ValidSessions returns those of the sessions that are not over, by the hexadecimal form of their SHA-256,
// in no order. A session of a user who is disabled is over.
func (r *Repository) ValidSessions(ctx context.Context, hashes []string) ([]string, error) {
	all, err := db.Collect(func(scan func(...any) error) (string, error) {
		var hash sql.RawBytes
		err := scan(&hash)
		return fmt.Sprintf("%x", []byte(hash)), err
	})(r.db.Read(ctx).Rows(validSessionsQuery(r.db.Engine()), db.Millis(r.db.Now()), db.JSONList(hashes)))
	if err != nil {
		return nil, fmt.Errorf("reading sessions: %w", err)
	}
	return all, nil
}

func validSessionsQuery(e db.Engine) string {
	in := `IN (SELECT unhex(value) FROM json_each(?))`
	if e == db.Postgres {
		in = `= ANY (ARRAY(SELECT decode(value, 'hex') FROM json_array_elements_text(CAST(? AS json)) AS value))`
	}
	return `SELECT s.hash FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.disabled_at IS NULL AND s.expires_at > ? AND s.hash ` + in
}
