// Package sitefile decides which document an edge runs: that of its --config file, or one that was
// applied since that file last changed.
//
// An applied document survives a restart: it is saved in the data directory, together with the hash of
// the --config file at that time. It counts until the --config file has other content.
package sitefile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"

	"gridpost/devices/durable"
	firmwareconfig "gridpost/firmware-config"
)

// Files are the two documents of an edge. It is not safe for concurrent use.
type Files struct {
	Config string                      // path of the --config file
	Dir    string                      // the edge's data directory
	Getenv func(string) (string, bool) // as os.LookupEnv
	Logger *slog.Logger

	// Edge, if set, is the name of the edge that runs; a document of another one is refused, because
	// devices and incidents are known at the hub by that name.
	Edge string
}

// appliedFile is the file in the data directory. One file, so that a crash leaves the old one or the
// new one. It may hold passwords.
const appliedFile = "applied.json"

// applied is the content of appliedFile.
type applied struct {
	Name     string `json:"name"`     // of the file that was applied, for messages
	Config   string `json:"config"`   // SHA-256 of the --config file at that time, hex
	Document string `json:"document"` // the YAML text
}

// Source says where the document that runs comes from.
type Source struct {
	File    string `json:"file"`    // its path, or that under which it was applied
	Applied bool   `json:"applied"` // by `edge apply`
}

// Load returns the document that counts. Besides firmwareconfig.Problems it returns the errors of
// reading the --config file. An applied document that cannot be used any more is logged, and the
// --config file counts.
func (f *Files) Load() (*firmwareconfig.Document, Source, error) {
	config, err := read(f.Config)
	if err != nil {
		return nil, Source{}, fmt.Errorf("reading the configuration: %w", err)
	}
	doc, source, err := f.loadApplied(config)
	if err != nil {
		f.logger().Error("the applied document cannot be used; the --config file is", "error", err)
	}
	if doc != nil {
		return doc, source, nil
	}
	doc, err = f.Parse(f.Config, config)
	return doc, Source{File: f.Config}, err
}

// Text returns the text of the document that counts, and what it is called.
func (f *Files) Text() (name string, text []byte, err error) {
	config, err := read(f.Config)
	if err != nil {
		return "", nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if a, err := f.applied(config); err == nil && a != nil {
		return a.Name, []byte(a.Document), nil
	}
	return f.Config, config, nil
}

// loadApplied returns the applied document, or nil when there is none or the --config file has changed
// since.
func (f *Files) loadApplied(config []byte) (*firmwareconfig.Document, Source, error) {
	a, err := f.applied(config)
	if err != nil || a == nil {
		return nil, Source{}, err
	}
	doc, err := f.Parse(a.Name, []byte(a.Document))
	return doc, Source{File: a.Name, Applied: true}, err
}

// applied returns what was applied, or nil when nothing was or the --config file has changed since.
func (f *Files) applied(config []byte) (*applied, error) {
	text, err := os.ReadFile(filepath.Join(f.Dir, appliedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a := &applied{}
	if err := json.Unmarshal(text, a); err != nil {
		return nil, fmt.Errorf("reading %s: %w", appliedFile, err)
	}
	if a.Config != hash(config) {
		f.logger().Info("the --config file has changed since a document was applied; it counts again", "config", f.Config, "applied", a.Name)
		return nil, nil
	}
	return a, nil
}

// Parse reads a document. name is what its problems call it.
func (f *Files) Parse(name string, data []byte) (*firmwareconfig.Document, error) {
	doc, err := firmwareconfig.Parse(name, data, f.Getenv)
	if err == nil && f.Edge != "" && doc.Edge != f.Edge {
		return nil, firmwareconfig.Problems{{
			File: name, Line: lineOfEdge(data), Key: "edge",
			Text: fmt.Sprintf("a running edge cannot be renamed: expected %s, found %s", f.Edge, doc.Edge),
		}}
	}
	return doc, err
}

// lineOfEdge returns the line of the key edge in a document that was accepted.
func lineOfEdge(data []byte) int {
	at := edgeKey.FindIndex(data)
	if at == nil { // a document in flow style
		return 1
	}
	return 1 + bytes.Count(data[:at[0]], []byte("\n"))
}

var edgeKey = regexp.MustCompile(`(?m)^["']?edge["']?[ \t]*:`)

// SaveApplied saves a document durably, so that it survives a restart.
func (f *Files) SaveApplied(name string, data []byte) error {
	config, err := read(f.Config)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	text, err := json.Marshal(applied{Name: name, Config: hash(config), Document: string(data)})
	if err != nil {
		return err
	}
	if err := durable.Replace(filepath.Join(f.Dir, appliedFile), text); err != nil {
		return fmt.Errorf("saving the applied document: %w", err)
	}
	return nil
}

// Discard removes the applied document: the --config file has changed and runs now. Changing the file
// back must not bring back what was applied before.
func (f *Files) Discard() error {
	if err := ignoreMissing(os.Remove(filepath.Join(f.Dir, appliedFile))); err != nil {
		return fmt.Errorf("removing the applied document: %w", err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// read reads a document. A file that is too long is cut where the parser refuses it.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, firmwareconfig.MaxSize+1))
	return data, errors.Join(err, f.Close())
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (f *Files) logger() *slog.Logger {
	if f.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return f.Logger
}
