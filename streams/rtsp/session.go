package rtsp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/headers"
	"github.com/pion/rtp"

	"gridpost/devices"
	"gridpost/streams"
	"gridpost/streams/rtsp/compat"
)

// teardownTimeout is how long a camera may take to answer TEARDOWN before the connection is closed.
const teardownTimeout = 2 * time.Second

// session is one connection to the camera, from dialling until it is closed.
type session struct {
	source  *Source
	address *base.URL
	client  *gortsplib.Client
	end     context.CancelCauseFunc
	playing atomic.Bool

	// receiving guards what the library's reading goroutines use once PLAY was sent: by UDP there is one for
	// each track. It also keeps their calls of Publish apart.
	receiving   sync.Mutex
	assembler   *assembler
	audio       *audioTrack // nil: none is received
	videoAt     time.Time   // when the first frame arrived
	description streams.Description

	began      time.Time
	packets    atomic.Uint64 // of video
	lastPacket atomic.Int64  // when the last packet of video with content arrived, as nanoseconds since began; 0: none yet
	lastFrame  atomic.Int64  // when the last frame was published, likewise
	foreign    atomic.Int64  // packets of another SSRC since then

	requested atomic.Int64 // when the last request was sent, as nanoseconds since began; 0: it has been answered

	awaited  atomic.Bool   // the next frame makes the camera online
	gotFrame chan struct{} // of capacity one: an awaited frame was published
	counted  bool          // as a session with frames; only Run's goroutine uses it

	wire *compat.Session // between the library and the camera
}

func newSession(s *Source, address *base.URL) *session {
	n := &session{
		source: s, address: address.CloneWithoutCredentials(), gotFrame: make(chan struct{}, 1), began: time.Now(),
		wire: s.wire.NewSession(),
	}
	n.awaited.Store(true)
	transport := s.transport
	n.client = &gortsplib.Client{
		Scheme:            "rtsp", // TLS and logging in are done by n.wire
		Host:              address.Host,
		Transport:         &transport,
		ReadTimeout:       libraryTimeout(s.o), // run bounds the time to the answer to PLAY
		WriteTimeout:      s.o.ConnectTimeout,
		UserAgent:         "gridpost",
		DialContext:       n.wire.DialContext,
		ListenPacket:      listenPacket,
		OnRequest:         n.onRequest,
		OnResponse:        n.onResponse,
		OnTransportSwitch: func(error) {},
		OnPacketsLost:     func(uint64) {}, // the assembler counts them
		OnDecodeError:     n.countDecodeError,

		InitialUDPReadTimeout: libraryTimeout(s.o),

		// Cameras name no port, or another one than they send from. The camera's address is checked all the same.
		AnyPortEnable: true,
	}
	return n
}

// libraryTimeout is for how long nothing may arrive by the library's own clock: longer than by ours.
func libraryTimeout(o Options) time.Duration {
	return o.ConnectTimeout + max(o.StartTimeout, o.FrameTimeout, o.UDPTimeout)
}

// run connects, receives frames until they stop, and returns why. Every goroutine has ended when it
// returns.
func (n *session) run(parent context.Context) error {
	n.source.count.attempts.Add(1)
	transport := TCP
	if n.source.transport == gortsplib.TransportUDP {
		transport = UDP
	}
	n.source.setInfo(func(i *Info) { *i = Info{Transport: transport} })
	ctx, end := context.WithCancelCause(parent)
	n.end = end
	if err := n.client.Start2(); err != nil {
		return fmt.Errorf("starting the client: %w", err)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		<-ctx.Done()
		// A client that waits for a TLS handshake reacts only to the end of its connection.
		cut := time.AfterFunc(teardownTimeout, n.wire.Close)
		defer cut.Stop()
		n.client.Close()
	}()
	defer func() {
		end(nil)
		<-closed
	}()

	late := time.AfterFunc(n.source.o.ConnectTimeout, func() {
		end(errNoResponse)
		n.wire.Close()
	})
	err := n.play()
	late.Stop()
	n.logRemarks()
	if err != nil {
		if own := n.wire.Err(); own != nil {
			return own
		}
		if cause := context.Cause(ctx); errors.Is(cause, errNoResponse) && !n.wire.Connected() {
			return errUnreachable
		} else if cause != nil {
			return cause
		}
		return err
	}
	return n.watch(ctx)
}

// logRemarks logs what was left out of the camera's description, or repaired. Each remark is logged once per source.
func (n *session) logRemarks() {
	for _, r := range n.wire.Remarks() {
		if n.source.addRemark(r) {
			n.source.o.Logger.Warn("camera needs tolerance", "stream", n.source.o.Stream.Name(), "subject", r.Subject, "reason", r.Reason)
		}
	}
}

// play sends DESCRIBE, SETUP and PLAY.
func (n *session) play() error {
	desc, _, err := n.client.Describe(n.address)
	if err != nil {
		return fmt.Errorf("asking what the camera offers: %w", err)
	}
	chosen := selectTracks(desc, n.wire.Remarks())
	if chosen.video == nil {
		return errNoVideo
	}
	if n.assembler, err = newAssembler(chosen.videoFormat, n.source.session+1); err != nil {
		return err
	}
	if _, err := n.client.Setup(desc.BaseURL, chosen.video, 0, 0); err != nil {
		return fmt.Errorf("setting up the video: %w", err)
	}
	if chosen.audio != nil && !n.source.o.WithoutAudio {
		n.setupAudio(desc.BaseURL, &chosen)
	}
	n.description = streams.Description{Session: n.assembler.session, Tracks: []streams.Track{n.assembler.track}, Remarks: chosen.remarks}
	if n.audio != nil {
		n.description.Tracks = append(n.description.Tracks, n.audio.track)
	}
	n.client.OnPacketRTP(chosen.video, chosen.videoFormat, func(p *rtp.Packet) { n.onPacket(chosen.video, p) })
	if n.audio != nil {
		n.client.OnPacketRTP(chosen.audio, chosen.audioFormat, func(p *rtp.Packet) { n.onAudio(chosen.audio, p) })
	}
	n.useTracks(chosen)
	if _, err := n.client.Play(nil); err != nil {
		return fmt.Errorf("starting the video: %w", err)
	}
	n.playing.Store(true)
	return nil
}

// useTracks names the payload types of the tracks that were set up.
func (n *session) useTracks(chosen selection) {
	types := []uint8{chosen.videoFormat.PayloadType()}
	if n.audio != nil {
		types = append(types, chosen.audioFormat.PayloadType())
	}
	n.wire.UseTracks(types...)
}

// setupAudio sets up the audio. Without it the video goes on; the source then asks for no audio any more, because
// the refusal may have cost the connection.
func (n *session) setupAudio(base *base.URL, chosen *selection) {
	if n.source.withoutAudio == nil {
		_, err := n.client.Setup(base, chosen.audio, 0, 0)
		if err == nil {
			n.audio = &audioTrack{track: chosen.audioTrack, session: n.assembler.session, index: 1}
			return
		}
		n.source.withoutAudio = err
	}
	chosen.remarks = append(chosen.remarks, devices.NewCause("audio_refused",
		"codec", chosen.audioTrack.Codec.Name(), "reason", sanitize(n.source.withoutAudio.Error(), n.source.address())))
}

// watch returns when the session has ended or no more frames arrive.
func (n *session) watch(ctx context.Context) error {
	broken := make(chan error, 1)
	go func() { broken <- n.client.Wait() }() // ends with the client, which run closes
	played := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-n.gotFrame:
			n.online()
		case err := <-broken:
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return fmt.Errorf("receiving video: %w", err)
		case <-ctx.Done():
			<-broken
			return context.Cause(ctx)
		case <-timer.C:
			next := n.look(played)
			if next.end != nil {
				n.end(next.end)
				<-broken
				return next.end
			}
			timer.Reset(next.after)
		}
	}
}

// look judges what has arrived, and reports what is missing. played is when the camera accepted PLAY.
func (n *session) look(played time.Time) outlook {
	n.logRemarks() // there may be new ones
	o := n.source.o
	limit := patience{
		packet: o.StartTimeout, frame: o.FrameTimeout, keyframe: o.KeyframeTimeout, notice: o.FrameTimeout * 3 / 10,
		byUDP: n.source.transport == gortsplib.TransportUDP && n.packets.Load() == 0,
	}
	if limit.byUDP && !n.source.refusesTCP {
		limit.packet = o.UDPTimeout
	}
	lastFrame := n.lastFrame.Load()
	p := progress{played: played, lastPacket: n.at(n.lastPacket.Load()), lastFrame: n.at(lastFrame)}
	next := p.judge(time.Now(), limit)
	if next.end != nil || next.missing.IsZero() {
		return next
	}
	n.awaited.Store(true)
	if n.lastFrame.Load() == lastFrame { // else a frame has come that may not have seen that it is awaited
		n.source.report(false, next.missing)
	}
	return next
}

// at returns the time that is so many nanoseconds after the session began; the zero time for 0.
func (n *session) at(sinceBegan int64) time.Time {
	if sinceBegan == 0 {
		return time.Time{}
	}
	return n.began.Add(time.Duration(sinceBegan))
}

// hadFrames reports whether frames have arrived.
func (n *session) hadFrames() bool { return n.lastFrame.Load() != 0 }

// online reports that frames arrive, and what people cannot see of them.
func (n *session) online() {
	if !n.counted {
		n.counted = true
		n.source.count.sessions.Add(1)
	}
	description := n.source.o.Stream.Description()
	if n.source.reported && n.source.online { // only the warning may have changed
		n.source.report(true, description.NotLive())
		return
	}
	video := description.Video()
	args := []any{"stream", n.source.o.Stream.Name(), "transport", n.source.transport.String(), "codec", string(video.Codec)}
	if video.Width > 0 {
		args = append(args, "width", video.Width, "height", video.Height)
	}
	if audio, _, ok := description.Audio(); ok {
		args = append(args, "audio", string(audio.Codec))
	}
	n.source.o.Logger.Info("camera is online", args...)
	for _, r := range description.Remarks {
		n.source.o.Logger.Info("a part of what the camera offers is not used", "stream", n.source.o.Stream.Name(), "reason", r.Text)
	}
	n.source.report(true, description.NotLive())
}

// since returns a time as nanoseconds since the session began, 1 at least.
func (n *session) since(at time.Time) int64 { return max(1, int64(at.Sub(n.began))) }

// describe publishes what is known of the tracks, and reports whether there is a new remark.
func (n *session) describe() (remarked bool) {
	n.assembler.changed = false
	track := n.assembler.track
	n.description.Tracks[0] = track
	if cause := n.description.NotLive(); !cause.IsZero() && !slices.ContainsFunc(n.description.Remarks, cause.Equal) {
		n.description.Remarks = append(n.description.Remarks, cause)
		remarked = true
	}
	n.source.o.Stream.Describe(n.description)
	return remarked
}

// maxKeepalive bounds the time between keepalives, in the library's terms: it sends one after
// 8/10 of the timeout that the camera names, so 12 s means one each 9.6 s.
const maxKeepalive = 12

// onRequest sees every request before it is sent.
func (n *session) onRequest(*base.Request) { n.requested.Store(n.since(time.Now())) }

// onResponse sees every response of the camera before the library reads it.
func (n *session) onResponse(res *base.Response) {
	if at := n.requested.Swap(0); at != 0 {
		took := time.Since(n.at(at))
		n.source.setInfo(func(i *Info) {
			if i.RoundTrip == 0 || took < i.RoundTrip {
				i.RoundTrip = took
			}
		})
	}
	if n.playing.Load() {
		// Only keepalives are answered now, and the library ignores the response. An
		// expired nonce, or a session that the camera has forgotten, needs a new session.
		if res.StatusCode == base.StatusUnauthorized || res.StatusCode == base.StatusSessionNotFound {
			n.end(errSessionExpired)
		}
		return
	}
	// 8/10 of the timeout is too late for cameras that process keepalives late, and cameras that name no
	// timeout may mean 20 s.
	var header headers.Session
	if value, ok := res.Header["Session"]; !ok || header.Unmarshal(value) != nil {
		return // the library reports what is wrong with it
	}
	timeout := uint(maxKeepalive)
	if header.Timeout != nil && *header.Timeout > 0 {
		timeout = max(1, min(timeout, *header.Timeout*5/8))
	}
	header.Timeout = &timeout
	res.Header["Session"] = header.Marshal()
}

// udpBuffer is the size of the kernel's receive buffer in bytes: a large keyframe arrives at once.
const udpBuffer = 1 << 20

func listenPacket(network, address string) (net.PacketConn, error) {
	conn, err := net.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	if udp, ok := conn.(*net.UDPConn); ok {
		if err := udp.SetReadBuffer(udpBuffer); err != nil {
			return nil, fmt.Errorf("enlarging the buffer: %w (%w)", err, conn.Close())
		}
	}
	return conn, nil
}
