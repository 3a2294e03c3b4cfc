package devices

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// CheckFilter returns what is wrong with an MQTT topic filter (MQTT 3.1.1, section 4.7).
func CheckFilter(filter string) error {
	if filter == "" || len(filter) > 1024 || strings.ContainsRune(filter, 0) || !utf8.ValidString(filter) {
		return errors.New("a topic filter has 1 to 1024 bytes of UTF-8 without NUL")
	}
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		switch {
		case level == "#" && i != len(levels)-1:
			return errors.New("# may only be the last level of a topic filter")
		case level != "#" && level != "+" && strings.ContainsAny(level, "#+"):
			return errors.New("# and + stand for whole levels of a topic filter")
		}
	}
	return nil
}

// TopicMatches reports whether a topic is among those that a filter names (MQTT 3.1.1, section
// 4.7). Topics that begin with $ are never matched by a wildcard in the first level.
func TopicMatches(filter, topic string) bool {
	if topic == "" || topic[0] == '$' && (filter == "" || filter[0] != '$') {
		return false
	}
	for {
		f, filterRest, filterMore := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		t, topicRest, topicMore := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		if !filterMore || !topicMore {
			// "sport/#" also matches "sport" itself.
			return filterMore == topicMore || filterMore && filterRest == "#"
		}
		filter, topic = filterRest, topicRest
	}
}
