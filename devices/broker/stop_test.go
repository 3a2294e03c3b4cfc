package broker

import (
	"strconv"
	"sync"
	"testing"
)

// TestStopWhileClientsLeave stops the broker at the moment at which its clients close their connections, one after the
// other.
func TestStopWhileClientsLeave(t *testing.T) {
	for range 40 {
		s := &sink{}
		b, stop := startUntil(t, Options{Handle: s.handle})
		var clients []*peer
		for i := range 24 {
			p := dial(t, b)
			if code := p.hello(4, strconv.Itoa(i), "river", "s3cret", ""); code != 0 {
				t.Fatalf("logging in: %d", code)
			}
			clients = append(clients, p)
		}
		var leaving sync.WaitGroup
		leaving.Go(func() {
			for _, p := range clients {
				_ = p.Close()
			}
		})
		stop()
		leaving.Wait()
		if t.Failed() {
			return
		}
	}
}
