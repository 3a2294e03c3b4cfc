// Package names checks the names that people give to edges, devices, users and tokens. It is the one place
// where the rules are. The package must import nothing of Gridpost but problem.
package names

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gridpost/hub/internal/problem"
)

// maxLength is the length of a name in characters.
const maxLength = 40

// CheckEdge returns a *problem.Error unless name can be the name of an edge or of a device. These names are
// parts of URLs, files and topics.
func CheckEdge(name string) error {
	if name == "" || len(name) > maxLength || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return problem.New("edge_name_invalid")
	}
	return nil
}

// CheckUser returns a *problem.Error unless name can be the name of a user or of a token: letters and digits of
// any script, and . _ @ -. No such name looks like another author in the audit log ("token x",
// "edge x", "command line", "hub"), or carries a control character into a log.
func CheckUser(name string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > maxLength {
		return problem.New("name_length", "count", strconv.Itoa(maxLength))
	}
	for _, r := range name {
		// A byte that is not UTF-8 is utf8.RuneError, which is neither.
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._@-", r) {
			return problem.New("name_characters")
		}
	}
	if name == "hub" {
		return problem.New("name_reserved")
	}
	return nil
}
