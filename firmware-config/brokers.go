package firmwareconfig

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gridpost/detection/rules/param"
	"gridpost/devices/address"
)

// EmbeddedBroker is the name of the broker inside the edge, as `broker:` of a sensor gives it.
const EmbeddedBroker = "embedded"

// MQTT is how messages of sensors arrive.
type MQTT struct {
	Listen      string     `yaml:"listen"`      // address of the embedded broker; empty: none
	TLSListen   string     `yaml:"tls_listen"`  // address of the embedded broker for TLS; empty: none
	Certificate string     `yaml:"certificate"` // path of a PEM file, for TLSListen
	Key         string     `yaml:"key"`         // path of a PEM file, of Certificate
	Users       []MQTTUser `yaml:"users"`       // who may publish to the embedded broker; nobody else may connect
	Brokers     []Broker   `yaml:"brokers"`
	Discover    []string   `yaml:"discover"` // formats whose devices are listed when they announce themselves
}

// Embedded reports whether the edge has a broker of its own.
func (m MQTT) Embedded() bool { return m.Listen != "" || m.TLSListen != "" }

// MQTTUser may publish to the topics named.
type MQTTUser struct {
	Name     string   `yaml:"name"`
	Password string   `yaml:"password"`
	Topics   []string `yaml:"topics"` // MQTT topic filters
}

// Broker is another broker of the site.
type Broker struct {
	Name        string         `yaml:"name"` // [a-z0-9-]{1,40}, unique; empty: it is known by its host and port
	URL         address.Broker `yaml:"url"`  // mqtt://, mqtts://
	ClientID    string         `yaml:"client_id"`
	Username    string         `yaml:"username"`
	Password    string         `yaml:"password"`
	CA          string         `yaml:"ca"`          // path of a PEM file; empty: the system's authorities
	Certificate string         `yaml:"certificate"` // path of a PEM file with the edge's certificate for this broker; empty: none
	Key         string         `yaml:"key"`         // path of a PEM file, of Certificate
}

// Source is the name of the broker in devices.Message.Source and in Sensor.Broker.
func (b Broker) Source() string {
	if b.Name != "" {
		return b.Name
	}
	return b.URL.Host
}

func (p *parser) mqtt(v value, m *MQTT) {
	users := firsts{}
	v.fields(
		may("listen", func(v value) { v.listen(&m.Listen) }),
		may("tls_listen", func(v value) { v.listen(&m.TLSListen) }),
		may("certificate", by(param.Text(&m.Certificate))),
		may("key", by(param.Text(&m.Key))),
		may("users", func(v value) {
			v.items(maxUsers, func(v value) { m.Users = append(m.Users, p.user(v, users)) })
		}),
		may("discover", func(v value) { v.discover(&m.Discover) }),
		may("brokers", func(v value) {
			v.items(maxBrokers, func(v value) {
				m.Brokers = append(m.Brokers, p.broker(v))
				p.brokerValues = append(p.brokerValues, v)
			})
		}),
	)
	if m.TLSListen != "" {
		v.needs(m.Certificate, "certificate", "a PEM file beside tls_listen")
	}
	v.pair(m.Certificate, m.Key)
}

func (p *parser) user(v value, names firsts) MQTTUser {
	var u MQTTUser
	v.fields(
		must("name", func(v value) {
			v.login(&u.Name)
			names.once(v, u.Name, "user")
		}),
		must("password", func(v value) { v.secret(&u.Password) }),
		must("topics", func(v value) {
			v.items(maxTopics, func(v value) {
				var t string
				v.topic(&t)
				u.Topics = append(u.Topics, t)
			})
			if v.node.Content == nil {
				v.fail("expected at least one topic, found none")
			}
		}),
	)
	return u
}

func (p *parser) broker(v value) Broker {
	var b Broker
	v.fields(
		may("name", func(v value) {
			v.name(&b.Name)
			if _, err := strconv.Atoi(b.Name); err == nil || b.Name == EmbeddedBroker {
				v.fail("expected a name that is neither a number nor %s, found %s", EmbeddedBroker, v.found())
			}
		}),
		must("url", addressOf(&b.URL, address.ParseBroker)),
		may("client_id", func(v value) { v.clientID(&b.ClientID) }),
		may("username", func(v value) { v.login(&b.Username) }),
		may("password", func(v value) { v.secret(&b.Password) }),
		may("ca", by(param.Text(&b.CA))),
		may("certificate", by(param.Text(&b.Certificate))),
		may("key", by(param.Text(&b.Key))),
	)
	if b.Password != "" && b.Username == "" {
		v.p.fail(v.node.Line, v.join("username"), "expected a name beside the password, found nothing")
	}
	plain := b.URL.Host != "" && !b.URL.TLS
	if b.CA != "" && plain {
		v.p.fail(v.node.Line, v.join("ca"), "expected an mqtts:// address beside a certificate authority, found mqtt://")
	}
	if b.Certificate != "" && plain {
		v.p.fail(v.node.Line, v.join("certificate"), "expected an mqtts:// address beside a certificate, found mqtt://")
	}
	v.pair(b.Certificate, b.Key)
	return b
}

// pair reports a certificate without its key, and a key without its certificate.
func (v value) pair(certificate, key string) {
	if certificate != "" {
		v.needs(key, "key", "the PEM file of the certificate's key")
	}
	if key != "" {
		v.needs(certificate, "certificate", "the PEM file of the key's certificate")
	}
}

func (v value) needs(given, key, what string) {
	if given == "" {
		v.p.fail(v.node.Line, v.join(key), "expected %s, found nothing", what)
	}
}

// maxClientID bounds a client ID in bytes, as AWS IoT does. Others take more.
const maxClientID = 128

// clientID reads the client ID of a connection to a broker (MQTT 3.1.1, section 3.1.3.1).
func (v value) clientID(dst *string) {
	s, ok := v.Text()
	if !ok {
		return
	}
	if s == "" || len(s) > maxClientID || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		v.fail("expected a client ID of 1 to %d bytes without control characters, found another text", maxClientID)
		return
	}
	*dst = s
}

// checkTwins refuses two entries that are the same client of one broker: each would end the other's
// connection, for ever (MQTT 3.1.1, section 3.1.4). It also refuses two of one name.
func (p *parser) checkTwins(doc *Document) {
	names, clients := map[string]int{}, map[string]int{}
	for i, b := range doc.MQTT.Brokers {
		v := p.brokerValues[i]
		if b.URL.Host == "" { // reported
			continue
		}
		client := strings.ToLower(b.URL.Host) + "\n" + b.ClientID
		if line, twice := clients[client]; twice {
			p.fail(v.node.Line, v.join("client_id"), "expected a client ID of its own for the second connection to one broker, found that of the entry on line %d", line)
			continue
		}
		clients[client] = v.node.Line
		name := strings.ToLower(b.Source())
		if line, twice := names[name]; twice {
			p.fail(v.node.Line, v.join("name"), "expected a name that no other broker has, found that of the entry on line %d", line)
			continue
		}
		names[name] = v.node.Line
	}
}

// brokerReference is the key `broker` of a sensor, to be looked up when the whole document is known.
type brokerReference struct {
	at   value
	name string
}

// sensorBroker reads which broker a sensor is at, as the document names it.
func (p *parser) sensorBroker(v value, dst *string) {
	if name, ok := v.Text(); ok && name != "" {
		*dst = name
		p.brokerReferences = append(p.brokerReferences, brokerReference{v, name})
	}
}

// resolveBrokers looks up the brokers that the sensors name: `embedded`, a name, or the number in
// mqtt.brokers[0].
func (p *parser) resolveBrokers(doc *Document) {
	setBrokerDefaults(doc)
	p.checkTwins(doc)
	known := map[string]string{}
	for i, b := range doc.MQTT.Brokers {
		known[strconv.Itoa(i)] = b.Source()
	}
	for _, b := range doc.MQTT.Brokers {
		known[b.Source()] = b.Source()
	}
	if doc.MQTT.Embedded() {
		known[EmbeddedBroker] = EmbeddedBroker
	}
	for _, r := range p.brokerReferences {
		if known[r.name] == "" {
			r.at.fail("expected %s, or the name or number of an entry of mqtt.brokers, found %s", EmbeddedBroker, r.at.found())
		}
	}
	for i := range doc.Sensors {
		doc.Sensors[i].Broker = known[doc.Sensors[i].Broker]
	}
	for i := range doc.Templates {
		doc.Templates[i].Broker = known[doc.Templates[i].Broker]
	}
}

// setBrokerDefaults fills in what the document left out. The client ID is the same after each start:
// the broker holds messages for it meanwhile.
func setBrokerDefaults(doc *Document) {
	for i := range doc.MQTT.Brokers {
		if b := &doc.MQTT.Brokers[i]; b.ClientID == "" {
			b.ClientID = "gridpost-" + doc.Edge
		}
	}
}

// mqttNotes remarks on what a person may not have meant.
func mqttNotes(doc *Document, note func(format string, args ...any)) {
	m := doc.MQTT
	if m.Embedded() && len(m.Users) == 0 {
		note("mqtt.users: the embedded broker has no users, so nobody can publish to it")
	}
	if !m.Embedded() && len(m.Users) > 0 {
		note("mqtt.listen: there are users but no embedded broker to use")
	}
	if m.TLSListen == "" && m.Certificate != "" {
		note("mqtt.certificate: without tls_listen it is not used")
	}
	if len(doc.Sensors)+len(doc.Templates) > 0 && !m.Embedded() && len(m.Brokers) == 0 {
		note("mqtt: there are sensors but no broker through which their messages arrive")
	}
	for i, b := range m.Brokers {
		if !b.URL.TLS && b.Password != "" {
			note("mqtt.brokers[%d].url: the password travels unencrypted; mqtts:// would protect it", i)
		}
		if len(doc.Filters(b.Source())) == 0 {
			note("mqtt.brokers[%d]: no sensor is at this broker, so it is not used", i)
		}
	}
	if len(m.Brokers) > 1 {
		for i, s := range doc.Sensors {
			if s.Broker == "" {
				note("sensors[%d].broker (%s): there are several brokers and it names none, so its topic is subscribed to at all of them", i, s.Name)
			}
		}
	}
}
