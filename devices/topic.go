package devices

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of topics and topic filters.
const (
	maxTopicBytes  = 65535 // MQTT 3.1.1, section 1.5.3
	maxTopicLevels = 200   // beyond which mosquitto closes the connection
)

// CheckFilter returns what is wrong with an MQTT topic filter (MQTT 3.1.1, sections 4.7 and 1.5.3). Brokers
// close the connection of a client that subscribes to such a filter.
func CheckFilter(filter string) error {
	if err := checkTopicText(filter); err != nil {
		return err
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
	// MQTT 5, section 4.8.2: the broker would share the messages among clients.
	if levels[0] == "$share" {
		return errors.New("a shared subscription gets only a part of the messages")
	}
	return nil
}

// CheckTopic returns what is wrong with the topic of a message (MQTT 3.1.1, sections 4.7 and 1.5.3).
func CheckTopic(topic string) error {
	if strings.ContainsAny(topic, "#+") {
		return errors.New("the topic of a message has no # and +")
	}
	return checkTopicText(topic)
}

// checkTopicText checks what topics and filters have in common. The standard lets a receiver close the
// connection for control characters and noncharacters, and some do.
func checkTopicText(s string) error {
	switch {
	case s == "" || len(s) > maxTopicBytes:
		return errors.New("a topic has 1 to 65535 bytes")
	case !utf8.ValidString(s): // surrogates are not valid either
		return errors.New("a topic is valid UTF-8")
	case strings.Count(s, "/") >= maxTopicLevels:
		return errors.New("a topic has at most 200 levels")
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("a topic has no control characters")
	case strings.ContainsFunc(s, isNoncharacter):
		return errors.New("a topic has no noncharacters of Unicode")
	}
	return nil
}

// isNoncharacter reports whether r is one of the code points that are never characters (Unicode, section 23.7).
func isNoncharacter(r rune) bool {
	return r >= 0xFDD0 && r <= 0xFDEF || r&0xFFFE == 0xFFFE
}

// FilterCovers reports whether every topic that the filter narrow names is among those that wide names.
func FilterCovers(wide, narrow string) bool {
	if wide == narrow {
		return true
	}
	if narrow == "" || narrow[0] == '$' && (wide == "" || wide[0] != '$') {
		return false
	}
	w, n := strings.Split(wide, "/"), strings.Split(narrow, "/")
	for i, level := range w {
		if level == "#" { // also matches the level above it
			return true
		}
		if i >= len(n) || n[i] == "#" || level != "+" && level != n[i] {
			return false
		}
	}
	return len(w) == len(n)
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
