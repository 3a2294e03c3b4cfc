package incidents

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"gridpost/hub/internal/db"
)

// The full-text index holds one document for each incident. The hub makes its tokens by itself, so that
// both engines find the same: words in lower case, and for scripts without spaces between words each
// character and each pair of neighbours. The filters of a list are tokens too, because a search that is
// narrowed by a filter would otherwise read all that its words match.

const (
	maxTokens    = 2000 // of one document; words beyond are not found
	maxWords     = 20   // of one search
	maxToken     = 40   // characters; longer words are cut
	maxFactTexts = 200  // newest texts of a timeline that are indexed
)

// joined says whether a script writes words without spaces between them.
func joined(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// fold brings the forms of a character to one: full width to half width, upper case to lower case.
func fold(r rune) rune {
	if r >= 0xFF01 && r <= 0xFF5E { // ASCII in full width
		r -= 0xFEE0
	}
	return unicode.ToLower(r)
}

// tokens splits a text. For a document each character of a joined script is a token beside the pairs;
// a search needs only the pairs, unless it has a single character.
func tokens(text string, document bool) (all []string) {
	var word, run []rune
	flush := func() {
		if len(word) > 0 {
			all = append(all, string(word[:min(len(word), maxToken)]))
		}
		for i := range run {
			if document || len(run) == 1 {
				all = append(all, string(run[i]))
			}
			if i > 0 {
				all = append(all, string(run[i-1:i+1]))
			}
		}
		word, run = word[:0], run[:0]
	}
	for _, r := range text {
		r = fold(r)
		switch {
		case joined(r):
			if len(word) > 0 {
				flush()
			}
			run = append(run, r)
		case unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r):
			if len(run) > 0 {
				flush()
			}
			word = append(word, r)
		default:
			flush()
		}
	}
	flush()
	return all
}

// filterToken makes a token that no text has by chance.
func filterToken(field byte, value string) string {
	return "x" + string(field) + hex.EncodeToString([]byte(value))
}

func dayToken(t time.Time) string   { return "xd" + t.UTC().Format("20060102") }
func monthToken(t time.Time) string { return "xm" + t.UTC().Format("200601") }

// filterTokens returns the tokens of an incident that stand for filters.
func filterTokens(inc Incident) []string {
	return []string{
		filterToken('e', inc.Edge), filterToken('n', inc.Edge+"/"+inc.Device), filterToken('r', inc.Rule), filterToken('k', inc.Kind),
		filterToken('v', string(inc.Severity)), filterToken('t', string(inc.State)), filterToken('c', string(inc.Condition)),
		filterToken('o', string(inc.Source)), filterToken('s', inc.Site), filterToken('a', inc.Assignee), filterToken('u', string(inc.Outcome)), filterToken('g', inc.Group),
		dayToken(inc.OccurredAt), monthToken(inc.OccurredAt),
	}
}

// filterChanged says whether a change of an incident changes its tokens.
func filterChanged(a, b Incident) bool {
	return a.Severity != b.Severity || a.State != b.State || a.Condition != b.Condition || a.Assignee != b.Assignee ||
		a.Outcome != b.Outcome || a.Title != b.Title || a.Names != b.Names
}

// searchable says whether a fact has a text that a person wrote.
func searchable(f Fact) bool {
	return f.Text != "" && slices.Contains([]FactKind{FactReported, FactNoted, FactClosed, FactReopened}, f.Kind)
}

// writtenTexts returns the newest texts that people wrote in the timelines of incidents, by incident.
func writtenTexts(r db.Reader, e db.Engine, ids []string) (map[string][]string, error) {
	type written struct{ incident, text string }
	all, err := db.Collect(func(scan func(...any) error) (w written, err error) {
		err = scan(&w.incident, &w.text)
		return w, err
	})(r.Rows(`SELECT incident, text FROM (SELECT incident, text, id, row_number() OVER (PARTITION BY incident ORDER BY id DESC) AS age FROM facts
		WHERE incident `+db.InList(e)+` AND text != '' AND kind IN ('reported', 'noted', 'closed', 'reopened')) t WHERE age <= ? ORDER BY id DESC`,
		db.JSONList(ids), maxFactTexts))
	if err != nil {
		return nil, fmt.Errorf("reading what was written about incidents: %w", err)
	}
	texts := make(map[string][]string, len(ids))
	for _, w := range all {
		texts[w.incident] = append(texts[w.incident], w.text)
	}
	return texts, nil
}

// documentTokens returns the tokens of an incident with the texts of its timeline, each once.
func documentTokens(inc Incident, written []string) []string {
	doc := filterTokens(inc)
	seen := make(map[string]bool, 64)
	n := inc.Names
	named := []string{n.Edge.En, n.Edge.Zh, n.Device.En, n.Device.Zh, n.Rule.En, n.Rule.Zh}
	for _, text := range slices.Concat([]string{inc.Title, inc.Rule, inc.Device, inc.Edge, inc.Site, inc.Kind, inc.Class, inc.Assignee}, named, written) {
		for _, token := range tokens(text, true) {
			if !seen[token] && len(doc) < maxTokens {
				seen[token] = true
				doc = append(doc, token)
			}
		}
	}
	return doc
}

// document is a row of the full-text index.
type document struct {
	Number int64  `json:"number"`
	Tokens string `json:"tokens"` // with a space between them
}

// index writes the documents of incidents.
func index(tx *db.Tx, rows ...row) error {
	written, err := writtenTexts(tx.Reader, tx.Engine(), ids(rows))
	if err != nil {
		return err
	}
	documents := make([]document, len(rows))
	for i, inc := range rows {
		documents[i] = document{Number: inc.Number, Tokens: strings.Join(documentTokens(inc.Incident, written[inc.ID]), " ")}
	}
	list, err := json.Marshal(documents)
	if err != nil {
		return fmt.Errorf("indexing incidents: %w", err)
	}
	if tx.Engine() == db.Postgres {
		_, err = tx.Exec(`INSERT INTO incident_search(number, doc)
			SELECT CAST(value->>'number' AS bigint), array_to_tsvector(string_to_array(value->>'tokens', ' ')) FROM json_array_elements(CAST(? AS json))
			ON CONFLICT(number) DO UPDATE SET doc = excluded.doc`, string(list))
	} else {
		_, err = tx.Exec(`DELETE FROM incident_search WHERE rowid IN (SELECT value->>'number' FROM json_each(?))`, string(list))
		if err == nil {
			_, err = tx.Exec(`INSERT INTO incident_search(rowid, doc) SELECT value->>'number', value->>'tokens' FROM json_each(?)`, string(list))
		}
	}
	if err != nil {
		return fmt.Errorf("indexing incidents: %w", err)
	}
	return nil
}

func ids(rows []row) []string {
	all := make([]string, len(rows))
	for i := range rows {
		all[i] = rows[i].ID
	}
	return all
}

// match is a conjunction of alternatives.
type match [][]string

// text writes a match in the language of an engine. Tokens have letters and digits only.
func (m match) text(e db.Engine) string {
	quote, and, or := `"`, " AND ", " OR "
	if e == db.Postgres {
		quote, and, or = `'`, " & ", " | "
	}
	all := make([]string, len(m))
	for i, alternatives := range m {
		quoted := make([]string, len(alternatives))
		for j, token := range alternatives {
			quoted[j] = quote + token + quote
		}
		all[i] = "(" + strings.Join(quoted, or) + ")"
	}
	return strings.Join(all, and)
}

// periodTokens returns tokens of which an incident in the period has one; nil when the period is so long
// that they would not help.
func periodTokens(since, until time.Time) (all []string) {
	days := until.Sub(since).Hours() / 24
	switch {
	case days < 0 || days > 3*365:
	case days <= 40:
		for t := since.UTC().Truncate(24 * time.Hour); !t.After(until); t = t.Add(24 * time.Hour) {
			all = append(all, dayToken(t))
		}
	default:
		u := since.UTC()
		for t := time.Date(u.Year(), u.Month(), 1, 0, 0, 0, 0, time.UTC); !t.After(until); t = t.AddDate(0, 1, 0) {
			all = append(all, monthToken(t))
		}
	}
	return all
}

// backlogStep is how many incidents one transaction of IndexBacklog indexes.
const backlogStep = 200

// IndexBacklog indexes incidents that are not in the full-text index: those of before there was one, and
// those that were copied from another database. It returns when there are none left or ctx ends.
func (r *Repository) IndexBacklog(ctx context.Context) error {
	for {
		n := 0
		err := r.db.Update(ctx, "incident_index", func(tx *db.Tx) error {
			rows, err := db.Collect(scanRow)(tx.Rows(`SELECT `+columns+` FROM incidents i WHERE i.indexed = 0 ORDER BY i.number LIMIT ?`+tx.ForUpdate(), backlogStep))
			if err != nil {
				return fmt.Errorf("looking for incidents to index: %w", err)
			}
			n = len(rows)
			if n == 0 {
				return nil
			}
			if err := index(tx, rows...); err != nil {
				return err
			}
			if _, err := tx.Exec(`UPDATE incidents SET indexed = 1 WHERE id `+db.InList(tx.Engine()), db.JSONList(ids(rows))); err != nil {
				return fmt.Errorf("noting which incidents are indexed: %w", err)
			}
			return nil
		})
		if err != nil || n < backlogStep {
			return err
		}
	}
}
