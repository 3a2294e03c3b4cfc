package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/announce"
	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/secrets"
	"gridpost/streams/fmp4"
)

// errEvidence is the error of hub evidence verify for files that do not prove what they should.
var errEvidence = errors.New("the evidence does not verify")

// evidence runs the commands about evidence.
func (p program) evidence(ctx context.Context, args []string) error {
	verb, args, err := p.splitVerb("evidence", args)
	if err != nil {
		return err
	}
	fs := flag.NewFlagSet("hub evidence "+verb, flag.ContinueOnError)
	at := addDatabaseFlags(fs)
	authorityFile := ""
	if verb == "verify" {
		fs.StringVar(&authorityFile, "authority", "", "file with the certificate of the hub's authority, in PEM; empty: that of the hub's data")
	}
	files, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	switch {
	case verb == "verify" && len(files) > 0 && authorityFile != "":
		text, err := os.ReadFile(authorityFile)
		if err != nil {
			return fmt.Errorf("reading the authority: %w", err)
		}
		block, _ := pem.Decode(text)
		if block == nil {
			return fmt.Errorf("reading the authority: %s has no certificate in PEM", authorityFile)
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("reading the authority: %w", err)
		}
		return p.verifyEvidence(files, ca, nil)
	case verb == "verify" && len(files) > 0:
		return p.withAuthority(ctx, *at, func(d *db.DB, ca *x509.Certificate) error {
			return p.verifyEvidence(files, ca, recordOf(ctx, d))
		})
	case verb == "authority" && len(files) == 0:
		return p.withAuthority(ctx, *at, func(_ *db.DB, ca *x509.Certificate) error {
			return pem.Encode(p.out, &pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
		})
	}
	return p.usageError("evidence", verb, files)
}

func (p program) withAuthority(ctx context.Context, at databaseFlags, do func(*db.DB, *x509.Certificate) error) error {
	return withDatabase(ctx, at, func(d *db.DB) error {
		ca, err := authority.Inspect(ctx, secrets.Of(d, at.data, secrets.Authority()))
		if err == nil && ca == nil {
			err = errors.New("this hub has no authority yet: --data or --database names its data, or --authority a certificate")
		}
		if err != nil {
			return err
		}
		return do(d, ca)
	})
}

// record says what the hub knows of a file; an empty text: nothing.
type record func(incident, name, sha256 string) (string, error)

func recordOf(ctx context.Context, d *db.DB) record {
	r := announce.Incidents(d)
	return func(incident, name, sum string) (string, error) {
		f, err := r.File(ctx, scope.All(), incident, name)
		switch {
		case errors.Is(err, db.ErrNotFound):
			return "not on record, or deleted there since", nil
		case err != nil:
			return "", err
		case f.SHA256 != sum:
			return "", fmt.Errorf("the hub received another file as %s of %s, with the SHA-256 %s: %w", name, incident, f.SHA256, errEvidence)
		}
		return "has received the same file from " + f.Edge, nil
	}
}

// verifyEvidence verifies clips, and other files whose hashes are in the manifest of one of them.
func (p program) verifyEvidence(files []string, ca *x509.Certificate, known record) error {
	var errs []error
	var others []string
	var proved []fmp4.Manifest
	for _, path := range files {
		m, err := p.verifyFile(path, ca, known)
		switch {
		case errors.Is(err, fmp4.ErrNoManifest) && len(files) > 1:
			others = append(others, path)
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		default:
			proved = append(proved, m)
		}
	}
	for _, path := range others {
		if err := p.verifyOther(path, proved); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// verifyFile verifies one clip and prints what is proved.
func (p program) verifyFile(path string, ca *x509.Certificate, known record) (m fmp4.Manifest, err error) {
	f, err := os.Open(path)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return m, err
	}
	v, err := fmp4.Verify(f, info.Size(), ca)
	if err != nil {
		if v != nil && v.Altered != nil {
			err = fmt.Errorf("%w: the part from second %.1f on is another", err, v.Altered.At)
		}
		return m, errors.Join(err, errEvidence)
	}
	m = v.Manifest
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, info.Size())); err != nil {
		return m, err
	}
	fmt.Fprintf(p.out, "%s: unchanged since the edge %s signed it\n", path, m.Edge)
	fmt.Fprintf(p.out, "  camera     %s/%s, rule %s\n  incident   %s, opened %s\n", m.Edge, m.Device, m.Rule, m.Incident, instant(m.Opened))
	fmt.Fprintf(p.out, "  video      %s to %s, %d frames, %s\n", instant(m.From), instant(m.To), m.Frames, m.Codec)
	for _, g := range m.Gaps {
		fmt.Fprintf(p.out, "  gap        no frames from %s to %s\n", instant(g.From), instant(g.To))
	}
	if m.Clock != string(api.ClockSynchronized) {
		fmt.Fprintln(p.out, "  clock      the edge's clock was not synchronized: the times may be wrong")
	}
	fmt.Fprintf(p.out, "  key        certificate %s of the edge, valid from %s to %s\n", v.Certificate.SerialNumber.Text(16), instant(v.Certificate.NotBefore), instant(v.Certificate.NotAfter))
	if m.To.Before(v.Certificate.NotBefore) || m.From.After(v.Certificate.NotAfter) {
		fmt.Fprintln(p.out, "             which is another time than that of the video: the edge's clock was wrong, or its certificate had expired")
	}
	if known == nil {
		return m, nil
	}
	text, err := known(m.Incident, m.Name, hex.EncodeToString(h.Sum(nil)))
	if err != nil {
		return m, err
	}
	fmt.Fprintf(p.out, "  hub        %s\n", text)
	return m, nil
}

// verifyOther looks for the hash of a file in the manifests that were proved.
func (p program) verifyOther(path string, proved []fmp4.Manifest) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	for _, m := range proved {
		for _, f := range m.Files {
			if f.SHA256 == hex.EncodeToString(sum[:]) {
				fmt.Fprintf(p.out, "%s: unchanged, %s of the same incident by the manifest of %s\n", path, f.Name, filepath.Base(m.Name))
				return nil
			}
		}
	}
	return fmt.Errorf("no manifest of the other files names it: %w", errEvidence)
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
