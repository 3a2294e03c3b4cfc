package firmwareconfig

import (
	"fmt"
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
	p.readSchedules(v, doc)
	v.fields(
		may("time_zone", func(value) {}), // has been read
		may("schedules", func(value) {}),
		must("edge", func(v value) { v.name(&doc.Edge) }),
		may("title", func(v value) { v.title(&doc.Title) }),
		may("hub", func(v value) {
			v.fields(
				may("url", addressOf(&doc.Hub.URL, address.ParseHub)),
				may("upload", by(param.Number(&doc.Hub.Upload, 0.1, 10_000))),
			)
		}),
		may("mqtt", func(v value) { p.mqtt(v, &doc.MQTT) }),
		may("detection", func(v value) { p.detection(v, &doc.Detection) }),
		may("clips", func(v value) { p.clips(v, &doc.Clips) }),
		may("cameras", func(v value) {
			v.items(maxCameras, func(v value) { doc.Cameras = append(doc.Cameras, p.camera(v, names)) })
		}),
		may("sensors", func(v value) {
			v.items(maxSensors, func(v value) {
				s, template := p.sensor(v, names)
				if template {
					doc.Templates = append(doc.Templates, Template{s})
				} else {
					doc.Sensors = append(doc.Sensors, s)
				}
			})
		}),
	)
	p.resolveBrokers(doc)
}

func (p *parser) camera(v value, names firsts) Camera {
	var c Camera
	v.fields(
		must("name", func(v value) {
			v.name(&c.Name)
			names.once(v, c.Name, "device")
		}),
		may("title", func(v value) { v.title(&c.Title) }),
		must("url", addressOf(&c.URL, address.ParseStream)),
		may("detect", addressOf(&c.Detect, address.ParseStream)),
		may("transport", by(param.OneOf(&c.Transport, "auto", "tcp", "udp"))),
		may("fingerprint", func(v value) { v.fingerprint(&c.Fingerprint) }),
		may("record", by(param.OneOf(&c.Record, RecordClips, RecordNothing))),
		may("place", func(v value) { c.Place = p.place(v, devices.Camera) }),
		may("rules", func(v value) { c.Rules = p.rules(v, devices.Camera) }),
	)
	p.checkFingerprint(v, c)
	return c
}

// sensor reads a sensor, or a template of sensors.
func (p *parser) sensor(v value, names firsts) (s Sensor, template bool) {
	var name, topic, title value
	v.fields(append(p.valueFields(&s.ValueMapping),
		must("name", func(v value) {
			name = v
			v.sensorName(&s.Name)
			names.once(v, s.Name, "device")
		}),
		may("title", func(v value) {
			title = v
			v.title(&s.Title)
		}),
		may("class", by(param.OneOf(&s.Class, devices.Classes()...))),
		may("format", func(v value) { v.sensorFormat(&s.Format) }),
		must("topic", func(v value) {
			topic = v
			v.topic(&s.Topic)
		}),
		may("availability", func(v value) { v.availability(&s.Availability) }),
		may("broker", func(v value) { p.sensorBroker(v, &s.Broker) }),
		may("every", by(param.Duration(&s.Every, 100*time.Millisecond, param.Longest))),
		may("place", func(v value) { s.Place = p.place(v, devices.Sensor) }),
		may("rules", func(v value) { s.Rules = p.rules(v, devices.Sensor) }),
	)...)
	v.checkValues(&s.ValueMapping)
	v.checkClass(s)
	s.deviceTopic(topic)
	template = s.isTemplate(name, topic)
	if template && !s.Title.IsZero() {
		title.checkTemplateTitle(s.Title)
	}
	return s, template
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
	doc.Clips = doc.Clips.withDefaults()
	for i := range doc.Cameras {
		c := &doc.Cameras[i]
		if c.Transport == "" {
			c.Transport = "auto"
		}
		if c.Record == "" {
			c.Record = RecordClips
		}
		if c.Record == RecordClips {
			c.Clips = doc.Clips
		}
	}
	for i := range doc.Templates {
		setSensorDefaults(&doc.Templates[i].Sensor)
	}
	for i := range doc.Sensors {
		setSensorDefaults(&doc.Sensors[i])
	}
}

func setSensorDefaults(s *Sensor) {
	if s.Scale == 0 {
		s.Scale = 1
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
	if len(doc.Cameras)+len(doc.Sensors)+len(doc.Templates) == 0 {
		note("cameras, sensors: there are none, so there is nothing to watch")
	}
	mqttNotes(doc, note)
	if doc.Detection.Model != "" && doc.Detection.Labels == "" {
		note("detection.labels: without labels the names in the model count, or those of COCO if it has 80 classes")
	}
	for i, c := range doc.Cameras {
		if c.Place == nil {
			note("cameras[%d] (%s): it has no place, so it is never among the nearby cameras", i, c.Name)
		}
		for j, r := range c.Rules {
			switch about := r.Terms.Describe(); {
			case doc.Detection.Model != "":
			case about.Model:
				note("cameras[%d].rules[%d].kind (%s/%s): without a model a rule of the kind %s never opens an incident", i, j, c.Name, r.Name, r.Kind)
			case len(about.Classes) > 0:
				note("cameras[%d].rules[%d].classes (%s/%s): without a model everything that moves counts, whatever its class", i, j, c.Name, r.Name)
			}
			if r.Terms.Describe().NearEdge {
				note("cameras[%d].rules[%d].polygon (%s/%s): it comes near the picture's edge without reaching it; what the edge cuts off counts as inside there", i, j, c.Name, r.Name)
			}
		}
	}
	return notes
}
