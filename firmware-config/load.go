package firmwareconfig

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"gridpost/detection/rules"

	"go.yaml.in/yaml/v3"
)

// MaxSize bounds a document in bytes. A site of hundreds of devices needs a tenth of it.
const MaxSize = 1 << 20

// Problem is one error in a document.
type Problem struct {
	File string
	Line int    // from 1
	Key  string // such as cameras[0].rules[1].clear; empty: the document as a whole
	Text string // what was expected, and what was found; never a secret
}

// String returns the problem as "file:line: key: text".
func (p Problem) String() string {
	if p.Key == "" {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Key, p.Text)
}

// Problems is the error of a refused document: everything that is wrong with it, in the order
// of its lines.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Load reads the document at path. Besides Problems it returns the errors of reading the file.
// getenv is that of os.LookupEnv.
func Load(path string, getenv func(string) (string, bool)) (*Document, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return Parse(path, data, getenv)
}

// Parse reads a Document from YAML, with defaults filled in and everything checked that can be
// checked without the site. Its error is always Problems, and lists all of them.
// name is what the problems call the file.
//
// ${NAME} in a value stands for the environment variable NAME, and $${ for ${ itself. It is filled in
// after the YAML has been parsed, so that a value can never become structure; in the
// "user:password@" of a URL it is percent-encoded, so that a password is stored in the
// environment as it is. Messages show values as they were written, before ${NAME} is replaced,
// and of URLs and passwords nothing.
func Parse(name string, data []byte, getenv func(string) (string, bool)) (*Document, error) {
	return ParseWith(rules.Standard(), name, data, getenv)
}

// ParseWith is Parse for a document whose rules are of the kinds given.
func ParseWith(kinds rules.Registry, name string, data []byte, getenv func(string) (string, bool)) (*Document, error) {
	p := &parser{file: name, getenv: getenv, kinds: kinds}
	root := p.syntax(data)
	if root == nil {
		return nil, p.problems
	}
	doc := &Document{}
	p.document(value{p: p, node: root}, doc)
	if len(p.problems) > 0 {
		sort.SliceStable(p.problems, func(i, j int) bool { return p.problems[i].Line < p.problems[j].Line })
		return nil, p.problems
	}
	setDefaults(doc)
	return doc, nil
}

// parser collects the problems of one document.
type parser struct {
	file     string
	getenv   func(string) (string, bool)
	kinds    rules.Registry
	problems Problems

	schedules []Schedule // that rules may name

	brokerValues     []value // of the entries of mqtt.brokers
	brokerReferences []brokerReference
}

func (p *parser) fail(line int, key, format string, args ...any) {
	p.problems = append(p.problems, Problem{File: p.file, Line: max(line, 1), Key: key, Text: fmt.Sprintf(format, args...)})
}

// syntax parses the YAML and returns the root of its only document, or nil after a problem.
func (p *parser) syntax(data []byte) *yaml.Node {
	if len(data) > MaxSize {
		p.fail(1, "", "expected at most %d bytes, found more", MaxSize)
		return nil
	}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		p.fail(1, "", "expected a document with the key edge, found an empty file")
		return nil
	}
	if err != nil {
		p.syntaxError(err)
		return nil
	}
	var second yaml.Node
	switch err := dec.Decode(&second); {
	case err == nil:
		p.fail(second.Line, "", "expected one YAML document, found a second one")
		return nil
	case !errors.Is(err, io.EOF):
		p.syntaxError(err)
		return nil
	}
	return doc.Content[0]
}

// syntaxError reports an error of the YAML library. Quoted parts of the file are left out: the text
// after a forgotten quotation mark may be a password.
func (p *parser) syntaxError(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := regexp.MustCompile(`^(?:[a-z ]*: )?line (\d+)(?:, column \d+)?: `).FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
		text = text[len(m[0]):]
	}
	text = regexp.MustCompile("(?s)['\"`].*['\"`]").ReplaceAllStringFunc(text, func(m string) string {
		if regexp.MustCompile(`^'[[:punct:]]'( or '[[:punct:]]')*$`).MatchString(m) {
			return m // an indicator of YAML itself
		}
		return "…"
	})
	p.fail(line, "", "expected YAML, but %s", text)
}
