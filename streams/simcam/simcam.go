// Package simcam is an RTSP server whose cameras are video files, for the demonstration and for tests.
//
// A camera plays its file in a loop in real time, with timestamps that keep rising, with or without
// viewers: as with a real camera, all viewers see the same frame at the same time.
// H.264 in MPEG-TS only; over TCP and UDP. It must not import any other adapter.
package simcam

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"golang.org/x/sync/errgroup"

	"gridpost/streams"
)

// Options of a Server.
type Options struct {
	Listen   string // host:port of the RTSP port; default 127.0.0.1:0
	Cameras  []Camera
	User     string // if not empty, viewers need User and Password
	Password string
	Logger   *slog.Logger // default: nothing is logged
}

func (o Options) withDefaults() Options {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Camera is a file that is played as a camera.
type Camera struct {
	Path   string        // of the URL, without the leading slash
	File   string        // MPEG-TS with H.264
	Offset time.Duration // where in the file the camera starts, modulo its length; at the next keyframe
}

// Server serves cameras made of files. Its ports are bound by NewServer and closed by Run, or by
// Close if Run is never called.
type Server struct {
	o       Options
	listen  net.Listener
	udp     [2]net.PacketConn // RTP and RTCP
	cameras map[string]*camera
}

// NewServer reads the files and binds the ports.
func NewServer(o Options) (*Server, error) {
	o = o.withDefaults()
	s := &Server{o: o, cameras: make(map[string]*camera)}
	files := make(map[string][]*streams.AccessUnit)
	for _, c := range o.Cameras {
		path := strings.Trim(c.Path, "/")
		if _, ok := s.cameras[path]; ok || path == "" {
			return nil, fmt.Errorf("making simulated camera %q: the path is empty or given twice", c.Path)
		}
		frames, ok := files[c.File]
		if !ok {
			var err error
			if frames, err = Load(c.File); err != nil {
				return nil, fmt.Errorf("making simulated camera %q: %w", c.Path, err)
			}
			files[c.File] = frames
		}
		s.cameras[path] = newCamera(frames, c.Offset)
	}
	if err := s.bind(); err != nil {
		return nil, fmt.Errorf("making simulated cameras: %w", err)
	}
	return s, nil
}

// bind opens the RTSP port, and for media an even UDP port and the one above it (RFC 3550, section 11).
func (s *Server) bind() error {
	listen, err := net.Listen("tcp", s.o.Listen)
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(listen.Addr().String())
	if err != nil {
		return errors.Join(err, listen.Close())
	}
	const attempts = 100
	for range attempts {
		first, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
		if err != nil {
			return errors.Join(err, listen.Close())
		}
		port := first.LocalAddr().(*net.UDPAddr).Port
		if port%2 == 0 {
			second, err := net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(port+1)))
			if err == nil {
				s.listen, s.udp = listen, [2]net.PacketConn{first, second}
				return nil
			}
		}
		if err := first.Close(); err != nil {
			return errors.Join(err, listen.Close())
		}
	}
	return errors.Join(errors.New("no pair of UDP ports is free"), listen.Close())
}

// Addr returns the bound host:port of the RTSP port.
func (s *Server) Addr() string { return s.listen.Addr().String() }

// URL returns the address of the camera at path, with user name and password if there are any.
func (s *Server) URL(path string) string {
	user := ""
	if s.o.User != "" {
		user = s.o.User + ":" + s.o.Password + "@"
	}
	return "rtsp://" + user + s.Addr() + "/" + strings.Trim(path, "/")
}

// SetPlaying switches the camera at path off or on. A camera that is off closes the sessions of its viewers and
// answers 404. Cameras are on at first. It reports whether there is such a camera.
func (s *Server) SetPlaying(path string, playing bool) bool {
	return s.set(path, func(c *camera) { c.off = !playing })
}

// SetFrozen stops the frames of the camera at path, while its sessions stay open, or resumes them.
func (s *Server) SetFrozen(path string, frozen bool) bool {
	return s.set(path, func(c *camera) { c.frozen = frozen })
}

func (s *Server) set(path string, change func(*camera)) bool {
	c, ok := s.cameras[strings.Trim(path, "/")]
	if !ok {
		return false
	}
	c.mu.Lock()
	change(c)
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default: // the camera has not handled the change before yet
	}
	return true
}

// Run serves until ctx ends. It returns nil then. It can be called once.
func (s *Server) Run(ctx context.Context) error {
	server := &gortsplib.Server{
		RTSPAddress:    s.Addr(),
		UDPRTPAddress:  s.udp[0].LocalAddr().String(),
		UDPRTCPAddress: s.udp[1].LocalAddr().String(),
		WriteQueueSize: 1024, // packets; a large keyframe has some hundred
		Handler:        &handler{s: s},
		Listen:         func(string, string) (net.Listener, error) { return s.listen, nil },
		ListenPacket: func(_, address string) (net.PacketConn, error) {
			if address == s.udp[0].LocalAddr().String() {
				return s.udp[0], nil
			}
			return s.udp[1], nil
		},
	}
	if err := server.Start(); err != nil {
		return errors.Join(fmt.Errorf("starting simulated cameras: %w", err), s.Close())
	}
	var once sync.Once
	stop := func() { once.Do(server.Close) }
	defer stop()

	g, ctx := errgroup.WithContext(ctx)
	for _, c := range s.cameras {
		g.Go(func() error {
			err := c.run(ctx, server)
			if ctx.Err() != nil {
				return nil // stopped, not broken
			}
			return err
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		stop()
		return nil
	})
	g.Go(func() error {
		err := server.Wait()
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("serving simulated cameras: %w", err)
	})
	return g.Wait()
}

// Close closes the ports of a server that was never run.
func (s *Server) Close() error {
	return errors.Join(s.listen.Close(), s.udp[0].Close(), s.udp[1].Close())
}
