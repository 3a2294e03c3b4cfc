package fmp4

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Manifest says where a recording comes from and what is in it. It is the last box of the file, so that one file is enough to
// prove both: a box of a type of our own (ISO/IEC 14496-12 section 11.1), which players skip. In it are the format, the JSON of
// the manifest, the signature over it and the certificate of the key that made it, which names the edge.
type Manifest struct {
	Edge     string    `json:"edge"`
	Device   string    `json:"device"`
	Incident string    `json:"incident"`
	Rule     string    `json:"rule"`
	Name     string    `json:"name"`   // of the file
	Opened   time.Time `json:"opened"` // the incident, by the edge's clock
	Clock    string    `json:"clock"`  // grade of that clock, as in hub/api

	Description

	Files []FileHash `json:"files,omitempty"` // other evidence of the incident at that time

	// Certificate is the SHA-256 of the certificate, so that the signature covers it too.
	Certificate string `json:"certificate"`
}

// FileHash is what a manifest knows of another file.
type FileHash struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Signer signs manifests: the key of an edge and its certificate.
type Signer struct {
	Key         crypto.Signer
	Certificate *x509.Certificate
}

const (
	manifestFormat = 1
	manifestPrefix = "gridpost manifest 1\x00" // before what is signed, so that the signature is good for nothing else
	mostManifest   = 1 << 20                   // bytes of the box
)

// manifestType is the type of the box: a UUID (RFC 9562).
func manifestType() []byte {
	return []byte{0x6f, 0x1d, 0x2b, 0x5e, 0x90, 0x3a, 0x4c, 0x77, 0x8e, 0x52, 0x13, 0xd0, 0xaf, 0x46, 0x7c, 0x21}
}

// Sign returns the box of a manifest. It sets m.Certificate.
func (s Signer) Sign(m Manifest) ([]byte, error) {
	fingerprint := sha256.Sum256(s.Certificate.Raw)
	m.Certificate = hex.EncodeToString(fingerprint[:])
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding a manifest: %w", err)
	}
	digest := sha256.Sum256(append([]byte(manifestPrefix), text...))
	signature, err := s.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("signing a manifest: %w", err)
	}
	b := append(make([]byte, 4, len(text)+len(s.Certificate.Raw)+200), "uuid"...)
	b = append(append(b, manifestType()...), manifestFormat)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(text))), text...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(signature))), signature...)
	b = append(b, s.Certificate.Raw...)
	if len(b) > mostManifest {
		return nil, errors.New("encoding a manifest: it is too long")
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b, nil
}

// Errors of Verify. What it returns wraps one of them, or is an error of the reader.
var (
	ErrNoManifest  = errors.New("the file carries no signed manifest")
	ErrNotSignedBy = errors.New("the manifest is not signed by an edge of this authority")
	ErrAltered     = errors.New("the file is not what was signed")
)

// Verified is what has been proved about a file.
type Verified struct {
	Manifest    Manifest
	Certificate *x509.Certificate // of the edge; whether it was in its period of validity is for the caller to say

	// The first part of the file that is not what was signed; nil: it is whole.
	Altered *Part
}

// Verify proves that a recording of size bytes was signed by an edge of an authority and has not been changed since, in any
// byte. With ErrAltered the manifest is still proved.
func Verify(r io.ReaderAt, size int64, authority *x509.Certificate) (*Verified, error) {
	end, raw, err := findManifest(r, size)
	if err != nil {
		return nil, err
	}
	v, err := verifyManifest(raw, authority)
	if err != nil {
		return nil, err
	}
	m := v.Manifest
	if m.Size != end {
		return v, fmt.Errorf("%w: it has %d bytes before the manifest, not %d", ErrAltered, end, m.Size)
	}
	whole, at := sha256.New(), int64(0)
	for _, p := range m.Parts {
		h := sha256.New()
		if _, err := io.Copy(io.MultiWriter(whole, h), io.NewSectionReader(r, at, p.Size)); err != nil {
			return v, fmt.Errorf("reading a recording: %w", err)
		}
		if at += p.Size; v.Altered == nil && hex.EncodeToString(h.Sum(nil)) != p.SHA256 {
			v.Altered = &p
		}
	}
	if v.Altered != nil || at != end || hex.EncodeToString(whole.Sum(nil)) != m.SHA256 {
		return v, fmt.Errorf("%w: its content has changed", ErrAltered)
	}
	return v, nil
}

// findManifest returns where the last box of a file begins and its content. Only the top level is read.
func findManifest(r io.ReaderAt, size int64) (at int64, content []byte, err error) {
	var head [boxHeader]byte
	for {
		if ok, err := readWhole(r, head[:], at, size); !ok {
			return 0, nil, errors.Join(ErrNoManifest, err)
		}
		n := int64(binary.BigEndian.Uint32(head[:]))
		switch {
		case n < boxHeader || n > size-at:
			return 0, nil, ErrNoManifest
		case at+n < size:
			at += n
			continue
		case string(head[4:]) != "uuid" || n > mostManifest:
			return 0, nil, ErrNoManifest
		}
		content = make([]byte, n-boxHeader)
		if ok, err := readWhole(r, content, at+boxHeader, size); !ok {
			return 0, nil, errors.Join(ErrNoManifest, err)
		}
		return at, content, nil
	}
}

// verifyManifest checks the signature of a manifest and the certificate, and decodes it.
func verifyManifest(b []byte, authority *x509.Certificate) (*Verified, error) {
	text, signature, der, ok := split(b)
	if !ok {
		return nil, ErrNoManifest
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSignedBy, err)
	}
	if err := certificate.CheckSignatureFrom(authority); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSignedBy, err)
	}
	if !slices.Contains(certificate.ExtKeyUsage, x509.ExtKeyUsageClientAuth) { // the hub's own certificate is no edge's
		return nil, fmt.Errorf("%w: the certificate is not of an edge", ErrNotSignedBy)
	}
	if err := certificate.CheckSignature(x509.ECDSAWithSHA256, append([]byte(manifestPrefix), text...), signature); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSignedBy, err)
	}
	v := &Verified{Certificate: certificate}
	if err := json.Unmarshal(text, &v.Manifest); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSignedBy, err)
	}
	if fingerprint := sha256.Sum256(der); v.Manifest.Certificate != hex.EncodeToString(fingerprint[:]) {
		return nil, fmt.Errorf("%w: it names another certificate", ErrNotSignedBy)
	}
	if certificate.Subject.CommonName != v.Manifest.Edge {
		return nil, fmt.Errorf("%w: it is of the edge %q, and signed by %q", ErrNotSignedBy, v.Manifest.Edge, certificate.Subject.CommonName)
	}
	return v, nil
}

// split takes the content of a manifest's box apart.
func split(b []byte) (text, signature, certificate []byte, ok bool) {
	kind := manifestType()
	if len(b) < len(kind)+5 || !bytes.Equal(b[:len(kind)], kind) || b[len(kind)] != manifestFormat {
		return nil, nil, nil, false
	}
	b = b[len(kind)+1:]
	n := uint64(binary.BigEndian.Uint32(b))
	if b = b[4:]; n > uint64(len(b)) {
		return nil, nil, nil, false
	}
	text, b = b[:n], b[n:]
	if len(b) < 2 {
		return nil, nil, nil, false
	}
	n = uint64(binary.BigEndian.Uint16(b))
	if b = b[2:]; n > uint64(len(b)) {
		return nil, nil, nil, false
	}
	return text, b[:n], b[n:], true
}
