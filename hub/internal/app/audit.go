package app

import (
	"context"
	"fmt"
	"os"
	"time"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db/jobs"
	"gridpost/hub/internal/headexport"
	"gridpost/hub/internal/store/audit"
)

// AuditConfig says where the key of the audit log is and where its heads are written.
type AuditConfig struct {
	// KeyFile is a file with the key, the same for all hubs on a database. Empty: the key is made, in the data
	// folder with SQLite and in the database with PostgreSQL.
	KeyFile string `yaml:"key_file"`

	Heads headexport.Config `yaml:"heads"`
}

func defaultAudit() AuditConfig {
	return AuditConfig{Heads: headexport.Config{Every: headexport.DefaultEvery}}
}

// openAudit opens the audit log, before anything is written to it.
func (h *hub) openAudit(ctx context.Context) (err error) {
	h.audit, err = audit.Open(ctx, h.db, audit.Options{KeyFile: h.config.Audit.KeyFile, Dir: h.config.Data, Logger: h.log})
	if err != nil {
		return err
	}
	if h.audit.KeyPlace() == audit.KeyInDatabase {
		h.log.Warn("the key of the audit log is in the database that it protects; audit.key_file keeps it elsewhere", "key", h.audit.KeyID())
	}
	return nil
}

// newHeads returns what exports the heads of the audit log.
func (h *hub) newHeads(id string) *headexport.Exporter {
	c := h.config.Audit.Heads
	return headexport.New(headexport.Options{Log: h.audit, Hub: id, Every: c.Every, Targets: c.Targets(h.audit), Logger: h.log})
}

// recordFailures records failed log-ins.
func (h *hub) recordFailures(ctx context.Context, all []auth.Failure) error {
	var entries []audit.Entry
	for _, f := range all {
		who := "origin " + f.Origin // no user's name has a space
		if f.Origin == "" {
			who = "several origins"
		}
		detail := fmt.Sprintf("%d attempts from %s to %s", f.Count, f.First.UTC().Format(time.RFC3339), f.Last.UTC().Format(time.RFC3339))
		if f.Refused > 0 {
			detail += fmt.Sprintf(", %d refused without a look", f.Refused)
		}
		switch f.Way {
		case auth.ByCode:
			detail += ", with the right password and a wrong code"
		case auth.ByProvider:
			detail += ", by the identity provider"
		}
		entries = append(entries, audit.Entry{Who: who, Action: "log in failed", Object: f.User, Detail: detail})
	}
	return h.audit.Record(ctx, entries...)
}

// verifyAudit is the job that verifies the audit log.
func (h *hub) verifyAudit(ctx context.Context, _ *jobs.Claim) error {
	return h.audit.RunJob(ctx, h.log)
}

// auditKey checks where the key of the audit log is.
func (k *checker) auditKey() {
	path := k.config.Audit.KeyFile
	if path == "" {
		if k.config.Database != "" {
			k.add(Note, "audit.key_file", "the key of the audit log is in the database that it protects: whoever can read all of it can forge the log; a file with a key keeps it elsewhere, the same for all hubs")
		}
		return
	}
	keys, err := audit.LoadKeyFile(path)
	if err != nil {
		k.add(Problem, "audit.key_file", "%v", err)
		return
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		k.add(Note, "audit.key_file", "%s can be read by other users of this machine (mode %o): chmod 600", path, info.Mode().Perm())
	}
	k.add(Good, "audit.key_file", "the key of the audit log is %s", keys.ID())
}

// auditMetric returns what reads one metric of the state of the log.
func auditMetric(value func(audit.State) int64) func(s *scrape, emit func(float64, ...string)) error {
	return func(s *scrape, emit func(float64, ...string)) error {
		state, err := s.h.audit.State(s.ctx)
		if err != nil {
			return err
		}
		emit(float64(value(state)))
		return nil
	}
}
