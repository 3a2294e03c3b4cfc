// Package rtsptest provides a scripted RTSP server for tests: one camera per path, each with a behaviour of its own.
//
// The server is a plain TCP (or TLS) listener; it uses no RTSP library, so that a test decides about every byte.
// Without a script a camera behaves as RFC 2326 demands and sends real H.264 video over TCP or UDP.
//
// Only tests may import the package.
package rtsptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Camera is how the server behaves at one path. The zero value is a camera that follows RFC 2326.
type Camera struct {
	SDP     string  // body of the response to DESCRIBE, see Conn.Expand; default: Describe(Tracks...)
	Tracks  []Track // default: H264()
	Session string  // value of the Session header; default "42"
	Public  string  // value of the Public header; default without GET_PARAMETER
	Auth    *Auth   // nil: no login

	// Before may answer a request itself, with Conn.Printf. If it returns true, nothing else is sent.
	Before func(c *Conn, r *Request) bool

	// Answer may change the usual response before it is sent. It runs after Auth has admitted the request.
	Answer func(c *Conn, r *Request, a *Answer)

	// Play runs on a goroutine of its own after the response to PLAY was sent. It must return when c.Pause reports
	// false or a method of c that sends does; default: Conn.SendMedia.
	Play func(c *Conn)

	// CloseAfterPlay closes the connection when Play has returned.
	CloseAfterPlay bool
}

// Server serves cameras until its test ends.
type Server struct {
	listen  net.Listener
	secure  bool
	cameras map[string]*Camera
	done    chan struct{}

	mu       sync.Mutex
	requests map[string][]Request // by path
	sessions int
}

// MethodOptions is a method of RTSP (RFC 2326, section 10.1), and not of HTTP.
const MethodOptions = "OPTIONS"

// maxRequests bounds the stored requests of one path; later ones are not stored.
const maxRequests = 1000

// Start serves cameras by their paths, such as "/main", until the test ends. A request for another path gets 404.
func Start(t testing.TB, cameras map[string]*Camera) *Server {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, listen, false, cameras)
}

// StartTLS is Start with TLS and a certificate that nobody has signed. It also returns the certificate's SHA-256 in
// hexadecimal.
func StartTLS(t testing.TB, cameras map[string]*Camera) (s *Server, fingerprint string) {
	t.Helper()
	cert := selfSigned(t)
	listen, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.Certificate[0])
	return serve(t, listen, true, cameras), hex.EncodeToString(sum[:])
}

// StartOne serves one camera and returns its address.
func StartOne(t testing.TB, camera *Camera) (s *Server, address string) {
	t.Helper()
	s = Start(t, map[string]*Camera{"/main": camera})
	return s, s.URL("/main")
}

func serve(t testing.TB, listen net.Listener, secure bool, cameras map[string]*Camera) *Server {
	s := &Server{listen: listen, secure: secure, cameras: cameras, done: make(chan struct{}), requests: map[string][]Request{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listen.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { s.serveConn(conn) })
		}
	})
	t.Cleanup(func() {
		close(s.done)
		_ = listen.Close() // the test is over
		serving.Wait()
	})
	return s
}

// Addr returns host:port.
func (s *Server) Addr() string { return s.listen.Addr().String() }

// URL returns the address of the camera at path, which may have a query.
func (s *Server) URL(path string) string {
	if s.secure {
		return "rtsps://" + s.Addr() + path
	}
	return "rtsp://" + s.Addr() + path
}

// UserURL is URL with a user name and a password.
func (s *Server) UserURL(path, user, password string) string {
	scheme, rest, _ := strings.Cut(s.URL(path), "://")
	return scheme + "://" + url.UserPassword(user, password).String() + "@" + rest
}

// Requests returns the requests so far for path and the URLs below it, of all connections.
func (s *Server) Requests(path string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests[path]...)
}

// Count returns how many requests with a method have come for path and the URLs below it.
func (s *Server) Count(path, method string) int {
	n := 0
	for _, r := range s.Requests(path) {
		if r.Method == method {
			n++
		}
	}
	return n
}

// Sessions returns how many PLAY requests were admitted.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

// find returns the camera for a URL: the longest path that the URL's path begins with.
func (s *Server) find(path string) (string, *Camera) {
	best := ""
	for p := range s.cameras {
		if len(p) > len(best) && (path == p || strings.HasPrefix(path, strings.TrimSuffix(p, "/")+"/") || strings.HasPrefix(path, p+"?")) {
			best = p
		}
	}
	return best, s.cameras[best]
}

func (s *Server) record(path string, r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests[path]) < maxRequests {
		s.requests[path] = append(s.requests[path], r)
	}
}

func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "camera"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
