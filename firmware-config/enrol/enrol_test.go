package enrol

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub is a hub that enrols edges, with a certificate authority of its own.
type hub struct {
	*httptest.Server
	ca    *x509.Certificate
	key   *ecdsa.PrivateKey
	keys  []string // public keys that asked, in order
	drop  int      // answers to lose, after the request has been carried out
	name  string
	seen  []string  // common names of client certificates
	start time.Time // NotBefore of its certificates; its own clock is an hour later
}

func newHub(t *testing.T, name string, start time.Time) *hub {
	t.Helper()
	h := &hub{name: name, start: start}
	var err error
	if h.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	h.ca = h.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "hub CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, &h.key.PublicKey)
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := h.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "hub"}, DNSNames: []string{ServerName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, h.ca, &serverKey.PublicKey)
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(h.serve))
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	pool := x509.NewCertPool()
	pool.AddCert(h.ca)
	h.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw, h.ca.Raw}, PrivateKey: serverKey}},
		ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: pool, MinVersion: tls.VersionTLS13,
		Time: func() time.Time { return start.Add(time.Hour) },
	}
	h.StartTLS()
	t.Cleanup(h.Close)
	return h
}

func (h *hub) sign(t *testing.T, c, parent *x509.Certificate, public *ecdsa.PublicKey) *x509.Certificate {
	t.Helper()
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = h.start, h.start.Add(24*time.Hour)
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, h.key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (h *hub) token() Token {
	sum := sha256.Sum256(h.ca.Raw)
	return Token{Name: h.name, Secret: "s3cret", SHA256: hex.EncodeToString(sum[:])}
}

func (h *hub) serve(w http.ResponseWriter, r *http.Request) {
	var in request
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	switch r.URL.Path {
	case "/edge/v1/enrol":
		if in.Token != "s3cret" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"title":"Forbidden","detail":"the token is not known"}`)
			return
		}
	case "/edge/v1/renew":
		if len(r.TLS.PeerCertificates) == 0 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.seen = append(h.seen, r.TLS.PeerCertificates[0].Subject.CommonName)
	}
	block, _ := pem.Decode([]byte(in.CSR))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	public, _ := csr.PublicKey.(*ecdsa.PublicKey)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: h.name},
		NotBefore: h.start, NotAfter: h.start.Add(3 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, h.ca, public, h.key)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h.keys = append(h.keys, string(csr.RawSubjectPublicKeyInfo))
	if h.drop > 0 {
		h.drop--
		panic(http.ErrAbortHandler)
	}
	_ = json.NewEncoder(w).Encode(answer{
		Edge:        h.name,
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		Authority:   string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.ca.Raw})),
	})
}

func TestEnrolThenRenew(t *testing.T) {
	h := newHub(t, "gate-7", time.Now().Add(-time.Hour).Truncate(time.Second))
	dir := t.TempDir()
	if _, err := Load(dir); !errors.Is(err, ErrNotEnrolled) {
		t.Fatalf("Load of an empty directory: %v, want ErrNotEnrolled", err)
	}
	h.drop = 1
	if _, err := Enrol(t.Context(), dir, h.URL, h.token()); err == nil {
		t.Fatal("enrolled without an answer")
	}
	if _, err := Enrol(t.Context(), dir, h.URL, h.token()); err != nil {
		t.Fatal(err)
	}
	if len(h.keys) != 2 || h.keys[0] != h.keys[1] {
		t.Error("the second try came with another key")
	}
	id, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if id.Edge() != "gate-7" || id.URL() != h.URL {
		t.Errorf("identity of %q at %q", id.Edge(), id.URL())
	}
	if got, want := id.RenewAt(), h.start.Add(2*time.Hour); !got.Equal(want) {
		t.Errorf("to be renewed at %v, want %v", got, want)
	}
	c := id.Client()
	defer c.CloseIdleConnections()
	if err := id.Renew(t.Context(), c, h.URL); err != nil {
		t.Fatal(err)
	}
	if len(h.keys) != 3 || h.keys[2] == h.keys[1] {
		t.Error("the renewal did not come with a new key")
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !again.current().certificate.Leaf.Equal(id.current().certificate.Leaf) {
		t.Error("the renewed certificate was not saved")
	}
	info, err := os.Stat(filepath.Join(dir, dirIdentity, "key.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key: %v, %v", info.Mode(), err)
	}
}

func TestPowerCutBetweenRenames(t *testing.T) {
	h := newHub(t, "gate-7", time.Now().Add(-time.Hour))
	dir := t.TempDir()
	if _, err := Enrol(t.Context(), dir, h.URL, h.token()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, dirIdentity), filepath.Join(dir, dirNext)); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err != nil {
		t.Fatalf("the new identity is complete, but: %v", err)
	}
}

func TestHalfAnIdentityIsNone(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, dirNext), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, dirNext, "key.pem"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); !errors.Is(err, ErrNotEnrolled) {
		t.Fatalf("got %v, want ErrNotEnrolled", err)
	}
}

func TestForeignHubIsRefused(t *testing.T) {
	ours, foreign := newHub(t, "gate-7", time.Now().Add(-time.Hour)), newHub(t, "gate-7", time.Now().Add(-time.Hour))
	dir := t.TempDir()
	_, err := Enrol(t.Context(), dir, foreign.URL, ours.token())
	if err == nil || !strings.Contains(err.Error(), "not the hub that the token is for") {
		t.Fatalf("enrolling at a foreign hub: %v", err)
	}
	if len(foreign.keys) != 0 {
		t.Error("the secret was sent to a foreign hub")
	}
	id, err := Enrol(t.Context(), dir, ours.URL, ours.token())
	if err != nil {
		t.Fatal(err)
	}
	c := id.Client()
	defer c.CloseIdleConnections()
	if err := id.Renew(t.Context(), c, foreign.URL); err == nil {
		t.Fatal("renewed at a foreign hub")
	}
}

func TestRefusalGivesTheReason(t *testing.T) {
	h := newHub(t, "gate-7", time.Now().Add(-time.Hour))
	tok := h.token()
	tok.Secret = "other"
	_, err := Enrol(t.Context(), t.TempDir(), h.URL, tok)
	if err == nil || !strings.Contains(err.Error(), "the token is not known") {
		t.Fatalf("got %v", err)
	}
	if _, err := Enrol(t.Context(), t.TempDir(), "http://127.0.0.1:1", tok); err == nil {
		t.Fatal("enrolled without TLS")
	}
}

func TestTokenRoundTrip(t *testing.T) {
	want := Token{Name: "gate-7", Secret: "abc", SHA256: strings.Repeat("0f", 32)}
	got, err := ParseToken("  " + want.String() + "\n")
	if err != nil || got != want {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "x", "!!!!", want.String()[:20], Token{Name: "a", Secret: "b", SHA256: "ff"}.String(), strings.Repeat("a", 2000)} {
		if _, err := ParseToken(bad); err == nil {
			t.Errorf("%q was accepted as a token", bad)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(Token{Name: "gate-7", Secret: "abc", SHA256: strings.Repeat("0f", 32)}.String())
	f.Add("e30")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := ParseToken(s)
		if err != nil {
			return
		}
		if again, err := ParseToken(tok.String()); err != nil || again != tok {
			t.Fatalf("%+v became %+v, %v", tok, again, err)
		}
	})
}
