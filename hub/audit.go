package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/store/audit"
)

// Errors of hub audit verify.
var (
	errAuditChanged    = errors.New("the audit log was changed")
	errAuditUnverified = errors.New("the audit log cannot be verified as a whole")
)

// heads collects the heads in the files of a flag that may be given several times.
type heads struct {
	all    []audit.Head
	unread int // lines
}

// String implements flag.Value.
func (h *heads) String() string { return "" }

// Set implements flag.Value.
func (h *heads) Set(path string) error {
	all, unread, err := audit.ReadHeads(path)
	h.all, h.unread = append(h.all, all...), h.unread+unread
	return err
}

// audit runs the commands about the audit log.
func (p program) audit(ctx context.Context, args []string) error {
	verb, args, err := p.splitVerb("audit", args)
	if err != nil {
		return err
	}
	fs := flag.NewFlagSet("hub audit "+verb, flag.ContinueOnError)
	at := addDatabaseFlags(fs)
	var kept heads
	if verb == "verify" {
		fs.Var(&kept, "head", "file with heads of the log that were kept elsewhere")
	}
	rest, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		switch verb {
		case "verify":
			return withAudit(ctx, *at, false, func(_ *db.DB, r *audit.Repository) error { return p.auditVerify(ctx, r, kept) })
		case "head":
			return withAudit(ctx, *at, false, func(_ *db.DB, r *audit.Repository) error { return p.auditHead(ctx, r) })
		case "key":
			return withAudit(ctx, *at, false, func(_ *db.DB, r *audit.Repository) error { return p.auditKey(r) })
		case "rekey":
			return withAudit(ctx, *at, true, func(_ *db.DB, r *audit.Repository) error { return p.auditKey(r) })
		}
	}
	return p.usageError("audit", verb, rest)
}

// auditVerify verifies the whole log.
func (p program) auditVerify(ctx context.Context, r *audit.Repository, kept heads) error {
	report, err := r.Verify(ctx, commandLine, kept.all...)
	if err != nil {
		return err
	}
	if kept.unread > 0 {
		fmt.Fprintf(p.err, "%d lines of the files of heads have no head\n", kept.unread)
	}
	var errs []error
	fits := 0
	for _, h := range report.Heads {
		at := h.At.UTC().Format(time.RFC3339)
		switch h.State {
		case audit.HeadFits:
			fits++
		case audit.HeadOld:
			fmt.Fprintf(p.err, "the head of %s, entry %d, cannot be compared: the entry was deleted because of its age\n", at, h.Entry)
		case audit.HeadRestored:
			fmt.Fprintf(p.err, "the head of %s, entry %d, does not fit: the log was restored from a backup since, as a later entry says\n", at, h.Entry)
		case audit.HeadUnknown:
			errs = append(errs, fmt.Errorf("the head of %s has the key %s, which is not here: %w", at, h.Key, errAuditUnverified))
		case audit.HeadForged:
			errs = append(errs, fmt.Errorf("the head of %s, entry %d, has a signature that is wrong: %w", at, h.Entry, errAuditUnverified))
		case audit.HeadCut:
			errs = append(errs, fmt.Errorf("the log had entry %d on %s and ends before it: %w", h.Entry, at, errAuditChanged))
		case audit.HeadChanged:
			errs = append(errs, fmt.Errorf("entry %d is another one than on %s: %w", h.Entry, at, errAuditChanged))
		}
	}
	if report.Broken != 0 {
		errs = append(errs, fmt.Errorf("entry %d was changed, inserted or removed: %w", report.Broken, errAuditChanged))
	}
	if report.Missing != 0 {
		errs = append(errs, fmt.Errorf("entry %d has a key that is not here: %w", report.Missing, errAuditUnverified))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	fmt.Fprintf(p.out, "verified %d entries: none was changed or removed; %d of %d heads were compared\n", report.Last, fits, len(report.Heads))
	return nil
}

// auditHead prints the signed head of the log, as it is exported.
func (p program) auditHead(ctx context.Context, r *audit.Repository) error {
	h, err := r.Head(ctx, commandLine)
	if err != nil {
		return err
	}
	text, err := h.Line()
	if err != nil {
		return err
	}
	_, err = p.out.Write(text)
	return err
}

// auditKey prints what may be known of the key.
func (p program) auditKey(r *audit.Repository) error {
	public, err := r.PublicKey()
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("writing the public key: %w", err)
	}
	fmt.Fprintf(p.out, "key %s, in the %s; heads are signed by\n%s", r.KeyID(), r.KeyPlace(), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return nil
}
