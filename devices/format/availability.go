package format

import (
	"strings"

	"gridpost/devices/payload"
)

// ParseAvailability reads a payload that says whether a device is connected: a word, a Boolean, 1 or
// 0, or an object with one of them as "state", "value", "online" or "status". ok is false when it says
// neither.
func ParseAvailability(data []byte) (a Availability, ok bool) {
	document, err := payload.Parse(data)
	if err != nil {
		return "", false
	}
	if object, isObject := document.(map[string]any); isObject {
		for _, key := range availabilityKeys() {
			if v, has := object[key]; has {
				return availabilityOf(v)
			}
		}
		return "", false
	}
	return availabilityOf(document)
}

// availabilityKeys are the members of an object that say it, the first that is there counts.
func availabilityKeys() []string { return []string{"state", "value", "online", "status"} }

func availabilityOf(v any) (Availability, bool) {
	switch c := v.(type) {
	case bool:
		if c {
			return Online, true
		}
		return Offline, true
	case string:
		return availabilityWord(c)
	case interface{ String() string }: // json.Number
		return availabilityWord(c.String())
	}
	return "", false
}

func availabilityWord(word string) (Availability, bool) {
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "online", "on", "true", "1", "connected", "available", "alive", "up", "running", "ready":
		return Online, true
	case "offline", "off", "false", "0", "disconnected", "unavailable", "dead", "down", "lost":
		return Offline, true
	}
	return "", false
}
