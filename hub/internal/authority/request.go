package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
)

// Request is a certificate request with a valid signature: its sender has the private key.
type Request struct {
	KeyHash []byte // SHA-256 of the public key
	key     *ecdsa.PublicKey
}

// Limits of a request, in bytes. One of an edge has about 250 in DER.
const (
	maxRequestText = 8 << 10
	maxRequestDER  = 4 << 10
)

// requestOutline is the structure of a request (RFC 2986, section 4) down to the type of its key. Nothing in
// it is decoded into numbers.
type requestOutline struct {
	Info struct {
		Version    int
		Subject    asn1.RawValue
		PublicKey  publicKeyOutline
		Attributes asn1.RawValue `asn1:"optional,tag:0"`
	}
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Signature          asn1.BitString
}

type publicKeyOutline struct {
	Algorithm struct {
		Algorithm  asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	Key asn1.BitString
}

// ParseRequest parses a request in PEM format (RFC 2986). It ignores the subject, because the hub
// decides which edge the certificate is for. The key must be an ECDSA key on P-256. All errors are
// ErrRequest. Whoever reaches the edge port may send a request, therefore its length and the type of its key
// are checked before anything is calculated with the key: checking the signature of an RSA key of 180,000 bits
// takes seconds.
func ParseRequest(text string) (Request, error) {
	if len(text) > maxRequestText {
		return Request{}, fmt.Errorf("%w: it has more than %d bytes", ErrRequest, maxRequestText)
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return Request{}, fmt.Errorf("%w: it is not PEM of type CERTIFICATE REQUEST", ErrRequest)
	}
	if err := checkOutline(block.Bytes); err != nil {
		return Request{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return Request{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return Request{}, fmt.Errorf("%w: its key is not an ECDSA key on P-256", ErrRequest)
	}
	if err := csr.CheckSignature(); err != nil {
		return Request{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	sum := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	return Request{KeyHash: sum[:], key: key}, nil
}

// checkOutline checks what can be checked without a calculation.
func checkOutline(der []byte) error {
	if len(der) > maxRequestDER {
		return fmt.Errorf("it has more than %d bytes in DER", maxRequestDER)
	}
	var outline requestOutline
	if rest, err := asn1.Unmarshal(der, &outline); err != nil {
		return err
	} else if len(rest) > 0 {
		return fmt.Errorf("%d bytes follow it", len(rest))
	}
	ecPublicKey := asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}                   // RFC 5480, section 2.1.1
	p256 := []byte{asn1.TagOID, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07} // 1.2.840.10045.3.1.7 in DER
	algorithm := outline.Info.PublicKey.Algorithm
	if !algorithm.Algorithm.Equal(ecPublicKey) || !bytes.Equal(algorithm.Parameters.FullBytes, p256) {
		return fmt.Errorf("its key is not an ECDSA key on P-256")
	}
	return nil
}
