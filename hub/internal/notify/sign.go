package notify

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gridpost/hub/internal/problem"
)

// secretPrefix marks a symmetric key (Standard Webhooks 1.0, "Secret serialization").
const secretPrefix = "whsec_"

// The sizes in bytes that the specification allows for a symmetric key.
const (
	minSecret = 24
	maxSecret = 64
)

// NewSecret returns a new secret for a target.
func NewSecret() string {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// CheckSecret returns a *problem.Error unless s is a valid signing secret.
func CheckSecret(s string) error {
	_, err := secretKey(s)
	return err
}

func secretKey(s string) ([]byte, error) {
	text, ok := strings.CutPrefix(s, secretPrefix)
	if !ok {
		return nil, problem.New("target_secret_invalid")
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) < minSecret || len(key) > maxSecret {
		return nil, problem.New("target_secret_invalid")
	}
	return key, nil
}

// sign sets the three headers of Standard Webhooks 1.0, with one signature for each secret: a
// receiver that has any one of the secrets accepts the delivery.
func sign(h http.Header, id string, at time.Time, payload []byte, secrets []string) error {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, 0, len(secrets))
	for _, s := range secrets {
		key, err := secretKey(s)
		if err != nil {
			return err
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(payload)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if len(signatures) == 0 {
		return problem.New("target_secret_invalid")
	}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", timestamp)
	h.Set("webhook-signature", strings.Join(signatures, " "))
	return nil
}
