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

	"gridpost/hub/api"
)

// pieceSize is how much evidence travels in one request: less than the hub allows, so that a
// slow line is not taken for long and a broken one loses little.
const pieceSize = 256 << 10

// evidence uploads the oldest file that waits, from where the hub has it, piece by piece. more
// says that there may be another.
func (u *Uplink) evidence(ctx context.Context) (more bool, err error) {
	meta, ok, err := u.o.Store.NextEvidence(ctx)
	if err != nil || !ok {
		return false, err
	}
	err = u.upload(ctx, meta)
	if gone := new(lostError); errors.As(err, &gone) {
		u.o.Logger.Error("evidence cannot be given to the hub", "incident", meta.Incident, "name", meta.Name, "cause", gone.Error())
		err = nil
	}
	if err != nil {
		return false, fmt.Errorf("uploading %s: %w", meta.Name, err)
	}
	return true, u.o.Store.EvidenceDone(ctx, meta)
}

// lostError says that a file will never be at the hub.
type lostError struct{ cause string }

func (e *lostError) Error() string { return e.cause }

func (u *Uplink) upload(ctx context.Context, meta api.Evidence) error {
	path := strings.NewReplacer("{incident}", meta.Incident, "{name}", meta.Name).Replace(api.PathEvidence)
	head, _, err := u.do(ctx, http.MethodHead, path, nil, nil)
	if err != nil {
		return u.judge(meta, err)
	}
	if complete(head) {
		return nil
	}
	f, err := u.o.Store.OpenEvidence(meta)
	if errors.Is(err, os.ErrNotExist) {
		return &lostError{"the file is no longer on this edge's disk"}
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	offset, err := strconv.ParseInt(head.Get("Upload-Offset"), 10, 64)
	if err != nil || offset < 0 || offset > meta.Size {
		return fmt.Errorf("the hub claims to have %q of %d bytes", head.Get("Upload-Offset"), meta.Size)
	}
	piece := make([]byte, min(pieceSize, meta.Size))
	for {
		n, err := f.ReadAt(piece[:min(int64(len(piece)), meta.Size-offset)], offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 && offset < meta.Size {
			return &lostError{"the file on this edge's disk is shorter than it was"}
		}
		answer, _, err := u.do(ctx, http.MethodPatch, path, http.Header{
			"Content-Type":  {"application/offset+octet-stream"},
			"Upload-Offset": {strconv.FormatInt(offset, 10)},
		}, piece[:n])
		if err != nil {
			return u.judge(meta, err)
		}
		if offset += int64(n); offset >= meta.Size || complete(answer) {
			return nil
		}
	}
}

func complete(h http.Header) bool { return h.Get("Upload-Complete") == "?1" }

// judge tells failures that pass from those that do not.
func (u *Uplink) judge(meta api.Evidence, err error) error {
	var refused *httpError
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.status {
	case http.StatusNotFound, http.StatusGone:
		return &lostError{"the hub does not know, or no longer wants, this file: " + refused.Error()}
	case http.StatusUnprocessableEntity:
		// The hub got all bytes and another hash. If ours still is the announced one, the line
		// garbled them, and the next try is a new one.
		if sum, e := u.hash(meta); e == nil && sum != meta.SHA256 {
			return &lostError{"the file on this edge's disk has changed since it was announced"}
		}
	}
	return err
}

func (u *Uplink) hash(meta api.Evidence) (string, error) {
	f, err := u.o.Store.OpenEvidence(meta)
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
