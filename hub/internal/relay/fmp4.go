package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"gridpost/hub/internal/problem"
	"gridpost/streams/fmp4"
	"gridpost/streams/webrtc"
)

// ServeFMP4 serves a GET that plays a camera as fragmented MP4 over HTTP, for viewers that WebRTC does not reach. It
// waits until the edge publishes, stores the Lease and sends fragments until the session ends or the client is gone.
//
// The Location of the response is sessions followed by an ID; serve that resource with ServeWHEPSession. It has the
// cause when the session has ended. The caller must check first that the device exists.
func (r *Relay) ServeFMP4(w http.ResponseWriter, q *http.Request, edge, device, sessions string, who Viewer) {
	if q.Method != http.MethodGet {
		release(who.Release)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var out *httpOutput
	v, err := r.startViewer(q.Context(), pathKey{edge: edge, device: device}, who, func(v *viewerSession, feed *webrtc.Feed) (output, error) {
		out = &httpOutput{feed: feed, w: w, control: http.NewResponseController(w), location: sessions + "/" + v.id, client: q.Context()}
		return out, nil
	})
	if err != nil {
		release(who.Release)
		r.refuse(w, err)
		return
	}
	<-v.released
	if !out.begun {
		(&problem.Error{Status: http.StatusServiceUnavailable, Reason: v.cause}).Write(w)
	}
}

// fragmentWithin is how long one fragment may wait for the client's acknowledgements. A client that is slow for less
// loses frames.
const fragmentWithin = 10 * time.Second

// httpOutput writes a feed to an HTTP response as fragmented MP4.
type httpOutput struct {
	feed     *webrtc.Feed
	w        http.ResponseWriter
	control  *http.ResponseController
	location string
	client   context.Context // of the request
	begun    bool            // the header was written; set by Run

	mu    sync.Mutex
	stats webrtc.SenderStats
}

// Run implements output.
func (o *httpOutput) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(o.client, func() { cancel(webrtc.ErrClosedByPeer) })()
	frames := o.feed.Frames()
	defer frames.Close()
	muxer := fmp4.NewMuxer(frames.Codec())
	var buffer []byte
	for {
		f, err := frames.Next(ctx)
		if err != nil {
			return err
		}
		buffer, err = muxer.Append(buffer[:0], fmp4.Frame{
			NALUs: f.NALUs, Time: f.Time, Keyframe: f.Keyframe, Captured: f.Captured, Sent: time.Now(),
		})
		if err != nil {
			return err
		}
		if !o.begun {
			o.begin(muxer.ContentType())
		}
		if err := o.write(buffer); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		o.mu.Lock()
		o.stats.Bytes += uint64(len(buffer))
		o.stats.Dropped = frames.Dropped()
		o.mu.Unlock()
	}
}

func (o *httpOutput) begin(contentType string) {
	h := o.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Location", o.location)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a reverse proxy must not collect fragments
	o.w.WriteHeader(http.StatusOK)
	o.begun = true
}

// write sends b at once.
func (o *httpOutput) write(b []byte) error {
	err := o.control.SetWriteDeadline(time.Now().Add(fragmentWithin))
	if err == nil {
		_, err = o.w.Write(b)
	}
	if err == nil {
		err = o.control.Flush()
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return webrtc.ErrLost
	case err != nil:
		return fmt.Errorf("%w: %w", webrtc.ErrClosedByPeer, err)
	}
	return nil
}

// Close implements output.
func (o *httpOutput) Close() {}

// Dismiss implements output: the response ends with the request's handler.
func (o *httpOutput) Dismiss(context.Context) {}

// Trickle implements output: there are no candidates here.
func (o *httpOutput) Trickle(string) (string, error) {
	return "", fmt.Errorf("%w: this session is not WebRTC", webrtc.ErrOffer)
}

// Stats implements output.
func (o *httpOutput) Stats() webrtc.SenderStats {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stats
}
