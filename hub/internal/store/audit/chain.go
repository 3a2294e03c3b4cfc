package audit

import (
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gridpost/hub/internal/db"
)

// link is a place in the chain: a number and the hash of its entry.
type link struct {
	id   int64
	hash []byte
}

// head is the ends of the log.
type head struct {
	base, last link // base is the entry before the oldest that is kept

	keyID     string   // of the newest entry; empty: it has none
	keyPlace  KeyPlace // where that was
	keyedFrom int64    // the first entry with a key; 0: none has one
	seal      string   // ID of a key and the HMAC of base and keyedFrom, so that the log's beginning cannot be moved without the key
}

func readHead(r db.Reader, lock string) (h head, err error) {
	err = r.One(`SELECT base, base_hash, last, hash, key_id, key_place, keyed_from, seal FROM audit_head WHERE id = 1`+lock)(
		&h.base.id, &h.base.hash, &h.last.id, &h.last.hash, &h.keyID, &h.keyPlace, &h.keyedFrom, &h.seal)
	return h, err
}

// sealOf returns the seal of the log's beginning by a key.
func (h head) sealOf(k key) (string, error) {
	text, err := json.Marshal([]any{"seal", h.base.id, notNil(h.base.hash), h.keyedFrom})
	if err != nil {
		return "", fmt.Errorf("sealing the beginning of the log: %w", err)
	}
	return k.id + " " + hex.EncodeToString(k.sum(text)), nil
}

// writeSeal stores the seal of the log's beginning. Without a key there is none.
func (h head) writeSeal(t *db.Tx, keys Keys) error {
	if keys.ID() == "" {
		return nil
	}
	seal, err := h.sealOf(keys.all[0])
	if err != nil {
		return err
	}
	return t.Affected(`UPDATE audit_head SET keyed_from = ?, seal = ? WHERE id = 1`, h.keyedFrom, seal)
}

// checkSeal verifies the seal of the log's beginning.
func (h head) checkSeal(keys Keys) finding {
	if keys.ID() == "" && h.keyID == "" { // a log without keys
		return finding{}
	}
	id, _, _ := strings.Cut(h.seal, " ")
	if k, ok := keys.find(id); ok {
		if want, err := h.sealOf(k); err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(h.seal)) == 1 {
			return finding{}
		}
		return finding{broken: h.base.id + 1}
	}
	if id != "" && !keys.Has(h.keyID) {
		return finding{missing: h.base.id + 1}
	}
	return finding{broken: h.base.id + 1}
}

// finding is what a verification has found: numbers of entries, of which 0 is none.
type finding struct {
	broken  int64 // the first that does not fit, or is missing
	missing int64 // the first whose key is not known here
}

// follow verifies entries after a link up to the end of the log as it was when end was read, limit of
// them at most. It returns the link that it has come to. After an entry that does not fit it goes on with the hash that is
// stored.
func follow(r db.Reader, from link, end head, keys Keys, limit int) (to link, f finding, err error) {
	rows, err := db.Collect(scanRow)(r.Rows(followQuery, from.id, end.last.id, limit))
	if err != nil {
		return from, f, err
	}
	to = from
	for _, next := range rows {
		want, err := next.sum(to.hash, keys)
		noKey := errors.Is(err, errNoKey)
		if err != nil && !noKey {
			return from, finding{}, err
		}
		keyed := end.keyedFrom != 0 && next.id >= end.keyedFrom
		switch {
		case next.id != to.id+1, keyed != (next.keyID != nil): // missing, or its key was taken away
			f.broken = first(f.broken, to.id+1)
		case noKey:
			f.missing = first(f.missing, next.id)
		case subtle.ConstantTimeCompare(want, next.hash) != 1:
			f.broken = first(f.broken, next.id)
		}
		to = link{next.id, next.hash}
	}
	switch {
	case to.id < end.last.id && len(rows) < limit: // entries were cut off at the end
		f.broken = first(f.broken, to.id+1)
		to = end.last
	case to.id == end.last.id && subtle.ConstantTimeCompare(to.hash, end.last.hash) != 1:
		f.broken = first(f.broken, to.id)
	}
	return to, f, nil
}

const followQuery = `SELECT ` + columns + ` FROM audit WHERE id > ? AND id <= ? ORDER BY id LIMIT ?`
