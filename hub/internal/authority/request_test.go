package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
)

// rsaRequest returns a request with an RSA key that has a modulus of so many bits, and a signature that is
// only right in its length.
func rsaRequest(t testing.TB, bits int) string {
	t.Helper()
	modulus, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	if err != nil {
		t.Fatal(err)
	}
	modulus.SetBit(modulus.SetBit(modulus, bits-1, 1), 0, 1)
	exponent := 1<<31 - 1
	key, err := asn1.Marshal(struct {
		N *big.Int
		E int
	}{modulus, exponent})
	if err != nil {
		t.Fatal(err)
	}
	info := struct {
		Version   int
		Subject   asn1.RawValue
		PublicKey struct {
			Algorithm pkix.AlgorithmIdentifier
			Key       asn1.BitString
		}
		Attributes []asn1.RawValue `asn1:"tag:0"`
	}{Subject: asn1.RawValue{FullBytes: []byte{0x30, 0}}}
	null := asn1.RawValue{Tag: asn1.TagNull}
	info.PublicKey.Algorithm = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, Parameters: null}
	info.PublicKey.Key = asn1.BitString{Bytes: key, BitLength: len(key) * 8}
	signature := make([]byte, bits/8)
	if _, err := rand.Read(signature); err != nil {
		t.Fatal(err)
	}
	signature[0] = 0 // smaller than the modulus
	der, err := asn1.Marshal(struct {
		Info      any
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{
		info,
		pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: null},
		asn1.BitString{Bytes: signature, BitLength: len(signature) * 8},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// TestNothingIsCalculatedForOtherKeys: a request that is refused for its length or its key is refused before
// its signature is checked, which for an enormous key takes seconds.
func TestNothingIsCalculatedForOtherKeys(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	badSignature := func(text string) string {
		block, _ := pem.Decode([]byte(text))
		block.Bytes[len(block.Bytes)-1] ^= 1
		return string(pem.EncodeToMemory(block))
	}
	for name, c := range map[string]struct{ text, want string }{
		"180,000 bits":                    {rsaRequest(t, 180_000), "more than 8192 bytes"},
		"as many bits as the length lets": {rsaRequest(t, 15_000), "not an ECDSA key on P-256"},
		"RSA":                             {badSignature(csr(t, weak)), "not an ECDSA key on P-256"},
		"P-384":                           {badSignature(csr(t, p384)), "not an ECDSA key on P-256"},
		"long PEM":                        {strings.Repeat("-----BEGIN CERTIFICATE REQUEST-----\n", 2000), "more than 8192 bytes"},
	} {
		if _, err := ParseRequest(c.text); !errors.Is(err, ErrRequest) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOutlineRefusesNothingThatWasAccepted: what an edge sends, also with a long subject, is accepted.
func TestOutlineRefusesNothingThatWasAccepted(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, template := range []x509.CertificateRequest{
		{}, {Subject: pkix.Name{CommonName: strings.Repeat("e", 64), Organization: []string{strings.Repeat("o", 500)}}, DNSNames: []string{"edge.example"}},
	} {
		der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseRequest(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkEnormousRequest is the cost of a request with an RSA key of 180,000 bits.
func BenchmarkEnormousRequest(b *testing.B) {
	text := rsaRequest(b, 180_000)
	for b.Loop() {
		if _, err := ParseRequest(text); !errors.Is(err, ErrRequest) {
			b.Fatal(err)
		}
	}
}
