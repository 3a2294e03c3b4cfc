package audit

import (
	"context"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gridpost/hub/internal/db"
)

// Head is the end of a log at some time, signed by its key. A log that lacks the entry, or has it with
// another hash, was changed or cut off since. It has no secrets and is meant to be kept elsewhere.
type Head struct {
	Entry     int64     `json:"entry"`     // number of the newest entry
	Hash      string    `json:"hash"`      // of this entry, in hexadecimal digits
	At        time.Time `json:"at"`        // when it was read, in milliseconds
	Hub       string    `json:"hub"`       // ID of the hub that has signed it
	Key       string    `json:"key"`       // ID of the key
	Signature []byte    `json:"signature"` // Ed25519 (RFC 8032) by a key that is derived from it
}

// text is what is signed.
func (h Head) text() []byte {
	return fmt.Appendf(nil, "gridpost audit head\n%d\n%s\n%d\n%s\n%s\n", h.Entry, h.Hash, h.At.UnixMilli(), h.Hub, h.Key)
}

// Line returns the head in JSON with an end of line.
func (h Head) Line() ([]byte, error) {
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("writing a head of the audit log: %w", err)
	}
	return append(line, '\n'), nil
}

// Head returns the end of the log as it is now, signed for a hub.
func (r *Repository) Head(ctx context.Context, hub string) (Head, error) {
	keys := r.keys()
	if keys.ID() == "" {
		return Head{}, fmt.Errorf("signing the head of the audit log: %w", errNoKey)
	}
	end, err := readHead(r.db.Read(ctx), "")
	if err != nil {
		return Head{}, fmt.Errorf("reading the head of the audit log: %w", err)
	}
	h := Head{
		Entry: end.last.id, Hash: hex.EncodeToString(end.last.hash), At: r.db.Now().UTC().Truncate(time.Millisecond), Hub: hub, Key: keys.ID(),
	}
	signer, err := keys.all[0].signer()
	if err != nil {
		return Head{}, err
	}
	h.Signature = ed25519.Sign(signer, h.text())
	return h, nil
}

// PublicKey returns the key that verifies heads without the secret.
func (r *Repository) PublicKey() (ed25519.PublicKey, error) {
	keys := r.keys()
	if keys.ID() == "" {
		return nil, errNoKey
	}
	signer, err := keys.all[0].signer()
	if err != nil {
		return nil, err
	}
	public, _ := signer.Public().(ed25519.PublicKey) // by its documentation
	return public, nil
}

// ParseHead reads a head in JSON.
func ParseHead(text []byte) (h Head, err error) {
	if err := json.Unmarshal(text, &h); err != nil {
		return h, fmt.Errorf("reading a head of the audit log: %w", err)
	}
	if h.Entry < 0 || len(h.Signature) != ed25519.SignatureSize || len(h.Hash) > 2*64 {
		return h, errors.New("reading a head of the audit log: its number, hash or signature is not valid")
	}
	return h, nil
}

// HeadState says how a head and the log fit.
type HeadState string

// The states of heads.
const (
	HeadFits     HeadState = "fits"
	HeadOld      HeadState = "deleted"     // its entry was deleted by age: nothing is known
	HeadRestored HeadState = "restored"    // it does not fit, but is older than an entry that says that the log was restored from a backup
	HeadUnknown  HeadState = "unknown key" // it cannot be verified: its key is not known here
	HeadForged   HeadState = "forged"      // its signature is wrong
	HeadCut      HeadState = "cut off"     // the log ends before its entry
	HeadChanged  HeadState = "changed"     // the log has another entry with its number
)

// Bad reports whether the state shows that the log, or the head, was changed.
func (s HeadState) Bad() bool {
	switch s {
	case HeadFits, HeadOld, HeadRestored:
		return false
	}
	return true
}

// CheckedHead is a head that was compared with the log.
type CheckedHead struct {
	Head
	State  HeadState
	Broken int64 // the first entry that does not fit or is missing; 0: none is known
}

// CheckHead compares a head with the log.
func (r *Repository) CheckHead(ctx context.Context, h Head) (CheckedHead, error) {
	read := r.db.Read(ctx)
	end, err := readHead(read, "")
	if err == nil {
		return r.checkHead(read, h, end)
	}
	return CheckedHead{}, fmt.Errorf("comparing a head with the audit log: %w", err)
}

func (r *Repository) checkHead(read db.Reader, h Head, end head) (CheckedHead, error) {
	state, err := checkHead(read, h, end, r.keys())
	if err != nil {
		return CheckedHead{}, fmt.Errorf("comparing a head with the audit log: %w", err)
	}
	c := CheckedHead{Head: h, State: state}
	switch state {
	case HeadCut:
		c.Broken = end.last.id + 1
	case HeadChanged:
		c.Broken = h.Entry
	}
	return c, nil
}

func checkHead(r db.Reader, h Head, end head, keys Keys) (HeadState, error) {
	k, ok := keys.find(h.Key)
	if !ok {
		return HeadUnknown, nil
	}
	signer, err := k.signer()
	if err != nil {
		return "", err
	}
	public, _ := signer.Public().(ed25519.PublicKey)
	if !ed25519.Verify(public, h.text(), h.Signature) {
		return HeadForged, nil
	}
	hash, state := end.base.hash, HeadCut
	switch {
	case h.Entry < end.base.id:
		return HeadOld, nil
	case h.Entry > end.last.id:
		hash = nil
	case h.Entry > end.base.id:
		err := r.One(`SELECT hash FROM audit WHERE id = ?`, h.Entry)(&hash)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return "", err
		}
		state = HeadChanged
	default:
		state = HeadChanged
	}
	if state == HeadChanged && subtle.ConstantTimeCompare([]byte(hex.EncodeToString(hash)), []byte(h.Hash)) == 1 {
		return HeadFits, nil
	}
	restored, err := restoredSince(r, h, end)
	if err == nil && restored {
		state = HeadRestored
	}
	return state, err
}

// restoredAction is the action of an entry that says that the log was restored from a backup.
const restoredAction = "restore"

// AppendRestore adds the entry that says that the log was restored from a backup.
func AppendRestore(t *db.Tx, who, backup string) { Append(t, who, restoredAction, backup, "") }

// restoredSince reports whether an entry says that the log was restored to an entry before the head's, after the head
// was made. It reads the log, which is rare: only when a head does not fit. That the entry is genuine is
// for the verification of the chain to find out.
func restoredSince(r db.Reader, h Head, end head) (bool, error) {
	var n int64
	err := r.One(`SELECT count(*) FROM audit WHERE action = ? AND id > ? AND id <= ? AND at >= ? AND key_id IS NOT NULL`,
		restoredAction, end.base.id, h.Entry, h.At.UnixMilli())(&n)
	return n > 0, err
}

// compareMemory compares the head that this hub has written last with the log.
func (r *Repository) compareMemory(c *check, read db.Reader, end head) error {
	if r.memory == nil {
		return nil
	}
	h, err := r.memory.Last()
	if err != nil || h == nil {
		return err
	}
	checked, err := r.checkHead(read, *h, end)
	c.found(finding{broken: checked.Broken})
	return err
}

// Remember writes a head to the data folder, after the one before it was compared with the log: the new one would
// hide what that shows. One caller at a time may call it.
func (r *Repository) Remember(ctx context.Context, h Head) error {
	if r.memory == nil {
		return nil
	}
	err := r.db.Update(ctx, "audit_check", func(t *db.Tx) error {
		c, err := readCheck(t.Reader, t.ForUpdate())
		if err != nil {
			return err
		}
		end, err := readHead(t.Reader, "")
		if err != nil {
			return err
		}
		before := c.broken
		if err := r.compareMemory(&c, t.Reader, end); err != nil || c.broken == before {
			return err
		}
		return c.write(t)
	})
	if err != nil {
		return fmt.Errorf("remembering a head of the audit log: %w", err)
	}
	return r.memory.Append(h)
}
