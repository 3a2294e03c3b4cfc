package uplink

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"gridpost/devices/problem"
	"gridpost/devices/retry"
	"gridpost/hub/api"
)

// Bounds of evidence.
const (
	firstPiece    = 32 << 10 // bytes in one request
	leastPiece    = 4 << 10
	mostPiece     = 512 << 10 // less than the hub allows
	evidenceBatch = 16        // files looked up at a time
	maxPostponed  = 1000      // files that wait for another attempt; of more, the one due first is tried earlier
	firstRetry    = 5 * time.Second
	lookEvery     = time.Second // see uploader.look
	longestRetry  = 15 * time.Minute
)

// The reasons for which evidence is lost; cause codes of gaps.
const (
	lostMissing = "file_missing"   // it is no longer on the disk
	lostChanged = "file_damaged"   // its content is not what was announced
	lostRefused = "refused_by_hub" // the hub no longer wants it
	lostUnknown = "unknown_to_hub" // the hub does not know it although it was announced twice
)

// uploader uploads evidence, file by file. It belongs to one goroutine.
type uploader struct {
	u         *Uplink
	pace      pace
	postponed map[string]*postponed // by incident/name
	look      time.Duration         // how often the upload of a clip looks for pictures that have come since
}

// postponed is a file that waits for another attempt.
type postponed struct {
	due      time.Time
	backoff  *retry.Backoff
	enqueued string // epoch in which its incident was sent again because the hub did not know the file
	err      error
}

func fileKey(meta api.Evidence) string { return meta.Incident + "/" + meta.Name }

// sendEvidence uploads evidence while no alerts wait, pictures before clips. A file that fails is postponed by itself and
// stops no other; only a hub that is not reached stops all.
func (u *Uplink) sendEvidence(ctx context.Context) {
	up := &uploader{
		u: u, postponed: map[string]*postponed{}, look: lookEvery,
		pace: pace{size: firstPiece, least: leastPiece, most: mostPiece, target: evidenceTarget},
	}
	w := u.waits(longestOther)
	for {
		more, err := up.round(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			u.report(loopEvidence, up.stuck())
			w.reset()
			if !more && !retry.Sleep(ctx, u.o.Telemetry) {
				return
			}
			continue
		}
		u.report(loopEvidence, err)
		if !w.after(ctx, err, u.recovered[loopEvidence]) {
			return
		}
	}
}

// stuck returns the error of a file that has been postponed, if there is one.
func (up *uploader) stuck() error {
	for _, p := range up.postponed {
		if p.err != nil {
			return p.err
		}
	}
	return nil
}

// round uploads the files that are due. more says that there may be others. An error says that no
// file can be uploaded at present.
func (up *uploader) round(ctx context.Context) (more bool, err error) {
	if _, ok := up.u.session.ready(ctx); !ok {
		return false, ctx.Err()
	}
	now := time.Now()
	files, err := up.u.o.Store.WaitingEvidence(ctx, evidenceBatch, func(meta api.Evidence) bool { return up.waits(meta, now) })
	if err != nil {
		return false, &storeError{err}
	}
	for _, meta := range files {
		switch err := up.one(ctx, meta); {
		case errors.Is(err, errPicture):
			return true, nil
		case err != nil:
			return false, err
		}
	}
	return len(files) == evidenceBatch, nil
}

// one uploads a file and deals with what is wrong with it. An error is about all files.
func (up *uploader) one(ctx context.Context, meta api.Evidence) error {
	err := up.upload(ctx, meta)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var lost *lostError
	var refused *problem.Error
	switch {
	case errors.Is(err, errPicture):
		return err
	case err == nil:
		if err := up.u.o.Store.EvidenceDelivered(ctx, meta); err != nil {
			return &storeError{err}
		}
		delete(up.postponed, fileKey(meta))
		return nil
	case errors.As(err, &lost):
		return up.lose(ctx, meta, lost.reason)
	case errors.As(err, &refused):
		return up.refused(ctx, meta, refused)
	case errors.As(err, new(*localError)), errors.As(err, new(*answerError)):
		up.postpone(meta, err)
		return nil
	}
	return err // the hub is not reached
}

func (up *uploader) lose(ctx context.Context, meta api.Evidence, reason string) error {
	up.u.o.Logger.Error("evidence will never be at the hub", "incident", meta.Incident, "name", meta.Name, "reason", reason)
	if err := up.u.o.Store.EvidenceLost(ctx, meta, reason); err != nil {
		return &storeError{err}
	}
	delete(up.postponed, fileKey(meta))
	return nil
}

// refused deals with a file that the hub does not take.
func (up *uploader) refused(ctx context.Context, meta api.Evidence, err *problem.Error) error {
	switch err.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		return err // about this edge or the hub, not about the file
	case http.StatusGone:
		return up.lose(ctx, meta, lostRefused)
	case http.StatusNotFound:
		return up.announceAgain(ctx, meta, err)
	case http.StatusUnprocessableEntity:
		// The hub got all bytes and another hash. If the file's own hash still is the announced one,
		// they were damaged on their way, and the next attempt is a new one.
		if sum, e := up.hash(meta); e == nil && sum != meta.SHA256 {
			return up.lose(ctx, meta, lostChanged)
		}
	}
	up.postpone(meta, err)
	return nil
}

// announceAgain sends a file's incident again when the hub does not know the file: it may have been
// restored from a backup. A file that it does not know after that is lost.
func (up *uploader) announceAgain(ctx context.Context, meta api.Evidence, err error) error {
	epoch, _, _ := up.u.session.present()
	if p := up.postponed[fileKey(meta)]; p != nil && p.enqueued == epoch {
		return up.lose(ctx, meta, lostUnknown)
	}
	if err := up.u.o.Store.Enqueue(ctx, []string{meta.Incident}); err != nil {
		return &storeError{err}
	}
	up.postpone(meta, err).enqueued = epoch
	return nil
}

// postpone lets a file wait for another attempt.
func (up *uploader) postpone(meta api.Evidence, err error) *postponed {
	key := fileKey(meta)
	p := up.postponed[key]
	if p == nil {
		if len(up.postponed) >= maxPostponed {
			up.forgetOne()
		}
		p = &postponed{backoff: retry.Policy{First: firstRetry, Longest: longestRetry}.New()}
		up.postponed[key] = p
		up.u.o.Logger.Warn("a file of evidence cannot be uploaded; it is tried again later", "incident", meta.Incident, "name", meta.Name, "error", err)
	}
	p.due, p.err = time.Now().Add(p.backoff.Next()), err
	return p
}

// forgetOne makes room in postponed.
func (up *uploader) forgetOne() {
	first := ""
	for key, p := range up.postponed {
		if first == "" || p.due.Before(up.postponed[first].due) {
			first = key
		}
	}
	delete(up.postponed, first)
}

// lostError says that a file will never be at the hub.
type lostError struct{ reason string }

func (e *lostError) Error() string { return e.reason }

// localError is a failure of this edge's disk with one file.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// upload sends what the hub lacks of a file, piece by piece.
func (up *uploader) upload(ctx context.Context, meta api.Evidence) error {
	path := strings.NewReplacer("{incident}", meta.Incident, "{name}", meta.Name).Replace(api.PathEvidence)
	if !up.u.gate.pass(ctx) {
		return ctx.Err()
	}
	head, _, err := up.u.do(ctx, up.u.bulk, http.MethodHead, path, nil, nil)
	if err != nil || complete(head) {
		return err
	}
	f, err := up.u.o.Store.OpenEvidence(meta)
	if errors.Is(err, os.ErrNotExist) {
		return &lostError{lostMissing}
	}
	if err != nil {
		return &localError{err}
	}
	defer func() { _ = f.Close() }()
	offset, err := strconv.ParseInt(head.Get("Upload-Offset"), 10, 64)
	if err != nil || offset < 0 || offset > meta.Size {
		return &answerError{fmt.Sprintf("it claims to have %.20q of %d bytes of a file", head.Get("Upload-Offset"), meta.Size)}
	}
	looked := time.Now()
	for {
		n, done, err := up.piece(ctx, f, path, meta, offset)
		if err != nil {
			return err
		}
		if offset += n; done || offset >= meta.Size {
			return nil
		}
		if meta.ContentType != api.ClipType || time.Since(looked) < up.look {
			continue
		}
		looked = time.Now()
		if waits, err := up.pictureWaits(ctx); err != nil {
			return err
		} else if waits {
			return errPicture
		}
	}
}

// errPicture says that a picture waits: the clip goes on where it stands, after the picture.
var errPicture = errors.New("a picture comes first")

// pictureWaits reports whether evidence is due that is no clip.
func (up *uploader) pictureWaits(ctx context.Context) (bool, error) {
	now := time.Now()
	first, err := up.u.o.Store.WaitingEvidence(ctx, 1, func(meta api.Evidence) bool { return up.waits(meta, now) })
	if err != nil {
		return false, &storeError{err}
	}
	return len(first) == 1 && first[0].ContentType != api.ClipType, nil
}

// waits reports whether a file has been postponed until later.
func (up *uploader) waits(meta api.Evidence, now time.Time) bool {
	p := up.postponed[fileKey(meta)]
	return p != nil && now.Before(p.due)
}

// leastOfLine is the part of a bounded line that clips get while live video is sent, and the part of the time in which they
// use one without a bound.
const leastOfLine = 1.0 / 8

// share returns how large a piece of a file may be and how long the next one waits after a piece of n bytes that took a
// time: pictures are small and are wanted at once, clips keep to their share of the line.
func (up *uploader) share(meta api.Evidence) (most int, wait func(n int, took time.Duration) time.Duration) {
	s := up.u.o.Share()
	if meta.ContentType != api.ClipType || s == (Share{}) {
		return mostPiece, func(int, time.Duration) time.Duration { return 0 }
	}
	if s.Rate == 0 {
		return mostPiece, func(_ int, took time.Duration) time.Duration {
			return time.Duration(float64(took) * (1/leastOfLine - 1))
		}
	}
	if s.Video {
		s.Rate *= leastOfLine
	}
	return max(leastPiece, int(s.Rate/8*evidenceTarget.Seconds())), func(n int, took time.Duration) time.Duration {
		return time.Duration(float64(n)*8/s.Rate*float64(time.Second)) - took
	}
}

// piece sends one piece of a file from offset on. done says that the hub has the whole file.
func (up *uploader) piece(ctx context.Context, f *os.File, path string, meta api.Evidence, offset int64) (sent int64, done bool, err error) {
	if !up.u.gate.pass(ctx) {
		return 0, false, ctx.Err()
	}
	most, wait := up.share(meta)
	piece := make([]byte, min(int64(up.pace.size), int64(most), meta.Size-offset))
	n, err := f.ReadAt(piece, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, false, &localError{err}
	}
	if n == 0 && offset < meta.Size {
		return 0, false, &lostError{lostChanged}
	}
	began := time.Now()
	answer, _, err := up.u.do(ctx, up.u.bulk, http.MethodPatch, path, http.Header{
		"Content-Type":  {"application/offset+octet-stream"},
		"Upload-Offset": {strconv.FormatInt(offset, 10)},
	}, piece[:n])
	if err != nil {
		if broken(err) {
			up.pace.failed(n)
		}
		return 0, false, err
	}
	took := time.Since(began)
	up.pace.done(n, took)
	if !retry.Sleep(ctx, wait(n, took)) && !complete(answer) {
		return 0, false, ctx.Err()
	}
	return int64(n), complete(answer), nil
}

func complete(h http.Header) bool { return h.Get("Upload-Complete") == "?1" }

func (up *uploader) hash(meta api.Evidence) (string, error) {
	f, err := up.u.o.Store.OpenEvidence(meta)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
