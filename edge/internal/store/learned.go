package store

import "context"

// incidents4 adds what rules have learned of what their devices show. A device has as many rows as rules at most, of
// some 100 kB each at most.
const incidents4 = `
CREATE TABLE learned (
	device TEXT NOT NULL,
	rule   TEXT NOT NULL,
	data   BLOB NOT NULL, -- of the rule's own format
	PRIMARY KEY (device, rule)
) STRICT, WITHOUT ROWID;
`

// SaveLearned replaces what the rules of a device have learned, by rule. It is on the disk when it returns nil.
func (s *Store) SaveLearned(ctx context.Context, device string, learned map[string][]byte) error {
	err := s.incidents.write(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM learned WHERE device = ?`, device); err != nil {
			return err
		}
		for rule, data := range learned {
			if _, err := t.exec(`INSERT INTO learned (device, rule, data) VALUES (?, ?, ?)`, device, rule, data); err != nil {
				return err
			}
		}
		return nil
	})
	return s.wrap("saving what rules have learned", err)
}

// Learned returns what the rules of a device have learned, by rule.
func (s *Store) Learned(ctx context.Context, device string) (map[string][]byte, error) {
	var all map[string][]byte
	err := s.incidents.rows(ctx, `SELECT rule, data FROM learned WHERE device = ?`, []any{device},
		func() { all = map[string][]byte{} },
		func(scan func(...any) error) error {
			var rule string
			var data []byte
			if err := scan(&rule, &data); err != nil {
				return err
			}
			all[rule] = data
			return nil
		})
	return all, s.wrap("reading what rules have learned", err)
}
