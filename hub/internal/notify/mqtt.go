package notify

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"gridpost/devices/address"
	"gridpost/devices/mqtt"
	"gridpost/hub/internal/problem"
)

// mqttOutput publishes CloudEvents in structured JSON (CloudEvents MQTT binding 1.0, section 3.2: with MQTT 3.1.1 the
// payload is the whole event) with QoS 1, not retained. mqtts:// unless addresses inside the network are
// allowed.
type mqttOutput struct{}

// DefaultTopic is the topic of a target that names none.
const DefaultTopic = "gridpost/incidents"

// maxTopic is the longest topic in bytes.
const maxTopic = 500

func (mqttOutput) check(t Target, allowPrivate bool) error {
	b, err := address.ParseBroker(t.URL)
	switch {
	case err != nil:
		return problem.New("target_broker_invalid")
	case !b.TLS && !allowPrivate:
		return problem.New("target_broker_tls")
	}
	if ip, err := netip.ParseAddr(b.Name); err == nil && !allowPrivate && !public(ip) {
		return problem.New("target_address_private", "address", ip.String())
	}
	topic := t.Settings.Topic
	if len(topic) > maxTopic || !utf8.ValidString(topic) || strings.ContainsAny(topic, "+#\x00") || strings.HasPrefix(topic, "$") {
		return problem.New("target_topic_invalid")
	}
	_, err = pool(t.Settings.CA)
	return err
}

// pool returns the authorities of a broker's certificate; nil: the system's.
func pool(pem string) (*x509.CertPool, error) {
	if pem == "" {
		return nil, nil
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM([]byte(pem)) {
		return nil, problem.New("target_ca_invalid")
	}
	return p, nil
}

func (m mqttOutput) open(n *Notifier, t Target) (channel, error) {
	if err := m.check(t, n.o.AllowPrivate); err != nil {
		return nil, err
	}
	at, err := address.ParseBroker(t.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the address of a broker: %w", err)
	}
	server := mqtt.Server{
		// Two hubs may have a channel at the same time: one serves the target, the other one tests it.
		Address: at, ClientID: "gridpost-" + rand.Text()[:12], Username: t.Settings.Username, Password: t.Settings.Password, RootCAs: n.o.RootCAs,
	}
	if t.Settings.CA != "" {
		if server.RootCAs, err = pool(t.Settings.CA); err != nil {
			return nil, err
		}
	}
	if !n.o.AllowPrivate {
		server.Control = refuseInside
	}
	p, err := mqtt.NewPublisher(server)
	if err != nil {
		return nil, fmt.Errorf("preparing to publish: %w", err)
	}
	c := &mqttChannel{n: n, t: t, p: p, topic: t.Settings.Topic}
	if c.topic == "" {
		c.topic = DefaultTopic
	}
	return c, nil
}

type mqttChannel struct {
	n     *Notifier
	t     Target
	p     *mqtt.Publisher
	topic string
}

func (c *mqttChannel) send(ctx context.Context, d Delivery, _ earlierFunc) (response, error) {
	payload, err := c.n.body(c.t, d)
	if err != nil {
		return response{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.n.o.Timeout)
	defer cancel()
	if err := c.p.Send(ctx, c.topic, payload); err != nil {
		return response{}, &causedError{error: err, cause: c.p.Cause(err)}
	}
	return response{accepted: true}, nil
}

func (c *mqttChannel) close() { c.p.Close() }
