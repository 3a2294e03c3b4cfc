package webrtc

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"gridpost/streams"
)

var errAccessEnded = errors.New("the access has ended")

// TestSessionEndedWhileThePeerConnects: a peer whose session was ended before it has connected is notified by the
// connection. It does not find out by a timeout, and no media passes.
func TestSessionEndedWhileThePeerConnects(t *testing.T) {
	withdrawn, cancel := context.WithCancelCause(t.Context())
	cancel(errAccessEnded)
	engine, err := NewEngine(EngineOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	var dismissing sync.WaitGroup
	end := func(run func() error, dismiss func(context.Context)) {
		if err := run(); !errors.Is(err, errAccessEnded) {
			t.Errorf("the session ended with %v", err)
		}
		dismissing.Go(func() { dismiss(t.Context()) })
	}
	feed := NewFeed()
	feed.setCodec(codec{name: streams.H264, fmtp: "packetization-mode=1;profile-level-id=42e01f"})
	endpoint := func(create func(offer string) (string, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, q *http.Request) {
			offer, err := io.ReadAll(q.Body)
			if err != nil {
				t.Error(err)
			}
			text, err := create(string(offer))
			if err != nil {
				t.Error(err)
			}
			answer(w, text)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /whip", endpoint(func(offer string) (string, error) {
		in, err := engine.NewIngest(offer)
		if err != nil {
			return "", err
		}
		end(func() error {
			return in.Run(withdrawn, func(context.Context) (*Feed, error) {
				t.Error("the publisher was connected to a feed")
				return feed, nil
			})
		}, in.Dismiss)
		return in.Answer(), nil
	}))
	mux.HandleFunc("POST /whep", endpoint(func(offer string) (string, error) {
		v, err := engine.NewViewer(feed, offer)
		if err != nil {
			return "", err
		}
		end(func() error { return v.Run(withdrawn) }, v.Dismiss)
		return v.Answer(), nil
	}))
	mux.HandleFunc("DELETE /resource", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(mux)
	defer server.Close()

	c := newCamera(25, 500)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.run(ctx) })
	peer, err := NewEngine(EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, connect := range map[string]func() error{
		"publisher": func() error {
			return peer.Publish(ctx, PublishOptions{Client: server.Client(), URL: server.URL + "/whip", Stream: c.stream})
		},
		"viewer": func() error {
			_, err := peer.Play(ctx, PlayOptions{Client: server.Client(), URL: server.URL + "/whep", OnFrame: func(Frame) { t.Error("a frame was sent") }})
			return err
		},
	} {
		began := time.Now()
		err := connect()
		t.Logf("the %s ended after %s: %v", name, time.Since(began).Round(time.Millisecond), err)
		if !errors.Is(err, ErrClosedByPeer) {
			t.Errorf("the %s ended with %v", name, err)
		}
	}
	stop()
	running.Wait()
	dismissing.Wait()
	if err := errors.Join(engine.Close(), peer.Close()); err != nil {
		t.Error(err)
	}
}
