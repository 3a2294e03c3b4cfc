package app

import (
	"slices"
	"strings"

	"gridpost/devices"
	"gridpost/devices/mqtt"
	"gridpost/edge/internal/brokers"
	"gridpost/edge/internal/health"
	"gridpost/edge/internal/reconcile"

	firmwareconfig "gridpost/firmware-config"
)

// brokerKey begins the keys of brokers' problems.
const brokerKey = "broker "

// embeddedName is the name of the embedded broker's component. No other broker has it.
const embeddedName = firmwareconfig.EmbeddedBroker

// outsideSpec is all that the subscriber of another broker is made of.
type outsideSpec struct {
	broker  firmwareconfig.Broker
	filters []string
	long    []string // topics on which long messages are expected
}

// embeddedSpec is all that the embedded broker is made of.
type embeddedSpec struct {
	config firmwareconfig.MQTT
	long   []string
}

// wantedBrokers returns the components that receive messages of sensors. Each broker gets the topics
// of its own sensors. One without sensors runs too: it may have a session of this edge to be removed.
func (e *edge) wantedBrokers(doc *firmwareconfig.Document) []reconcile.Wanted {
	var all []reconcile.Wanted
	if doc.MQTT.Embedded() {
		spec := embeddedSpec{doc.MQTT, doc.LongTopics()}
		spec.config.Brokers, spec.config.Discover = nil, nil
		all = append(all, reconcile.Wanted{Name: embeddedName, Spec: spec, New: func(reconcile.Component) (reconcile.Component, error) {
			return e.newEmbedded(spec), nil
		}})
	}
	for _, b := range doc.MQTT.Brokers {
		name := b.Source()
		spec := outsideSpec{b, doc.Filters(name), doc.LongTopics()}
		all = append(all, reconcile.Wanted{Name: name, Spec: spec, New: func(reconcile.Component) (reconcile.Component, error) {
			return e.newOutside(name, spec)
		}})
	}
	return all
}

func (e *edge) newEmbedded(spec embeddedSpec) *brokers.Embedded {
	b := &brokers.Embedded{
		Config: spec.config, Long: spec.long, Handle: e.submit, Listening: e.o.Listening, Logger: e.o.Logger,
		OnState: func(cause devices.Cause) { e.health.Set(health.Blind, brokerKey+embeddedName, cause) },
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running.embedded = b
	return b
}

func (e *edge) newOutside(name string, spec outsideSpec) (*mqtt.Subscriber, error) {
	sub, err := brokers.NewOutside(brokers.OutsideOptions{
		Config: spec.broker, Filters: spec.filters, Dir: e.o.Dir, Long: spec.long, Handle: e.submit, Logger: e.o.Logger,
		OnState:   func(cause devices.Cause) { e.health.Set(health.Blind, brokerKey+name, cause) },
		OnRefused: func(filters []string) { e.topicsRefused(name, spec.broker.URL.Host, filters) },
	})
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running.outside[name] = sub
	return sub, nil
}

func (e *edge) brokerFailed(name string, err error) {
	reason := "it stopped by itself"
	if err != nil {
		reason = err.Error()
	}
	e.o.Logger.Error("a broker cannot be used", "broker", name, "error", reason)
	e.health.Set(health.Blind, brokerKey+name, devices.NewCause("broker_failed", "broker", name, "reason", reason))
}

func (e *edge) brokerStopped(name string, c reconcile.Component, wanted bool) {
	e.mu.Lock()
	switch b := c.(type) {
	case *brokers.Embedded:
		e.running.embedded = nil
	case *mqtt.Subscriber:
		e.gone["edge_messages_dropped_total"] += b.Stats().Dropped
		e.gone["edge_messages_too_long_total"] += b.Stats().TooLong
		delete(e.running.outside, name)
	}
	e.mu.Unlock()
	if !wanted {
		e.health.Clear(brokerKey + name)
		e.topicsRefused(name, "", nil)
	}
}

// refusedTopics are the filters that a broker refuses.
type refusedTopics struct {
	host    string
	filters []string
}

// topicsRefused notes which filters a broker refuses, and makes that the state of the sensors that cannot be
// heard because of it.
func (e *edge) topicsRefused(name, host string, filters []string) {
	key := brokerKey + name + " topics"
	e.mu.Lock()
	if e.refused[name] = (refusedTopics{host, filters}); len(filters) == 0 {
		delete(e.refused, name)
	}
	doc := e.document
	e.mu.Unlock()
	if len(filters) == 0 {
		e.health.Clear(key)
	} else {
		e.health.Set(health.Blind, key, devices.NewCause("broker_topics_refused", "broker", host, "topics", firstTopics(filters)))
	}
	for _, s := range doc.Sensors {
		cause := e.refusalOf(s)
		st, _ := e.states.Get(s.Name)
		switch {
		case !cause.IsZero():
			e.states.Set(s.Name, devices.Offline, cause)
		case st.Cause.Code == cause.Code || st.Cause.Code != "broker_topics_refused":
		default:
			e.states.Set(s.Name, devices.Unknown, devices.NewCause("device_not_heard"))
		}
	}
}

// refusalOf returns the cause if a topic of a sensor is refused by the only broker at which it may be.
func (e *edge) refusalOf(s firmwareconfig.Sensor) devices.Cause {
	e.mu.Lock()
	defer e.mu.Unlock()
	source := s.Broker
	if source == "" && len(e.document.MQTT.Brokers) == 1 && !e.document.MQTT.Embedded() {
		source = e.document.MQTT.Brokers[0].Source()
	}
	r, ok := e.refused[source]
	if !ok {
		return devices.Cause{}
	}
	// A filter of a template covers those of its sensors.
	own := slices.DeleteFunc(s.Filters(), func(f string) bool {
		return !slices.ContainsFunc(r.filters, func(refused string) bool { return refused == f || devices.TopicMatches(refused, f) })
	})
	if len(own) == 0 {
		return devices.Cause{}
	}
	return devices.NewCause("broker_topics_refused", "broker", r.host, "topics", firstTopics(own))
}

// brokerCause says why messages of a sensor may not arrive.
func (e *edge) brokerCause(s firmwareconfig.Sensor) devices.Cause {
	if cause := e.refusalOf(s); !cause.IsZero() {
		return cause
	}
	return e.health.Find(brokerKey + s.Broker)
}

// messageProblems returns what was wrong with messages lately.
func (e *edge) messageProblems() []devices.Cause {
	e.mu.Lock()
	embedded := e.running.embedded
	var names []string
	for name := range e.running.outside {
		names = append(names, name)
	}
	slices.Sort(names)
	var outside []*mqtt.Subscriber
	for _, name := range names {
		outside = append(outside, e.running.outside[name])
	}
	e.mu.Unlock()
	var all []devices.Cause
	if embedded != nil {
		all = embedded.Problems()
	}
	for _, sub := range outside {
		all = append(all, sub.Problems()...)
	}
	return all
}

// firstTopics joins the first of a list of topics.
func firstTopics(all []string) string {
	const most = 5
	text := strings.Join(all[:min(len(all), most)], ", ")
	if len(all) > most {
		text += ", …"
	}
	return text
}
