package enrol

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// maxToken bounds a printed token in bytes.
const maxToken = 1024

// Token is what a hub prints for one new edge, and what a person enters there.
type Token struct {
	Name   string `json:"name"`   // the edge's name at the hub
	Secret string `json:"secret"` // exchanged for one certificate
	SHA256 string `json:"sha256"` // of the hub's CA certificate in DER form, in hex: the pin
}

// String returns t in the form that is printed and copied: base64url without padding, of JSON.
func (t Token) String() string {
	b, err := json.Marshal(t)
	if err != nil { // three strings always marshal
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads what String wrote. White space around it, as copying leaves it, is ignored.
func ParseToken(s string) (Token, error) {
	s = strings.TrimRight(strings.TrimSpace(s), "=")
	if s == "" {
		return Token{}, errors.New("the token is empty")
	}
	if len(s) > maxToken {
		return Token{}, fmt.Errorf("the token is longer than %d characters; was more than the token copied?", maxToken)
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return Token{}, errors.New("the token is not complete or not a token; copy the whole line that `hub edge add` printed")
	}
	var t Token
	if err := json.Unmarshal(raw, &t); err != nil {
		return Token{}, errors.New("the token is not complete or not a token; copy the whole line that `hub edge add` printed")
	}
	if pin, err := hex.DecodeString(t.SHA256); err != nil || len(pin) != 32 {
		return Token{}, errors.New("the token lacks the fingerprint of the hub's certificate authority")
	}
	if t.Secret == "" || t.Name == "" {
		return Token{}, errors.New("the token lacks the edge's name or its secret")
	}
	return t, nil
}
