package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/evidence"
	"gridpost/hub/internal/store/secrets"
)

// Place is where a hub keeps its data: in a folder, or, when URL is set, in PostgreSQL.
type Place struct {
	Dir string
	URL string // postgres://...
}

// ParsePlace reads "sqlite:DIR" or "postgres://...".
func ParsePlace(text string) (Place, error) {
	if dir, ok := strings.CutPrefix(text, "sqlite:"); ok && dir != "" {
		return Place{Dir: dir}, nil
	}
	if strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://") {
		return Place{URL: text}, nil
	}
	return Place{}, fmt.Errorf("expected sqlite:DIR or postgres://..., not %q", text)
}

// String names a place without its password.
func (p Place) String() string {
	if p.URL == "" {
		return p.Dir
	}
	return "PostgreSQL"
}

func (p Place) options(d database, logger *slog.Logger) db.Options {
	o := d.options(db.Options{URL: p.URL, Logger: logger})
	if p.URL == "" {
		o.Dir = p.Dir
	}
	return o
}

// hub is an open place.
type hub struct {
	place Place
	dbs   map[string]*db.DB // by name
}

// open opens the databases of a place. It makes them if make is set.
func (p Place) open(ctx context.Context, create bool, logger *slog.Logger) (h *hub, err error) {
	if p.URL == "" && !create {
		if _, err := os.Stat(p.Dir + "/hub.db"); err != nil {
			return nil, fmt.Errorf("there is no hub in %s: %w", p.Dir, err)
		}
	}
	h = &hub{place: p, dbs: map[string]*db.DB{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	for _, d := range databases() {
		if h.dbs[d.name], err = db.Open(ctx, p.options(d, logger)); err != nil {
			delete(h.dbs, d.name)
			return nil, err
		}
	}
	return h, nil
}

func (h *hub) close() error {
	var errs []error
	for _, d := range h.dbs {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

func (h *hub) evidence() evidence.Store { return evidence.Of(h.dbs["hub"], h.place.Dir) }

// secret is where the place has a secret: the keys of its audit log only if they are in no file that was configured.
func (h *hub) secret(s secrets.Secret) secrets.Store {
	if h.place.URL != "" {
		return secrets.InDatabase(h.dbs["hub"], s, nil)
	}
	return secrets.InFolder(h.place.Dir, s)
}

// lock makes sure that no hub runs on a place.
func (p Place) lock(ctx context.Context) (unlock func(), err error) {
	return db.Lock(ctx, p.options(hubDatabase(), nil))
}
