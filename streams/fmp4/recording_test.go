package fmp4

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gridpost/streams"
)

// memory is a file in memory.
type memory struct{ b []byte }

func (m *memory) Write(p []byte) (int, error) { m.b = append(m.b, p...); return len(p), nil }

func (m *memory) ReadAt(p []byte, at int64) (int, error) { return bytes.NewReader(m.b).ReadAt(p, at) }

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if end := int(at) + len(p); end > len(m.b) {
		m.b = append(m.b, make([]byte, end-len(m.b))...)
	}
	return copy(m.b[at:], p), nil
}

func (m *memory) Truncate(size int64) error { m.b = m.b[:size]; return nil }

func (m *memory) size() int64 { return int64(len(m.b)) }

// camera makes frames: gop of them behind each keyframe, 25 a second.
type camera struct {
	gop     int
	n       int
	session uint32
	random  *rand.Rand
}

func (c *camera) next() *streams.AccessUnit {
	at := time.Duration(c.n) * 40 * time.Millisecond
	u := &streams.AccessUnit{Codec: streams.H264, Session: c.session, PTS: at, DTS: at, Arrived: instant.Add(at), Keyframe: c.n%c.gop == 0}
	nalu := make([]byte, 2+c.random.IntN(60))
	for i := range nalu {
		nalu[i] = byte(c.random.Uint32())
	}
	nalu[0] = 0x41
	if u.Keyframe {
		nalu[0] = 0x65
		u.NALUs = [][]byte{sps, pps}
	}
	u.NALUs = append(u.NALUs, nalu)
	c.n++
	return u
}

// record writes frames and returns the file, and where each fragment ended.
func record(t *testing.T, c *camera, frames int) (*memory, []int64) {
	t.Helper()
	m := &memory{}
	var ends []int64
	r := NewRecording(writerFunc(func(b []byte) (int, error) {
		n, err := m.Write(b)
		ends = append(ends, m.size())
		return n, err
	}), streams.H264)
	for range frames {
		if err := r.Write(c.next()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return m, ends
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// pki makes an authority and the key of an edge.
func pki(t testing.TB, edge string) (*x509.Certificate, Signer) {
	t.Helper()
	issue := func(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), instant, instant.Add(time.Hour)
		der, err := x509.CreateCertificate(cryptorand.Reader, template, parent, key.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	root := &x509.Certificate{Subject: pkix.Name{CommonName: "hub"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	authority := issue(root, root, keys[0], keys[0])
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: edge}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	return authority, Signer{Key: keys[1], Certificate: issue(leaf, authority, keys[1], keys[0])}
}

func sealed(t testing.TB, m *memory, s Signer) Description {
	t.Helper()
	d, err := Seal(m, m.size(), func(d Description) ([]byte, error) {
		return s.Sign(Manifest{Edge: "north", Device: "yard", Incident: "i", Name: "clip.mp4", Description: d})
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestTornRecordings cuts recordings off at random bytes, and puts zeros or what was there before behind the cut: what is
// read is every whole fragment and nothing else, and after Seal the file is a whole one that verifies.
func TestTornRecordings(t *testing.T) {
	random := rand.New(rand.NewPCG(12, 11))
	authority, signer := pki(t, "north")
	for round := range 100 {
		c := &camera{gop: 1 + random.IntN(70), session: 1, random: random}
		m, ends := record(t, c, 1+random.IntN(200))
		if len(ends) < 2 {
			t.Fatalf("%d writes", len(ends))
		}
		cut := int64(random.IntN(len(m.b) + 1))
		if round%10 == 0 {
			cut = ends[random.IntN(len(ends))]
		}
		earlier := m.b
		m.b = slices.Clone(m.b[:cut])
		want := ends[0]
		for _, end := range ends {
			if end <= cut {
				want = end
			}
		}
		switch random.IntN(4) {
		case 0:
			m.b = append(m.b, make([]byte, random.IntN(500))...)
		case 1: // the disk shows blocks of an earlier file
			m.b = append(m.b, earlier[:random.IntN(len(earlier))]...)
		}
		l, err := Scan(m, m.size())
		if cut < ends[0] {
			if err == nil && cut < ends[0]-int64(len("free")) && len(m.b) == int(cut) {
				t.Fatalf("the beginning was cut off at %d of %d and is read", cut, ends[0])
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if l.End != want {
			t.Fatalf("cut at %d: the last whole fragment ends at %d, found %d", cut, want, l.End)
		}
		if len(l.Fragments) == 0 {
			if _, err := Seal(m, m.size(), nil); !errors.Is(err, ErrEmpty) {
				t.Fatalf("a recording without frames: %v", err)
			}
			continue
		}
		first := sealed(t, m, signer)
		if again := sealed(t, m, signer); again.SHA256 != first.SHA256 {
			t.Fatal("sealing again gives another file")
		}
		v, err := Verify(m, m.size(), authority)
		if err != nil || v.Manifest.SHA256 != first.SHA256 || v.Manifest.Edge != "north" {
			t.Fatalf("%+v, %v", v, err)
		}
		if got := first.To.Sub(first.From); got != time.Duration(first.Frames)*40*time.Millisecond || !first.From.Equal(instant) {
			t.Fatalf("%d frames from %v on last %v", first.Frames, first.From, got)
		}
	}
}

// TestEveryByteCounts flips bytes of a sealed recording: each of the manifest and of the beginning, some of the rest.
func TestEveryByteCounts(t *testing.T) {
	authority, signer := pki(t, "north")
	m, _ := record(t, &camera{gop: 5, session: 1, random: rand.New(rand.NewPCG(1, 2))}, 60)
	sealed(t, m, signer)
	l, err := Scan(m, m.size())
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(m.b); i++ {
		if i > 600 && int64(i) < l.End-40 && i%37 != 0 {
			continue
		}
		m.b[i] ^= 1 << (i % 8)
		if _, err := Verify(m, m.size(), authority); err == nil {
			t.Fatalf("byte %d of %d was flipped, and the file verifies", i, len(m.b))
		}
		m.b[i] ^= 1 << (i % 8)
	}
	for _, size := range []int64{0, 7, m.size() / 2, m.size() - 1} {
		if _, err := Verify(m, size, authority); err == nil {
			t.Errorf("the first %d bytes verify", size)
		}
	}
	if _, err := Verify(m, m.size(), authority); err != nil {
		t.Fatal(err)
	}
}

// TestWhoSigned: neither another authority, nor an edge that calls itself by another name, nor the hub's own certificate.
func TestWhoSigned(t *testing.T) {
	authority, signer := pki(t, "north")
	m, _ := record(t, &camera{gop: 5, session: 1, random: rand.New(rand.NewPCG(1, 2))}, 60)
	sealed(t, m, signer)
	other, _ := pki(t, "north")
	if _, err := Verify(m, m.size(), other); !errors.Is(err, ErrNotSignedBy) {
		t.Errorf("another authority: %v", err)
	}
	authority2, south := pki(t, "south")
	sealed(t, m, south)
	if _, err := Verify(m, m.size(), authority2); !errors.Is(err, ErrNotSignedBy) {
		t.Errorf("another edge: %v", err)
	}
	if _, err := Seal(m, m.size(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(m, m.size(), authority); !errors.Is(err, ErrNoManifest) {
		t.Errorf("no manifest: %v", err)
	}
	// The part that was changed is named.
	sealed(t, m, signer)
	v, err := Verify(m, m.size(), authority)
	if err != nil {
		t.Fatal(err)
	}
	at := v.Manifest.Parts[0].Size + v.Manifest.Parts[1].Size + 60
	m.b[at] ^= 1
	if v, err = Verify(m, m.size(), authority); !errors.Is(err, ErrAltered) || v.Altered == nil || v.Altered.At != v.Manifest.Parts[2].At {
		t.Errorf("a changed fragment: %+v, %v", v, err)
	}
}

// TestRecordingOverSessions: the time of a file goes on over a new connection to the camera, with a gap; other parameter
// sets and other codecs need another file.
func TestRecordingOverSessions(t *testing.T) {
	m := &memory{}
	r := NewRecording(m, streams.H264)
	c := &camera{gop: 25, session: 1, random: rand.New(rand.NewPCG(3, 4))}
	if err := r.Write(&streams.AccessUnit{Codec: streams.H264, NALUs: [][]byte{{0x41, 1}}}); !errors.Is(err, ErrNoKeyframe) {
		t.Errorf("a first frame that is no keyframe: %v", err)
	}
	write := func(u *streams.AccessUnit) {
		t.Helper()
		if err := r.Write(u); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		write(c.next())
	}
	write(&streams.AccessUnit{Codec: streams.PCMU, Data: []byte{1}})
	c.n, c.session = 0, 2
	for range 25 {
		u := c.next()
		u.Arrived = u.Arrived.Add(5 * time.Second)
		write(u)
	}
	changed := c.next()
	changed.NALUs = [][]byte{other, pps, {0x65, 1}}
	if err := r.Write(changed); !errors.Is(err, ErrChanged) {
		t.Errorf("other parameter sets: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := Seal(m, m.size(), nil)
	if err != nil {
		t.Fatal(err)
	}
	// Two seconds, the last frame of which arrived at 1.96 s, and one second from 5 s on.
	if got := d.To.Sub(d.From); got != 6*time.Second || d.Frames != 75 || len(d.Gaps) != 1 || d.Gaps[0].From.Sub(d.From) != 2*time.Second || d.Gaps[0].To.Sub(d.From) != 5*time.Second {
		t.Errorf("%v, %+v", got, d)
	}
	if err := NewRecording(io.Discard, streams.JPEG).Write(&streams.AccessUnit{Codec: streams.JPEG, Keyframe: true}); !errors.Is(err, ErrCodec) {
		t.Errorf("motion JPEG: %v", err)
	}
}

// FuzzScan: no file makes Scan, Seal or Verify fail in another way than by an error, and what Seal accepts it accepts again.
func FuzzScan(f *testing.F) {
	authority, signer := pki(f, "north")
	random := rand.New(rand.NewPCG(1, 2))
	m := &memory{}
	r := NewRecording(m, streams.H264)
	c := &camera{gop: 5, session: 1, random: random}
	for range 60 {
		if err := r.Write(c.next()); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(slices.Clone(m.b))
	sealed(f, m, signer)
	f.Add(m.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &memory{slices.Clone(b)}
		if v, err := Verify(m, m.size(), authority); err == nil && v.Manifest.Edge != "north" {
			t.Error("it verifies as of another edge")
		}
		first, err := Seal(m, m.size(), nil)
		if err != nil {
			return
		}
		if again, err := Seal(m, m.size(), nil); err != nil || again.SHA256 != first.SHA256 {
			t.Errorf("sealed again: %+v, %v", again, err)
		}
	})
}
