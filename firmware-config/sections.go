package firmwareconfig

import (
	"fmt"
	"math"
	"strings"
	"time"

	"gridpost/detection/rules/param"
	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/devices/decode"
)

// Bounds of a document's lists. They keep a mistake of a generator from becoming a thousand
// processes; no site comes near them.
const (
	maxCameras = 256
	maxSensors = 4096
	maxBrokers = 16
	maxUsers   = 4096
	maxTopics  = 64
	maxRules   = 64
)

func (p *parser) document(v value, doc *Document) {
	names := firsts{}
	v.fields(
		must("edge", func(v value) { v.name(&doc.Edge) }),
		may("hub", func(v value) {
			v.fields(may("url", addressOf(&doc.Hub.URL, address.ParseHub)))
		}),
		may("mqtt", func(v value) { p.mqtt(v, &doc.MQTT) }),
		may("detection", func(v value) { p.detection(v, &doc.Detection) }),
		may("cameras", func(v value) {
			v.items(maxCameras, func(v value) { doc.Cameras = append(doc.Cameras, p.camera(v, names)) })
		}),
		may("sensors", func(v value) {
			v.items(maxSensors, func(v value) { doc.Sensors = append(doc.Sensors, p.sensor(v, names)) })
		}),
	)
}

func (p *parser) mqtt(v value, m *MQTT) {
	users := firsts{}
	v.fields(
		may("listen", func(v value) { v.listen(&m.Listen) }),
		may("users", func(v value) {
			v.items(maxUsers, func(v value) { m.Users = append(m.Users, p.user(v, users)) })
		}),
		may("brokers", func(v value) {
			v.items(maxBrokers, func(v value) { m.Brokers = append(m.Brokers, p.broker(v)) })
		}),
	)
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
		must("url", addressOf(&b.URL, address.ParseBroker)),
		may("username", func(v value) { v.login(&b.Username) }),
		may("password", func(v value) { v.secret(&b.Password) }),
		may("ca", by(param.Text(&b.CA))),
	)
	if b.Password != "" && b.Username == "" {
		v.p.fail(v.node.Line, v.join("username"), "expected a name beside the password, found nothing")
	}
	if b.CA != "" && b.URL.Host != "" && !b.URL.TLS {
		v.p.fail(v.node.Line, v.join("ca"), "expected an mqtts:// address beside a certificate authority, found mqtt://")
	}
	return b
}

func (p *parser) detection(v value, d *Detection) {
	v.fields(
		may("model", by(param.Text(&d.Model))),
		may("labels", by(param.Text(&d.Labels))),
		may("rate", by(param.Number(&d.Rate, 1, 30))),
		may("memory", by(param.Number(&d.Memory, 256, 4096))),
	)
	if d.Labels != "" && d.Model == "" {
		v.p.fail(v.node.Line, v.join("model"), "expected an ONNX file beside the labels, found nothing")
	}
}

func (p *parser) camera(v value, names firsts) Camera {
	var c Camera
	v.fields(
		must("name", func(v value) {
			v.name(&c.Name)
			names.once(v, c.Name, "device")
		}),
		must("url", addressOf(&c.URL, address.ParseStream)),
		may("detect", addressOf(&c.Detect, address.ParseStream)),
		may("transport", by(param.OneOf(&c.Transport, "auto", "tcp", "udp"))),
		may("place", func(v value) { c.Place = p.place(v, devices.Camera) }),
		may("rules", func(v value) { c.Rules = p.rules(v, devices.Camera) }),
	)
	return c
}

func (p *parser) sensor(v value, names firsts) Sensor {
	var s Sensor
	v.fields(
		must("name", func(v value) {
			v.name(&s.Name)
			names.once(v, s.Name, "device")
		}),
		must("topic", func(v value) { v.topic(&s.Topic) }),
		may("value", func(v value) { v.jsonPath(&s.Value) }),
		may("time", func(v value) { v.jsonPath(&s.Time) }),
		may("unit", func(v value) { v.unit(&s.Unit) }),
		may("scale", func(v value) {
			param.Number(&s.Scale, -math.MaxFloat64, math.MaxFloat64)(v)
			if s.Scale == 0 {
				v.fail("expected a factor other than 0, found %s", v.found())
			}
		}),
		may("every", by(param.Duration(&s.Every, 100*time.Millisecond, param.Longest))),
		may("place", func(v value) { s.Place = p.place(v, devices.Sensor) }),
		may("rules", func(v value) { s.Rules = p.rules(v, devices.Sensor) }),
	)
	return s
}

// place reads where a device stands. The keys about what a device sees are for cameras only.
func (p *parser) place(v value, kind devices.Kind) *devices.Place {
	var pl devices.Place
	heading := false
	fields := []field{
		must("lat", by(param.Number(&pl.Lat, -90, 90))),
		must("lon", by(param.Number(&pl.Lon, -180, 180))),
		may("height", by(param.Number(&pl.Height, -500, 1000))),
	}
	if kind == devices.Camera {
		fields = append(fields,
			may("heading", func(v value) {
				heading = true
				param.Number(&pl.Heading, 0, 360)(v)
			}),
			may("fov", by(param.Number(&pl.FOV, 0, 360))),
			may("range", by(param.Number(&pl.Range, 0, 10000))),
		)
	}
	v.fields(fields...)
	if pl.FOV > 0 && pl.FOV < 360 && !heading {
		v.p.fail(v.node.Line, v.join("heading"), "expected degrees clockwise from north beside fov, found nothing")
	}
	return &pl
}

// jsonPath reads the path of a value within a JSON payload.
func (v value) jsonPath(dst *decode.Path) {
	s, ok := v.Text()
	if !ok || s == "" {
		return
	}
	p, err := decode.ParsePath(s)
	if err != nil {
		v.fail("%s, found %s", err, v.found())
		return
	}
	*dst = p
}

// unit reads a unit of measurement: a few printable characters.
func (v value) unit(dst *string) {
	s, ok := v.Text()
	if !ok {
		return
	}
	if len([]rune(s)) > 20 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		v.fail("expected a unit of at most 20 characters such as m, %% or °C, found %s", v.found())
		return
	}
	*dst = s
}

// firsts maps each name to the line on which it was given first.
type firsts map[string]int

// once reports a name that has been given before. The problem of an empty name has been reported.
func (f firsts) once(v value, name, what string) {
	if name == "" {
		return
	}
	if line, twice := f[name]; twice {
		v.fail("expected a name that no other %s has, found %s, which is already on line %d", what, quote(name), line)
		return
	}
	f[name] = v.node.Line
}

// setDefaults fills in what the document left out of itself and its devices. The defaults of rules
// belong to their kinds.
func setDefaults(doc *Document) {
	if doc.Detection.Rate == 0 {
		doc.Detection.Rate = 10
	}
	if doc.Detection.Memory == 0 {
		doc.Detection.Memory = 1024
	}
	for i := range doc.Cameras {
		c := &doc.Cameras[i]
		if c.Transport == "" {
			c.Transport = "auto"
		}
	}
	for i := range doc.Sensors {
		s := &doc.Sensors[i]
		if s.Scale == 0 {
			s.Scale = 1
		}
	}
}

// Notes returns remarks on an accepted document: nothing that is wrong, but what a person may
// not have meant. Each begins with the key that it is about.
func Notes(doc *Document) []string {
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if doc.Hub.URL == "" {
		note("hub.url: no hub is named, so incidents stay on this edge")
	}
	if len(doc.Cameras)+len(doc.Sensors) == 0 {
		note("cameras, sensors: there are none, so there is nothing to watch")
	}
	if doc.MQTT.Listen != "" && len(doc.MQTT.Users) == 0 {
		note("mqtt.users: the embedded broker has no users, so nobody can publish to it")
	}
	if doc.MQTT.Listen == "" && len(doc.MQTT.Users) > 0 {
		note("mqtt.listen: there are users but no embedded broker to use")
	}
	if len(doc.Sensors) > 0 && doc.MQTT.Listen == "" && len(doc.MQTT.Brokers) == 0 {
		note("mqtt: there are sensors but no broker through which their messages arrive")
	}
	for i, b := range doc.MQTT.Brokers {
		if !b.URL.TLS && b.Password != "" {
			note("mqtt.brokers[%d].url: the password travels unencrypted; mqtts:// would protect it", i)
		}
	}
	if doc.Detection.Model != "" && doc.Detection.Labels == "" {
		note("detection.labels: a model without labels names its classes by number")
	}
	for i, c := range doc.Cameras {
		if c.Place == nil {
			note("cameras[%d] (%s): it has no place, so it is never among the nearby cameras", i, c.Name)
		}
		for j, r := range c.Rules {
			if len(r.Terms.Describe().Classes) > 0 && doc.Detection.Model == "" {
				note("cameras[%d].rules[%d].classes (%s/%s): without a model everything that moves counts, whatever its class", i, j, c.Name, r.Name)
			}
		}
	}
	return notes
}
