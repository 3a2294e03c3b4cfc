package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// receiver is a webhook target. It answers a little late, so that a delivery that is sent twice at the
// same time is noticed.
type receiver struct {
	server *httptest.Server
	url    string

	mu       sync.Mutex
	busy     map[string]bool        // deliveries that are being answered
	answered map[string][]time.Time // by webhook-id
	opened   map[string]bool        // incidents
	together int
	kills    []time.Time
}

const answerAfter = 50 * time.Millisecond

func newReceiver() (*receiver, error) {
	r := &receiver{busy: map[string]bool{}, answered: map[string][]time.Time{}, opened: map[string]bool{}}
	r.server = httptest.NewServer(r)
	r.url = r.server.URL + "/alerts"
	return r, nil
}

func (r *receiver) close() { r.server.Close() }

func (r *receiver) killed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kills = append(r.kills, time.Now())
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	id := q.Header.Get("webhook-id")
	body, err := io.ReadAll(io.LimitReader(q.Body, 1<<20))
	var event struct {
		Data struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err != nil || json.Unmarshal(body, &event) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	if r.busy[id] {
		r.together++
	}
	r.busy[id] = true
	r.mu.Unlock()
	time.Sleep(answerAfter)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, id)
	r.answered[id] = append(r.answered[id], time.Now())
	r.opened[event.Data.ID] = true
	w.WriteHeader(http.StatusNoContent)
}

// undone counts the committed incidents of which nothing has come.
func (r *receiver) undone(t *town) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t.committed.Range(func(id, _ any) bool {
		if !r.opened[id.(string)] { //nolint:forcetypeassert // its only type
			n++
		}
		return true
	})
	return n
}

// report counts the deliveries. A delivery that came again is excused when a hub was killed since it was
// answered: that hub could not record the answer any more.
func (r *receiver) report(f *failoverFigures, t *town) {
	f.Undone = r.undone(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	f.Delivered, f.Together = len(r.answered), r.together
	for _, times := range r.answered {
		for i := 1; i < len(times); i++ {
			f.Again++
			for _, k := range r.kills {
				if k.After(times[i-1].Add(-2*answerAfter)) && k.Before(times[i]) {
					f.Excused++
					break
				}
			}
		}
	}
}

// pipe copies between two connections until either ends.
func pipe(a, b net.Conn) {
	done := make(chan struct{}, 2)
	for _, p := range [][2]net.Conn{{a, b}, {b, a}} {
		go func() {
			_, _ = io.Copy(p[1], p[0]) // its end is the end of the connection, whatever the reason
			_, _ = a.Close(), b.Close()
			done <- struct{}{}
		}()
	}
	<-done
	<-done
}
