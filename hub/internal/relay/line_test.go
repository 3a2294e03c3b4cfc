package relay

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// line carries the UDP packets of one viewer, in this process, because not every kernel can emulate a line. Packets leave
// its queue towards the viewer at rate; those that the queue has no room for are lost, and so is a share of all others, in
// both directions.
type line struct {
	delay time.Duration // each way
	loss  float64       // share of the packets, each way
	rate  float64       // bit/s towards the viewer; 0: no bound
	queue int           // bytes that may wait

	hub, viewer *net.UDPConn // the sockets that the hub and the viewer know
	peer        atomic.Pointer[net.UDPAddr]
	running     sync.WaitGroup

	mu    sync.Mutex
	count lineCount
}

// lineCount is what came from the hub.
type lineCount struct{ packets, lost, overflowed int }

const ipOverhead = 28 // bytes of a packet before the UDP payload

// delayed is a packet on its way.
type delayed struct {
	payload []byte
	at      time.Time
}

// open connects the line to the hub's media port and returns the port for the viewer.
func (l *line) open(t *testing.T, hub *net.UDPAddr, seed uint64) (port int) {
	t.Helper()
	var err error
	if l.hub, err = net.DialUDP("udp4", nil, hub); err != nil {
		t.Fatal(err)
	}
	if l.viewer, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*net.UDPConn{l.hub, l.viewer} {
		if err := errors.Join(c.SetReadBuffer(4<<20), c.SetWriteBuffer(4<<20)); err != nil {
			t.Fatal(err)
		}
	}
	l.carry(l.viewer, false, rand.New(rand.NewPCG(seed, 1)), func(b []byte) { _, _ = l.hub.Write(b) })
	l.carry(l.hub, true, rand.New(rand.NewPCG(seed, 2)), func(b []byte) {
		if to := l.peer.Load(); to != nil {
			_, _ = l.viewer.WriteToUDP(b, to)
		}
	})
	t.Cleanup(func() {
		if err := errors.Join(l.hub.Close(), l.viewer.Close()); err != nil {
			t.Error(err)
		}
		l.running.Wait()
	})
	return l.viewer.LocalAddr().(*net.UDPAddr).Port
}

// carry takes packets from one socket, until it is closed, and writes them when they are through. Writing is not checked:
// a packet that cannot be written is one that is lost.
func (l *line) carry(from *net.UDPConn, down bool, random *rand.Rand, write func([]byte)) {
	way := make(chan delayed, 8192)
	l.running.Go(func() {
		defer close(way)
		var free time.Time // when the queue is empty
		buffer := make([]byte, 2048)
		for {
			n, peer, err := from.ReadFromUDP(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // the hub has closed its socket: an ICMP message says so
			}
			if !down {
				l.peer.Store(peer)
			}
			now := time.Now()
			lost, at := random.Float64() < l.loss, now
			overflowed := false
			if down && l.rate > 0 {
				if free.Before(now) {
					free = now
				}
				overflowed = free.Sub(now).Seconds()*l.rate/8+float64(n+ipOverhead) > float64(l.queue)
				if !overflowed {
					free = free.Add(time.Duration(8 * float64(n+ipOverhead) / l.rate * float64(time.Second)))
					at = free
				}
			}
			if down {
				l.add(lost, overflowed)
			}
			if lost || overflowed {
				continue
			}
			select {
			case way <- delayed{append([]byte(nil), buffer[:n]...), at.Add(l.delay)}:
			default: // the writer is far behind: the machine is overloaded
			}
		}
	})
	l.running.Go(func() {
		for p := range way {
			time.Sleep(time.Until(p.at))
			write(p.payload)
		}
	})
}

func (l *line) add(lost, overflowed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count.packets++
	switch {
	case overflowed:
		l.count.overflowed++
	case lost:
		l.count.lost++
	}
}

func (l *line) counted() lineCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

var (
	udpCandidate = regexp.MustCompile(`(?m)^(a=candidate:\S+ \d+ udp \d+ )(\S+) (\d+)( typ host.*)$`)
	tcpCandidate = regexp.MustCompile(`(?m)^a=candidate:\S+ \d+ tcp .*\r?\n`)
)

// behindLines has next answer viewers whose request names a line by the header Line with candidates of that line.
func behindLines(t *testing.T, next http.Handler, media string, lines map[string]*line) http.Handler {
	t.Helper()
	hub, err := net.ResolveUDPAddr("udp4", media)
	if err != nil {
		t.Fatal(err)
	}
	ports := make(map[string]int)
	seed := uint64(0)
	for name, l := range lines {
		seed++
		ports[name] = l.open(t, hub, seed)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		port, ok := ports[q.Header.Get("Line")]
		if !ok || q.Method != http.MethodPost {
			next.ServeHTTP(w, q)
			return
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, q)
		body := tcpCandidate.ReplaceAllString(answer.Body.String(), "")
		body = udpCandidate.ReplaceAllStringFunc(body, func(candidate string) string {
			part := udpCandidate.FindStringSubmatch(candidate)
			return part[1] + "127.0.0.1 " + strconv.Itoa(port) + part[4]
		})
		for name, values := range answer.Header() {
			if !strings.EqualFold(name, "Content-Length") {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write([]byte(body))
	})
}
