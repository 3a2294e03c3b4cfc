package clips

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/edge/internal/store"
	"gridpost/hub/api"
	"gridpost/streams"
	"gridpost/streams/fmp4"
	"gridpost/streams/streamtest"

	firmwareconfig "gridpost/firmware-config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is an edge with a store on the disk and a camera's stream.
type fixture struct {
	t         *testing.T
	dir       string
	store     *store.Store
	recorder  *Recorder
	stream    *streams.Stream
	authority *x509.Certificate
	signer    fmp4.Signer
	opened    time.Time
	n         int
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, dir: t.TempDir(), stream: streams.New(streams.Options{RingDuration: 12 * time.Second}), opened: time.Now().Truncate(time.Microsecond)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "north"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if f.authority, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	f.signer = fmp4.Signer{Key: key, Certificate: f.authority}
	f.open()
	t.Cleanup(func() {
		if err := f.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// open opens the store, as the start of the program does.
func (f *fixture) open() {
	f.t.Helper()
	var err error
	if f.store, err = store.Open(f.t.Context(), store.Options{Dir: f.dir}); err != nil {
		f.t.Fatal(err)
	}
	unfinished, err := f.store.UnfinishedClips(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	f.recorder = New(Options{
		Edge: "north", Store: f.store, Signer: func() (fmp4.Signer, error) { return f.signer, nil },
		Clock: func() api.ClockGrade { return api.ClockSynchronized }, Logger: slog.New(slog.DiscardHandler), Unfinished: unfinished,
	})
}

// publish publishes frames: 25 a second, one in 50 of which is a keyframe. The first one arrived 20 s before the opening.
func (f *fixture) publish(count int) {
	for range count {
		at := time.Duration(f.n) * 40 * time.Millisecond
		u := &streams.AccessUnit{
			Codec: streams.H264, Session: 1, PTS: at, DTS: at, Arrived: f.opened.Add(at - 20*time.Second), Keyframe: f.n%50 == 0,
			NALUs: [][]byte{{0x41, byte(f.n), byte(f.n >> 8)}},
		}
		if u.Keyframe {
			u.NALUs = [][]byte{streamtest.SPS(), {0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0}, {0x65, byte(f.n)}}
		}
		f.stream.Publish(u)
		f.n++
	}
}

// until publishes frames until one arrives so long after the opening. The recorder's queue holds fewer than a minute has.
func (f *fixture) until(after time.Duration) {
	f.publish(int((after+20*time.Second)/(40*time.Millisecond)) + 1 - f.n)
}

func (f *fixture) incident(id string) detection.Incident {
	f.t.Helper()
	inc := detection.Incident{ID: id, Device: "yard", Rule: "walkway", State: detection.Open, Version: 1, Opened: f.opened, Updated: f.opened}
	if err := f.store.SaveIncidents(f.t.Context(), []detection.Incident{inc}); err != nil {
		f.t.Fatal(err)
	}
	return inc
}

func usual() firmwareconfig.Clips {
	return firmwareconfig.Clips{Before: 10 * time.Second, After: 5 * time.Second, Longest: 8 * time.Second}
}

// verify returns what is proved about a file that was saved.
func (f *fixture) verify(incident, name string) (*fmp4.Verified, api.Evidence) {
	f.t.Helper()
	all, err := f.store.EvidenceOf(f.t.Context(), incident)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, meta := range all {
		if meta.Name != name {
			continue
		}
		file, err := f.store.OpenEvidence(meta)
		if err != nil {
			f.t.Fatal(err)
		}
		v, err := fmp4.Verify(file, meta.Size, f.authority)
		if err = errors.Join(err, file.Close()); err != nil {
			f.t.Fatal(err)
		}
		return v, meta
	}
	f.t.Fatalf("%s of %s is not among %+v", name, incident, all)
	return nil, api.Evidence{}
}

// TestClip: a clip begins at most a GOP before what was wanted, goes on while its incident does, within its bound, and carries
// the hashes of the other evidence.
func TestClip(t *testing.T) {
	for _, c := range []struct {
		name    string
		over    bool
		seconds float64 // after the opening
	}{{"closed", true, 5}, {"open", false, 8}} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			inc := f.incident("one")
			f.until(time.Second)
			if _, err := f.store.SaveEvidence(t.Context(), api.Evidence{Incident: "one", Name: "snapshot.jpg", ContentType: "image/jpeg", Time: f.opened}, []byte("x")); err != nil {
				t.Fatal(err)
			}
			over := make(chan struct{})
			if c.over {
				close(over)
			}
			done := make(chan error, 1)
			go func() {
				done <- f.recorder.Record(t.Context(), Request{Incident: inc, Stream: f.stream, Clips: usual(), Over: over})
			}()
			f.waitForReader()
			f.until(10 * time.Second)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			v, meta := f.verify("one", "clip.mp4")
			m := v.Manifest
			if m.Edge != "north" || m.Device != "yard" || m.Rule != "walkway" || !m.Opened.Equal(f.opened) || len(m.Files) != 1 || m.Files[0].Name != "snapshot.jpg" || meta.Clip.Frames != m.Frames || !meta.Clip.Signed {
				t.Errorf("%+v, %+v", m, meta.Clip)
			}
			if early := f.opened.Add(-10 * time.Second).Sub(m.From); early < 0 || early > 2*time.Second {
				t.Errorf("it begins %v before the wanted second; a GOP has 2 s", early)
			}
			if after := m.To.Sub(f.opened).Seconds(); after < c.seconds-0.1 || after > c.seconds+0.1 || len(m.Gaps) != 0 {
				t.Errorf("it ends %.2f s after the opening, with gaps %v", after, m.Gaps)
			}
		})
	}
}

// waitForReader waits until the recorder reads the stream: what is published before is in the ring, and is read as well.
func (f *fixture) waitForReader() {
	for f.t.Context().Err() == nil {
		if files, err := filepath.Glob(filepath.Join(f.dir, "clips", "*", "*")); err != nil || len(files) > 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// TestRestart ends the program in the middle of a clip, tears the file, and starts it again.
func TestRestart(t *testing.T) {
	f := newFixture(t)
	f.incident("one")
	f.until(0)
	clip, err := f.store.CreateClip(t.Context(), "one", "clip.mp4")
	if err != nil {
		t.Fatal(err)
	}
	w := fmp4.NewRecording(clip, streams.H264)
	reader := f.stream.Subscribe(streams.ReaderOptions{Since: f.opened.Add(-10 * time.Second)})
	defer reader.Close()
	for range 200 {
		u, err := reader.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(u); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(f.dir, "clips", "one", "clip.mp4")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(content, content[:len(content)/3]...), 0o600); err != nil {
		t.Fatal(err)
	}
	f.open()
	f.recorder.sealUnfinished(t.Context())
	v, _ := f.verify("one", "clip.mp4")
	if m := v.Manifest; m.Frames < 100 || m.Frames > 200 || m.Incident != "one" || m.Device != "yard" || !m.Opened.Equal(f.opened) {
		t.Errorf("%+v", m)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}
