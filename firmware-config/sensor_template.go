package firmwareconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"gridpost/devices/format"
)

// Template is an entry of the sensors whose topic has placeholders such as {name} for whole levels: each
// device that publishes on a topic of that form becomes a sensor of its own. Name and Availability of
// the entry have the placeholders, too.
type Template struct{ Sensor }

var (
	placeholder  = regexp.MustCompile(`\{[a-z][a-z0-9_]{0,39}\}`)
	templateName = regexp.MustCompile(`^(?:[a-z0-9-]|\{[a-z][a-z0-9_]{0,39}\})+$`)
)

// maxTemplateName bounds the name of a template in bytes.
const maxTemplateName = 120

// filterOf writes + for each placeholder of a topic.
func filterOf(topic string) string { return placeholder.ReplaceAllString(topic, "+") }

// Filters returns the topic filters of the messages of all devices of the template.
func (t Template) Filters() []string {
	s := t.Sensor
	s.Topic = filterOf(s.Topic)
	s.Availability = slices.Clone(s.Availability)
	for i := range s.Availability {
		s.Availability[i] = filterOf(s.Availability[i])
	}
	return s.Filters()
}

// Match returns the base topic of the device whose values a message of topic carries, and whether it is
// a device of the template.
func (t Template) Match(topic string) (base string, ok bool) {
	f, known := format.Standard().Find(t.Format)
	if !known {
		return "", false
	}
	base = f.Of(topic)
	_, ok = t.placeholders(base)
	return base, ok && base != ""
}

// placeholders returns what stands for each placeholder in a base topic of the template's form.
func (t Template) placeholders(base string) (map[string]string, bool) {
	pattern, levels := strings.Split(t.Topic, "/"), strings.Split(base, "/")
	if len(pattern) != len(levels) {
		return nil, false
	}
	values := map[string]string{}
	for i, p := range pattern {
		switch {
		case placeholder.MatchString(p):
			if before, twice := values[p]; levels[i] == "" || twice && before != levels[i] {
				return nil, false
			}
			values[p] = levels[i]
		case p != levels[i]:
			return nil, false
		}
	}
	return values, true
}

// Instance returns the sensor of one device of the template, and whether its base topic has the template's
// form. Its name is made of the characters that names may have. taken says whether a name belongs to
// another device; a hash of the base topic makes it another one then.
func (t Template) Instance(base string, taken func(name string) bool) (Sensor, bool) {
	values, ok := t.placeholders(base)
	fill := func(text string) string {
		return placeholder.ReplaceAllStringFunc(text, func(p string) string { return values[p] })
	}
	s := t.Sensor
	s.Topic = base
	s.Availability = slices.Clone(s.Availability)
	for i := range s.Availability {
		s.Availability[i] = fill(s.Availability[i])
	}
	s.Title = filled(t.Title, fill)
	s.Name = SafeName(fill(t.Name))
	if s.Name == "" || taken(s.Name) {
		sum := sha256.Sum256([]byte(t.Name + "\x00" + base))
		s.Name = strings.TrimLeft(cut(s.Name, 31)+"-"+hex.EncodeToString(sum[:4]), "-")
	}
	return s, ok
}

// IsName says whether a device may have the name.
func IsName(name string) bool { return nameForm.MatchString(name) }

// SafeName makes a name of the characters a-z, 0-9 and -, of at most 40. It is empty when nothing of the
// text can be in a name.
func SafeName(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return cut(b.String(), 40)
}

func cut(name string, limit int) string {
	if len(name) > limit {
		name = name[:limit]
	}
	return strings.Trim(name, "-")
}

// sensorName reads the name of a sensor, or of a template.
func (v value) sensorName(dst *string) {
	s, ok := v.Text()
	if !ok {
		return
	}
	if !strings.ContainsAny(s, "{}") {
		v.name(dst)
		return
	}
	if len(s) > maxTemplateName || !templateName.MatchString(s) {
		v.fail("expected the characters a-z, 0-9 and - and placeholders such as {name}, found %s", v.found())
		return
	}
	*dst = s
}

// isTemplate says whether the sensor stands for several. Problems between its keys are reported at
// name and topic.
func (s *Sensor) isTemplate(name, topic value) bool {
	inTopic := placeholder.FindAllString(s.Topic, -1)
	inName := placeholder.FindAllString(s.Name, -1)
	for _, p := range inName {
		if s.Topic != "" && !slices.Contains(inTopic, p) {
			name.fail("expected placeholders that the topic has, found %s", p)
			return false
		}
	}
	if len(inTopic) == 0 {
		return false
	}
	for _, level := range strings.Split(s.Topic, "/") {
		if placeholder.MatchString(level) && placeholder.FindString(level) != level {
			topic.fail("expected placeholders that stand for whole levels, found %s", quote(level))
			return false
		}
	}
	if s.Name != "" && len(inName) == 0 {
		name.fail("expected a name with a placeholder of the topic, such as %s-%s, found %s", s.Name, inTopic[0], name.found())
		return false
	}
	return true
}
