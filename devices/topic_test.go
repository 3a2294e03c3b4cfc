package devices

import (
	"strings"
	"testing"
)

func TestTopicMatches(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"sensors/river", "sensors/river", true},
		{"sensors/river", "sensors/river/level", false},
		{"sensors/river", "sensors", false},
		{"sensors/+", "sensors/river", true},
		{"sensors/+", "sensors/", true},
		{"sensors/+", "sensors", false},
		{"sensors/+/level", "sensors/river/level", true},
		{"sensors/#", "sensors/river/level", true},
		{"sensors/#", "sensors", true},
		{"sensors/#", "sensorsx", false},
		{"#", "anything/at/all", true},
		{"#", "$SYS/broker", false},
		{"+/broker", "$SYS/broker", false},
		{"$SYS/#", "$SYS/broker", true},
		{"#", "", false},
		{"", "a", false},
		{"+", "", false},
	} {
		if got := TopicMatches(c.filter, c.topic); got != c.want {
			t.Errorf("TopicMatches(%q, %q) = %v", c.filter, c.topic, got)
		}
	}
}

func TestCheckFilter(t *testing.T) {
	for _, good := range []string{
		"a", "a/b", "+/b/#", "#", "/", "$SYS/#", "水位/一号", "a b/c", strings.Repeat("/", 199), strings.Repeat("a", 65535), "a\U0001F30A",
	} {
		if err := CheckFilter(good); err != nil {
			t.Errorf("%.40q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "a#", "#/a", "a+/b", "a\x00", "a\xff", "a\x01", "a\n", "a\x7f", "a\u0085", "a\ufffe", "a\uffff", "a\ufdd0", "a\U0001ffff",
		"a\xed\xa0\x80", strings.Repeat("/", 200), strings.Repeat("a", 65536), "$share/group/a",
	} {
		if CheckFilter(bad) == nil {
			t.Errorf("%.40q was accepted", bad)
		}
	}
}

func TestCheckTopic(t *testing.T) {
	for topic, good := range map[string]bool{"a/b": true, "/": true, "$SYS/x": true, "a/+": false, "a/#": false, "a+b": false, "": false, "a\x01": false} {
		if err := CheckTopic(topic); (err == nil) != good {
			t.Errorf("%q: %v", topic, err)
		}
	}
}

// TestFilterCovers compares with the definition, over all filters and topics of up to three levels.
func TestFilterCovers(t *testing.T) {
	texts := func(levels ...string) (all []string) {
		for _, a := range levels {
			all = append(all, a)
			for _, b := range levels {
				all = append(all, a+"/"+b)
				for _, c := range levels {
					all = append(all, a+"/"+b+"/"+c)
				}
			}
		}
		return all
	}
	var filters []string
	for _, f := range texts("a", "b", "$c", "+", "#", "") {
		if CheckFilter(f) == nil {
			filters = append(filters, f)
		}
	}
	topics := texts("a", "b", "$c", "", "z")
	for _, topic := range texts("a", "b", "z") {
		topics = append(topics, topic+"/z") // so that # and + at the end differ
	}
	for _, wide := range filters {
		for _, narrow := range filters {
			want := true
			for _, topic := range topics {
				want = want && (!TopicMatches(narrow, topic) || TopicMatches(wide, topic))
			}
			// "+/#" covers "#" too, but nobody writes it.
			if got := FilterCovers(wide, narrow); got != want && (got || !strings.HasSuffix(narrow, "#")) {
				t.Errorf("FilterCovers(%q, %q) = %v", wide, narrow, got)
			}
		}
	}
}
