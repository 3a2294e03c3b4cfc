package mqtt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"gridpost/devices"
	"gridpost/devices/retry"
)

// perPacket bounds the filters in one SUBSCRIBE and UNSUBSCRIBE: AWS IoT ends the connection for more.
const perPacket = 8

// newRefusedWait returns the waits until a filter that was refused is asked for again. costly: the broker
// ended the connection because of it.
func newRefusedWait(costly bool) *retry.Backoff {
	if costly {
		return retry.Policy{First: 20 * time.Minute, Longest: 2 * time.Hour}.New()
	}
	return retry.Policy{First: time.Minute, Longest: 15 * time.Minute}.New()
}

// filters is what is known about the filters of a Subscriber. It belongs to Run's goroutine.
type filters struct {
	wanted  []string // sorted
	granted map[string]bool
	wide    []string // of granted, those with wildcards
	refused map[string]*refusal

	// Filters of a SUBSCRIBE that the broker answered by ending the connection. Each is then asked for alone,
	// so that the one at fault is found.
	suspect map[string]bool
}

// refusal is a filter that the broker refused.
type refusal struct {
	wait  *retry.Backoff
	again time.Time
}

func newFilters(wanted []string) *filters {
	return &filters{wanted: sorted(wanted), refused: map[string]*refusal{}, suspect: map[string]bool{}}
}

// missing returns the filters to ask for now: those that no granted one covers, less those that were refused
// and whose time has not come. Of several that cover each other it returns the widest: a broker would send a
// message once for each.
func (f *filters) missing(now time.Time) []string {
	var all []string
	for _, filter := range f.wanted {
		if r := f.refused[filter]; !f.covered(filter) && (r == nil || !now.Before(r.again)) {
			all = append(all, filter)
		}
	}
	wide := slices.DeleteFunc(slices.Clone(all), isExact)
	return slices.DeleteFunc(all, func(narrow string) bool {
		return slices.ContainsFunc(wide, func(wide string) bool { return wide != narrow && devices.FilterCovers(wide, narrow) })
	})
}

// isExact reports whether a filter names one topic, and so covers no other filter.
func isExact(filter string) bool { return !strings.ContainsAny(filter, "+#") }

func (f *filters) covered(filter string) bool {
	return f.granted[filter] || slices.ContainsFunc(f.wide, func(wide string) bool { return devices.FilterCovers(wide, filter) })
}

// next returns the filters of the next SUBSCRIBE; none when there is nothing to ask for.
func (f *filters) next(now time.Time) []string {
	missing := f.missing(now)
	sound := slices.DeleteFunc(slices.Clone(missing), func(filter string) bool { return f.suspect[filter] })
	if len(sound) == 0 {
		return missing[:min(len(missing), 1)]
	}
	return sound[:min(len(sound), perPacket)]
}

func (f *filters) grant(filter string) {
	f.granted[filter] = true
	if !isExact(filter) {
		f.wide = append(f.wide, filter)
	}
	delete(f.refused, filter)
	delete(f.suspect, filter)
}

func (f *filters) refuse(filter string, now time.Time, costly bool) {
	r := f.refused[filter]
	if r == nil {
		r = &refusal{wait: newRefusedWait(costly)}
		f.refused[filter] = r
	}
	r.again = now.Add(r.wait.Next())
}

// blame notes that the connection ended while filters were asked for.
func (f *filters) blame(asked []string, now time.Time) {
	if len(asked) == 1 && f.suspect[asked[0]] {
		f.refuse(asked[0], now, true)
		return
	}
	for _, filter := range asked {
		f.suspect[filter] = true
	}
}

// wait returns how long until a filter that was refused is to be asked for again.
func (f *filters) wait(now time.Time) time.Duration {
	wait := 24 * time.Hour
	for filter, r := range f.refused {
		if !f.covered(filter) {
			wait = min(wait, max(r.again.Sub(now), time.Second))
		}
	}
	return wait
}

// deaf returns the wanted filters that were refused and that no granted one covers.
func (f *filters) deaf() []string {
	var all []string
	for _, filter := range f.wanted {
		if f.refused[filter] != nil && !f.covered(filter) {
			all = append(all, filter)
		}
	}
	return all
}

// subscription asks the broker over one connection.
type subscription struct {
	client paho.Client
	conn   *conn
	tidied bool // what left the document has been unsubscribed from
}

// subscribe asks for all filters that are missing, a few at a time, and looks at each answer: a broker that
// knows the session may still have lost its subscriptions. A filter that is refused costs no other. Then it
// unsubscribes from what this client once subscribed to and does not want any more.
func (s *Subscriber) subscribe(ctx context.Context, sub *subscription) error {
	f := s.filters
	if !sub.tidied {
		f.granted, f.wide = map[string]bool{}, nil
	}
	known := s.remember(sub)
	for asked := f.next(time.Now()); len(asked) > 0; asked = f.next(time.Now()) {
		granted, err := sub.ask(ctx, asked)
		if err != nil {
			f.blame(asked, time.Now())
			s.reportRefused()
			return fmt.Errorf("subscribing: %w", err)
		}
		for _, filter := range asked {
			if granted[filter] {
				f.grant(filter)
			} else {
				f.refuse(filter, time.Now(), false)
			}
		}
	}
	s.reportRefused()
	if sub.tidied {
		return nil
	}
	stale := slices.DeleteFunc(known, func(filter string) bool { return f.granted[filter] })
	for group := range slices.Chunk(stale, perPacket) {
		if err := await(ctx, sub.client.Unsubscribe(group...)); err != nil {
			return fmt.Errorf("unsubscribing: %w", err)
		}
	}
	sub.tidied = true
	s.save(known, f.wanted)
	return nil
}

// remember notes what is about to be subscribed to, and returns what has been before. A memory that fails
// costs no messages: at worst, ones come that nobody wants.
func (s *Subscriber) remember(sub *subscription) []string {
	if s.o.Memory == nil || sub.tidied {
		return nil
	}
	known, err := s.o.Memory.Load()
	if err != nil {
		s.o.Logger.Warn("what was subscribed to before is not known", "broker", s.name(), "error", err)
	}
	known = sorted(known)
	s.save(known, append(slices.Clone(known), s.filters.wanted...))
	return known
}

func (s *Subscriber) save(known, filters []string) {
	filters = sorted(filters)
	if s.o.Memory == nil || slices.Equal(known, filters) {
		return
	}
	if err := s.o.Memory.Save(filters); err != nil {
		s.o.Logger.Warn("what is subscribed to could not be saved", "broker", s.name(), "error", err)
	}
}

// reportRefused passes on which topics are not heard.
func (s *Subscriber) reportRefused() {
	deaf := s.filters.deaf()
	if s.asked && slices.Equal(deaf, s.deaf) {
		return
	}
	s.asked, s.deaf = true, deaf
	if len(deaf) > 0 {
		s.o.Logger.Warn("the broker refuses topics; they are asked for again from time to time", "broker", s.name(), "topics", firstOf(deaf))
	}
	s.o.OnRefused(deaf)
}

// firstOf joins the first filters of a list.
func firstOf(filters []string) string {
	const most = 5
	text := strings.Join(filters[:min(len(filters), most)], ", ")
	if len(filters) > most {
		text += fmt.Sprintf(" and %d more", len(filters)-most)
	}
	return text
}

// ask sends one SUBSCRIBE and returns which filters the broker granted.
func (sub *subscription) ask(ctx context.Context, asked []string) (map[string]bool, error) {
	qos := make(map[string]byte, len(asked))
	for _, f := range asked {
		qos[f] = 1
	}
	sub.conn.expected.Store(int32(len(asked))) //nolint:gosec // at most perPacket
	t := sub.client.SubscribeMultiple(qos, nil)
	if err := await(ctx, t); err != nil {
		return nil, err
	}
	st, ok := t.(*paho.SubscribeToken)
	if !ok {
		return nil, errors.New("no answer to read")
	}
	granted := map[string]bool{}
	for filter, code := range st.Result() {
		granted[filter] = code <= 2 // MQTT 3.1.1, section 3.9.3: 0x80 is failure
	}
	return granted, nil
}
