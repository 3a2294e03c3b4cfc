package rtsp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/headers"
	"github.com/pion/rtp"

	"gridpost/devices"
	"gridpost/streams/h26x"
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

	assembler  *assembler    // the library's reading goroutine owns it
	firstFrame chan struct{} // of capacity one: the first access unit was published
	packets    atomic.Uint64 // of video
	lastFrame  atomic.Int64  // when the last access unit was published, as nanoseconds since began; 0: none yet
	began      time.Time

	gotFrame bool // frames arrived; only Run's goroutine uses it

	mu   sync.Mutex
	conn net.Conn
}

func newSession(s *Source, address *base.URL) *session {
	n := &session{source: s, address: address.Clone(), firstFrame: make(chan struct{}, 1), began: time.Now()}
	transport := s.transport
	n.client = &gortsplib.Client{
		Scheme:            address.Scheme,
		Host:              address.Host,
		Transport:         &transport,
		ReadTimeout:       s.o.ConnectTimeout,
		WriteTimeout:      s.o.ConnectTimeout,
		UserAgent:         "gridpost",
		DialContext:       n.dial,
		ListenPacket:      listenPacket,
		OnResponse:        n.onResponse,
		OnTransportSwitch: func(error) {},
		OnPacketsLost:     func(uint64) {}, // the assembler counts them
		OnDecodeError:     n.countDecodeError,

		// The library's own timeout for UDP must be longer than ours, which is about frames.
		InitialUDPReadTimeout: s.o.FrameTimeout + s.o.UDPTimeout,
	}
	return n
}

// run connects, receives frames until they stop, and returns why. Every goroutine has ended when it
// returns.
func (n *session) run(parent context.Context) error {
	n.source.count.attempts.Add(1)
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
		cut := time.AfterFunc(teardownTimeout, n.closeConn)
		defer cut.Stop()
		n.client.Close()
	}()
	defer func() {
		end(nil)
		<-closed
	}()

	late := time.AfterFunc(n.source.o.ConnectTimeout, func() {
		end(errNoResponse)
		n.closeConn()
	})
	err := n.play()
	late.Stop()
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errNoResponse) && !n.connected() {
			return errUnreachable
		} else if cause != nil {
			return cause
		}
		return err
	}
	return n.watch(ctx)
}

// play sends DESCRIBE, SETUP and PLAY.
func (n *session) play() error {
	desc, _, err := n.client.Describe(n.address)
	if err != nil {
		return fmt.Errorf("asking what the camera offers: %w", err)
	}
	media, forma := selectVideo(desc)
	if media == nil {
		return errNoVideo
	}
	if n.assembler, err = newAssembler(forma, n.source.session+1); err != nil {
		return err
	}
	if _, err := n.client.Setup(desc.BaseURL, media, 0, 0); err != nil {
		return fmt.Errorf("setting up the video: %w", err)
	}
	n.client.OnPacketRTP(media, forma, n.onPacket)
	if _, err := n.client.Play(nil); err != nil {
		return fmt.Errorf("starting the video: %w", err)
	}
	n.playing.Store(true)
	return nil
}

// selectVideo returns the first video medium that the camera sends and whose codec is supported. Audio and the
// back channel are never set up.
func selectVideo(desc *description.Session) (*description.Media, format.Format) {
	for _, media := range desc.Medias {
		if media.IsBackChannel || media.Type != description.MediaTypeVideo {
			continue
		}
		for _, f := range media.Formats {
			switch f.(type) {
			case *format.H264, *format.H265:
				return media, f
			}
		}
	}
	return nil, nil
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
		case <-n.firstFrame:
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
			wait, err := n.check(played)
			if err != nil {
				n.end(err)
				<-broken
				return err
			}
			timer.Reset(wait)
		}
	}
}

// check returns how long to wait until the next check, or why the session has to end. played is when the
// camera accepted PLAY.
func (n *session) check(played time.Time) (time.Duration, error) {
	o := n.source.o
	if last := n.lastFrame.Load(); last != 0 {
		left := o.FrameTimeout - time.Since(n.began.Add(time.Duration(last)))
		if left <= 0 {
			return 0, errNoFrames
		}
		return left, nil
	}
	since := time.Since(played)
	packets := n.packets.Load()
	if packets == 0 && n.source.transport == gortsplib.TransportUDP {
		if since >= o.UDPTimeout {
			return 0, errNoUDPPackets
		}
		return o.UDPTimeout - since, nil
	}
	if since >= o.FrameTimeout {
		if packets > 0 {
			return 0, errNoKeyframe
		}
		return 0, errNoFrames
	}
	return o.FrameTimeout - since, nil
}

// online reports that the first frame has arrived.
func (n *session) online() {
	n.gotFrame = true
	n.source.count.sessions.Add(1)
	args := []any{"stream", n.source.o.Stream.Name(), "transport", n.source.transport.String(), "codec", string(n.assembler.codec)}
	if size := n.assembler.size.Load(); size != nil {
		args = append(args, "width", size[0], "height", size[1])
	}
	n.source.o.Logger.Info("camera is online", args...)
	n.source.report(true, devices.Cause{})
}

// onPacket handles a packet of the video. It never blocks.
func (n *session) onPacket(packet *rtp.Packet) {
	n.packets.Add(1)
	now := time.Now()
	au, err := n.assembler.push(packet, now)
	c := &n.source.count
	c.lostPackets.Add(n.assembler.resetCount(&n.assembler.lost))
	c.dropped.Add(n.assembler.resetCount(&n.assembler.dropped))
	c.timestampJumps.Add(n.assembler.resetCount(&n.assembler.clock.timestampJumps))
	if err != nil {
		n.countDecodeError(err)
	}
	if au == nil {
		return
	}
	if n.lastFrame.Load() == 0 {
		if w, h, err := h26x.SizeOf(au.Codec, au.NALUs); err == nil {
			n.assembler.size.Store(&[2]int{w, h})
		}
	}
	n.source.o.Stream.Publish(au)
	c.frames.Add(1)
	if n.lastFrame.Swap(max(1, int64(now.Sub(n.began)))) == 0 {
		n.firstFrame <- struct{}{}
	}
}

// countDecodeError counts what could not be parsed. Only the first of a source is logged; the count is logged
// when the camera goes offline.
func (n *session) countDecodeError(err error) {
	if n.source.count.decodeErrors.Add(1) == 1 {
		n.source.o.Logger.Warn("camera sends packets that cannot be parsed; further ones are only counted",
			"stream", n.source.o.Stream.Name(), "error", sanitize(err.Error(), n.address))
	}
}

// maxKeepalive bounds the time between keepalives, in the library's terms: it sends one after
// 8/10 of the timeout that the camera names, so 12 s means one each 9.6 s.
const maxKeepalive = 12

// onResponse sees every response of the camera before the library reads it.
func (n *session) onResponse(res *base.Response) {
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

// dial connects and stores the connection, so that closeConn can close it.
func (n *session) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.conn = conn
	n.mu.Unlock()
	return conn, nil
}

// connected reports whether something at the camera's address has accepted a connection.
func (n *session) connected() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.conn != nil
}

// closeConn closes the connection that the library uses. The library may have closed it before, so the error
// is of no interest.
func (n *session) closeConn() {
	n.mu.Lock()
	conn := n.conn
	n.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
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
