package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gridpost/devices/durable"
)

const (
	manifestFile = "manifest.json"
	sumsFile     = "SHA256SUMS"
	partial      = ".partial" // ends the name of a backup that is not complete
	format       = 1
)

// Manifest describes a backup. It is written last: a folder without one is no backup.
type Manifest struct {
	Format  int       `json:"format"`
	Created time.Time `json:"created_at"` // when its state of the databases was read
	Program string    `json:"program"`    // version of the program that made it
	Engine  string    `json:"engine"`     // of the hub that was copied; the copy is SQLite always

	// Schema is the number of the newest migration of each database.
	Schema map[string]int `json:"schema"`

	// Rows counts the rows of each database's tables.
	Rows map[string]map[string]int64 `json:"rows"`

	History    string `json:"history"`     // of the change feed, and its last number
	LastChange int64  `json:"last_change"` //

	Evidence int   `json:"evidence_files"`
	Missing  int   `json:"evidence_missing"` // files that the hub has a record of, but not right on its disk
	Bytes    int64 `json:"bytes"`

	// AuditKey is the ID of the key of the audit log; empty: it has none. AuditKeyIncluded says that the backup has it.
	AuditKey         string `json:"audit_key"`
	AuditKeyIncluded bool   `json:"audit_key_included"`

	// SumsSHA256 is the SHA-256 of the file SHA256SUMS, which has a line for each file of the backup
	// ("sha256sum -c" reads it).
	SumsSHA256 string `json:"sums_sha256"`
}

// sums are the hashes of a backup's files, by path.
type sums map[string]string

func (s sums) write(dir string) (hash string, err error) {
	var text strings.Builder
	for _, path := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&text, "%s  %s\n", s[path], path)
	}
	if err := durable.Write(filepath.Join(dir, sumsFile), []byte(text.String())); err != nil {
		return "", err
	}
	h := sha256.Sum256([]byte(text.String()))
	return hex.EncodeToString(h[:]), nil
}

// readSums reads and checks SHA256SUMS.
func readSums(dir string, m Manifest) (sums, error) {
	text, err := os.ReadFile(filepath.Join(dir, sumsFile))
	if err != nil {
		return nil, err
	}
	if h := sha256.Sum256(text); hex.EncodeToString(h[:]) != m.SumsSHA256 {
		return nil, fmt.Errorf("%s is damaged: its SHA-256 is not that of the manifest", sumsFile)
	}
	out := sums{}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		hash, path, ok := strings.Cut(lines.Text(), "  ")
		if !ok || !filepath.IsLocal(path) {
			return nil, fmt.Errorf("%s has a line that cannot be read", sumsFile)
		}
		out[path] = hash
	}
	return out, lines.Err()
}

func readManifest(dir string) (m Manifest, err error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("reading %s: %w", manifestFile, err)
	}
	if m.Format != format {
		return m, fmt.Errorf("the backup has format %d; this program reads %d", m.Format, format)
	}
	return m, nil
}

// writeManifest writes the manifest so that it is there whole or not at all.
func writeManifest(dir string, m Manifest) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, manifestFile)
	return durable.Replace(path, append(text, '\n'))
}

// copyFile copies what r reads into a new file and returns its SHA-256 and length.
func copyFile(ctx context.Context, path string, r io.Reader) (hash string, n int64, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", 0, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", 0, err
	}
	h := sha256.New()
	n, err = io.Copy(io.MultiWriter(f, h), contextReader{ctx, r})
	return hex.EncodeToString(h.Sum(nil)), n, errors.Join(err, f.Sync(), f.Close())
}

// contextReader ends with its context: files may be large.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func hashFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, contextReader{ctx, f}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Find returns the newest complete backup of a folder that hub backup wrote to, or the folder itself if it is
// one backup.
func Find(dir string) (string, Manifest, error) {
	m, err := readManifest(dir)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return dir, m, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", m, fmt.Errorf("looking for a backup: %w", err)
	}
	for _, e := range slices.Backward(entries) { // sorted by name, and names are times
		if !e.IsDir() || strings.HasSuffix(e.Name(), partial) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		m, err := readManifest(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return path, m, err
	}
	return "", m, fmt.Errorf("there is no complete backup in %s", dir)
}
