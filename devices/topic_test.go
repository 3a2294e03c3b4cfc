package devices

import "testing"

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
	for _, good := range []string{"a", "a/b", "+/b/#", "#", "/", "$SYS/#"} {
		if err := CheckFilter(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a#", "#/a", "a+/b", "a\x00", "a\xff"} {
		if CheckFilter(bad) == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
