package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"gridpost/hub/internal/db"
)

// Keys are the keys of an audit log. The first makes new entries; all verify entries. The zero value is no
// key. Keys do not change.
type Keys struct{ all []key }

// key is a secret with an ID, which is derived from it and does not reveal it.
type key struct {
	id     string
	secret []byte
}

const (
	secretSize = 32 // bytes
	maxKeys    = 64 // of one text
)

// NewKeys returns a new random key.
func NewKeys() Keys {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails, by its documentation
	return Keys{[]key{newKey(secret)}}
}

func newKey(secret []byte) key {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("gridpost audit key"))
	return key{id: hex.EncodeToString(m.Sum(nil)[:8]), secret: secret}
}

// ParseKeys reads keys: one in a line, in 64 hexadecimal digits, the present one first and former ones after
// it. Empty lines and lines that begin with # are left out.
func ParseKeys(text []byte) (Keys, error) {
	var k Keys
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		secret, err := hex.DecodeString(line)
		if err != nil || len(secret) != secretSize {
			return Keys{}, fmt.Errorf("line %d is not a key: expected %d hexadecimal digits", n, 2*secretSize) // not what it says
		}
		k.all = append(k.all, newKey(secret))
	}
	if err := lines.Err(); err != nil {
		return Keys{}, err
	}
	switch {
	case len(k.all) == 0:
		return Keys{}, errors.New("there is no key in it: expected a line of 64 hexadecimal digits")
	case len(k.all) > maxKeys:
		return Keys{}, fmt.Errorf("there are %d keys in it, more than %d", len(k.all), maxKeys)
	}
	return k, nil
}

// Text returns the keys as ParseKeys reads them.
func (k Keys) Text() []byte {
	out := []byte("# Keys of the audit log of a Gridpost hub, the present one first. Keep a copy in a safe place.\n")
	for _, one := range k.all {
		out = append(out, hex.EncodeToString(one.secret)+"\n"...)
	}
	return out
}

// ID returns the ID of the key that makes new entries; empty if there is none.
func (k Keys) ID() string {
	if len(k.all) == 0 {
		return ""
	}
	return k.all[0].id
}

// Has reports whether a key is among the keys.
func (k Keys) Has(id string) bool {
	_, ok := k.find(id)
	return ok
}

func (k Keys) find(id string) (key, bool) {
	for _, one := range k.all {
		if one.id == id {
			return one, true
		}
	}
	return key{}, false
}

// sum returns the HMAC-SHA256 (RFC 2104) of a text.
func (k key) sum(text []byte) []byte {
	m := hmac.New(sha256.New, k.secret)
	m.Write(text)
	return m.Sum(nil)
}

// signer returns the key that signs heads. It is derived from the secret (RFC 5869), so that its public part
// verifies heads wherever they are kept, without the secret.
func (k key) signer() (ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, k.secret, nil, "gridpost audit head", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("deriving the key that signs heads: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// attachedKeys is the key of db.DB.Attach.
type attachedKeys struct{}

// Use gives the transactions of a database the keys of its audit log. Open does it for a hub.
func Use(d *db.DB, k Keys) { d.Attach(attachedKeys{}, k) }

func keysOf(v any) Keys {
	k, _ := v.(Keys)
	return k
}
