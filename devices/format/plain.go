package format

import (
	"gridpost/devices"
	"gridpost/devices/payload"
)

// plain is the format of sensors that publish a value, or a JSON document with their values, on a topic
// of their own.
func plain() Format {
	return Format{
		Name:    Plain,
		Base:    func(topic string) (string, error) { return topic, devices.CheckFilter(topic) },
		Filters: func(base string) []string { return []string{base} },
		Of:      func(topic string) string { return topic },
		New:     func(string) Reader { return plainReader{} },
	}
}

type plainReader struct{}

func (plainReader) Read(m devices.Message) ([]Report, error) {
	document, err := payload.Parse(m.Payload)
	if err != nil {
		return nil, err
	}
	return values(document), nil
}
