// Package clips records what a camera saw around the opening of an incident: from the frames that the edge holds anyway,
// without encoding anything again. A clip is a file that browsers play, whose manifest the edge's key has signed (package
// streams/fmp4), and becomes evidence of its incident like a picture.
//
// A clip that is being written survives the death of the program: the next run seals what is there. A disk that is full or
// fails costs clips, and nothing else: who records waits for the disk in a goroutine of its own, behind a bounded queue.
package clips

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"gridpost/detection"
	"gridpost/edge/internal/store"
	"gridpost/hub/api"
	"gridpost/streams"
	"gridpost/streams/fmp4"

	firmwareconfig "gridpost/firmware-config"
)

// Store keeps clips.
type Store interface {
	CreateClip(ctx context.Context, incident, name string) (*store.Clip, error)
	Incident(ctx context.Context, id string) (inc detection.Incident, ok bool, err error)
	EvidenceOf(ctx context.Context, incident string) ([]api.Evidence, error)
}

// Options are what a Recorder needs.
type Options struct {
	Edge   string
	Store  Store
	Signer func() (fmp4.Signer, error) // the edge's key; an error: it has none, and clips are not signed
	Clock  func() api.ClockGrade
	Logger *slog.Logger

	Unfinished []*store.Clip // of an earlier run; Run seals them
}

// Recorder records clips. Its methods may be called from any goroutine.
type Recorder struct{ o Options }

// New returns a Recorder.
func New(o Options) *Recorder { return &Recorder{o: o} }

const (
	queue    = 512              // frames that wait for the disk; more are dropped by whole GOPs, and are a gap of the clip
	maxBytes = 128 << 20        // of a clip; it ends there
	maxFiles = 4                // of an incident, one for each change of the camera's parameter sets
	grace    = 2 * time.Second  // that the last frame may be late
	syncEach = 4 * time.Second  // what a power failure costs at most
	skewed   = 30 * time.Second // more than an incident's opening is before or after now, unless a clock was set
)

// Request says what is to be recorded.
type Request struct {
	Incident detection.Incident // as it opened
	Stream   *streams.Stream
	Clips    firmwareconfig.Clips
	Over     <-chan struct{} // closed when the incident is closed
}

// Record records a clip, and returns when it has been saved. The end of ctx ends the clip, which is saved too. An error says that
// there is none, or that it is shorter than was wanted.
func (r *Recorder) Record(ctx context.Context, q Request) error {
	reader := q.Stream.Subscribe(streams.ReaderOptions{Since: q.Incident.Opened.Add(-q.Clips.Before), Queue: queue})
	defer reader.Close()
	ctx, stop := q.until(ctx)
	defer stop()
	var next *streams.AccessUnit
	var all error
	for n := 1; n <= maxFiles; n++ {
		f := file{r: r, name: name(n), incident: q.Incident}
		var err error
		next, err = f.record(ctx, q, reader, next)
		all = errors.Join(all, err)
		if next == nil || err != nil {
			return all
		}
	}
	return errors.Join(all, errors.New("the camera has changed its video too often"))
}

// name returns the name of an incident's nth file.
func name(n int) string {
	if n == 1 {
		return "clip.mp4"
	}
	return "clip-" + strconv.Itoa(n) + ".mp4"
}

// until returns a context that ends when no frame of the clip can come any more, also when the camera sends none.
func (q Request) until(ctx context.Context) (context.Context, context.CancelFunc) {
	since := time.Since(q.Incident.Opened)
	if since.Abs() > skewed {
		since = 0
	}
	ctx, cancel := context.WithTimeout(ctx, q.Clips.Longest-since+grace)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-ctx.Done():
			return
		case <-q.Over:
		}
		t := time.NewTimer(time.Until(q.Incident.Opened.Add(q.Clips.After + grace)))
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
			cancel()
		}
	}()
	return ctx, func() {
		cancel()
		<-stopped
	}
}

// ends reports whether a frame is behind the end of the clip.
func (q Request) ends(u *streams.AccessUnit) bool {
	after := u.Arrived.Sub(q.Incident.Opened)
	select {
	case <-q.Over:
		return after > q.Clips.After
	default:
		return after > q.Clips.Longest
	}
}

// file is a file that is being recorded.
type file struct {
	r        *Recorder
	name     string
	incident detection.Incident

	clip   *store.Clip
	synced time.Time // Arrived of the last frame when the file was synchronized last
}

// record records one file, from a first frame on if there is one. It returns the first frame of the next file, nil if there is
// none.
func (f *file) record(ctx context.Context, q Request, reader *streams.Reader, first *streams.AccessUnit) (next *streams.AccessUnit, err error) {
	u := first
	var w *fmp4.Recording
	for {
		if u == nil {
			var over error
			if u, over = reader.Next(ctx); over != nil {
				break
			}
		}
		if q.ends(u) || f.clip != nil && f.clip.Size() >= maxBytes {
			break
		}
		if f.clip == nil {
			if f.clip, err = f.r.o.Store.CreateClip(context.WithoutCancel(ctx), f.incident.ID, f.name); err != nil {
				return nil, err
			}
			w, f.synced = fmp4.NewRecording(f.clip, u.Codec), u.Arrived
		}
		err = w.Write(u)
		if errors.Is(err, fmp4.ErrChanged) {
			next, err = u, nil
			break
		}
		if err == nil && u.Arrived.Sub(f.synced) >= syncEach {
			err, f.synced = f.clip.Sync(), u.Arrived
		}
		if err != nil {
			break
		}
		u = nil
	}
	if f.clip == nil {
		return nil, errors.New("the camera has sent no frames")
	}
	if err == nil {
		err = w.Close()
	}
	// What has been written before an error is a clip all the same, if a shorter one.
	_, saved := f.r.seal(context.WithoutCancel(ctx), f.clip, f.incident)
	return next, errors.Join(err, saved)
}

// seal ends a file and saves it as evidence. A file without frames is removed.
func (r *Recorder) seal(ctx context.Context, c *store.Clip, inc detection.Incident) (api.Evidence, error) {
	signer, err := r.o.Signer()
	var sign func(fmp4.Description) ([]byte, error)
	if err == nil {
		sign = func(d fmp4.Description) ([]byte, error) { return r.sign(ctx, signer, c, inc, d) }
	} else {
		r.o.Logger.Warn("a clip is not signed", "incident", c.Incident, "reason", err)
	}
	d, err := fmp4.Seal(c, c.Size(), sign)
	if err != nil {
		return api.Evidence{}, errors.Join(fmt.Errorf("recording a clip: %w", err), c.Discard())
	}
	return c.Save(ctx, api.Evidence{ContentType: api.ClipType, Time: d.From, Clip: about(d, sign != nil)})
}

// sign returns the manifest of a clip.
func (r *Recorder) sign(ctx context.Context, s fmp4.Signer, c *store.Clip, inc detection.Incident, d fmp4.Description) ([]byte, error) {
	m := fmp4.Manifest{
		Edge: r.o.Edge, Device: inc.Device, Incident: c.Incident, Rule: inc.Rule, Name: c.Name, Opened: inc.Opened, Clock: string(r.o.Clock()),
		Description: d,
	}
	others, err := r.o.Store.EvidenceOf(ctx, c.Incident)
	if err != nil {
		return nil, err
	}
	for _, e := range others {
		if e.Name != c.Name {
			m.Files = append(m.Files, fmp4.FileHash{Name: e.Name, Size: e.Size, SHA256: e.SHA256})
		}
	}
	return s.Sign(m)
}

// about returns what the hub is told of a clip.
func about(d fmp4.Description, signed bool) *api.Clip {
	c := &api.Clip{From: d.From, To: d.To, Frames: d.Frames, Codec: d.Codec, Signed: signed}
	for _, g := range d.Gaps {
		c.Gaps = append(c.Gaps, api.ClipGap{From: g.From, To: g.To})
	}
	return c
}

// Run seals the clips that an earlier run has left, and returns when ctx ends.
func (r *Recorder) Run(ctx context.Context) error {
	r.sealUnfinished(ctx)
	<-ctx.Done()
	return nil
}

func (r *Recorder) sealUnfinished(ctx context.Context) {
	for _, c := range r.o.Unfinished {
		inc, known, err := r.o.Store.Incident(ctx, c.Incident)
		switch {
		case err != nil:
			r.o.Logger.Warn("a clip that was interrupted is left to the next start", "incident", c.Incident, "error", err)
			continue
		case !known: // the store was damaged: nobody knows what it shows
			err = c.Discard()
		default:
			_, err = r.seal(ctx, c, inc)
		}
		if err != nil {
			r.o.Logger.Warn("a clip that was interrupted is lost", "incident", c.Incident, "error", err)
			continue
		}
		r.o.Logger.Info("a clip that was interrupted is saved", "incident", c.Incident, "name", c.Name)
	}
}
