package backup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/secrets"
)

// auditKey copies the key of the audit log, and notes in the manifest which key the log has and whether the backup
// has it: a key in a file that was configured is not in the hub's place.
func (w *writer) auditKey(ctx context.Context) error {
	text, err := w.hub.secret(secrets.AuditKeys()).Load(ctx)
	if err != nil {
		return err
	}
	if w.m.AuditKey, err = audit.NewestKey(w.hub.dbs["hub"].Read(ctx)); err != nil {
		return err
	}
	if text != nil {
		keys, err := audit.ParseKeys(text)
		if err != nil {
			return err
		}
		if err := w.secret(ctx, secrets.AuditKeys(), text); err != nil {
			return err
		}
		w.m.AuditKeyIncluded = keys.Has(w.m.AuditKey)
	}
	if w.m.AuditKey != "" && !w.m.AuditKeyIncluded {
		w.o.Progress("the key " + w.m.AuditKey + " of the audit log is not in this backup, because it is in a file of its own: keep a copy of that file")
	}
	return nil
}

// recordBackup adds an entry to the hub's audit log: a copy of everything has left the hub. A copy that is made is good
// without it, for want of the key or of room, which is said.
func (w *writer) recordBackup(ctx context.Context, name string) {
	d := w.hub.dbs["hub"]
	err := func() error {
		keys := audit.Keys{}
		text, err := w.hub.secret(secrets.AuditKeys()).Load(ctx)
		if err == nil && w.o.AuditKey != "" {
			text, err = os.ReadFile(w.o.AuditKey)
		}
		if err == nil && text != nil && w.m.AuditKey != "" {
			keys, err = audit.ParseKeys(text)
		}
		if err != nil {
			return err
		}
		if !keys.Has(w.m.AuditKey) && w.m.AuditKey != "" {
			return fmt.Errorf("%w (--audit-key FILE)", audit.ErrKey)
		}
		audit.Use(d, keys)
		return audit.New(d).Record(ctx, audit.Entry{Who: "command line", Action: "backup", Object: name})
	}()
	if err != nil {
		w.o.Progress("the backup is not recorded in the audit log: " + err.Error())
	}
}

// keys returns the keys of the backup's audit log: those of a file that was given, or of the backup; none if there are
// none.
func (r *restorer) keys() (audit.Keys, error) {
	if r.o.AuditKey != "" {
		return audit.LoadKeyFile(r.o.AuditKey)
	}
	if r.sums[secrets.AuditKeys().File] == "" {
		return audit.Keys{}, nil
	}
	return audit.LoadKeyFile(filepath.Join(r.from, secrets.AuditKeys().File))
}

// recordRestore adds an entry to the restored audit log, so that heads of the log from after the backup are
// explained. It needs the log's key.
func (r *restorer) recordRestore(ctx context.Context, d *db.DB) error {
	keys, err := r.keys()
	if err != nil {
		return fmt.Errorf("reading the key of the audit log: %w", err)
	}
	newest, err := audit.NewestKey(d.Read(ctx))
	if err != nil {
		return err
	}
	if newest != "" && !keys.Has(newest) {
		r.o.Progress("the restore is not recorded in the audit log, because its key " + newest + " is not in the backup (--audit-key FILE): heads from after the backup will show the log as cut off")
		return nil
	}
	if newest == "" {
		keys = audit.Keys{} // of a version without keys: the hub begins with one
	}
	audit.Use(d, keys)
	err = d.Update(ctx, "restore", func(t *db.Tx) error {
		audit.AppendRestore(t, "command line", filepath.Base(r.from))
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording the restore in the audit log: %w", err)
	}
	return nil
}

// copyAuditKey copies the key of the audit log, if it is in the source's place.
func copyAuditKey(ctx context.Context, from, to *hub, progress Progress) error {
	text, err := from.secret(secrets.AuditKeys()).Load(ctx)
	if err != nil {
		return err
	}
	newest, err := audit.NewestKey(from.dbs["hub"].Read(ctx))
	if err != nil {
		return err
	}
	if text == nil {
		if newest != "" {
			progress("the key " + newest + " of the audit log is in a file of its own and not copied: configure the same file for the new place")
		}
		return nil
	}
	return to.secret(secrets.AuditKeys()).Create(ctx, text)
}
