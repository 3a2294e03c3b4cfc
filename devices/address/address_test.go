package address

import (
	"net"
	"net/url"
	"strings"
	"testing"
)

func TestStream(t *testing.T) {
	for _, good := range []string{
		"rtsp://10.0.0.11", "rtsps://user:p%40ss@camera.lan:322/live?channel=1", "rtsp://[2001:db8::1]:554/a", "rtsp://[fe80::1%25eth0]/a",
		"rtsp://u:p@h/%23/main",
	} {
		s, err := ParseStream(good)
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		if s.IsZero() || s.URL().String() != good {
			t.Errorf("%s became %s", good, s.URL())
		}
		if strings.Contains(s.String(), "p") && strings.Contains(strings.TrimPrefix(strings.TrimPrefix(s.String(), "rtsps"), "rtsp"), "p") {
			t.Errorf("%s is logged as %s", good, s)
		}
	}
	for bad, want := range map[string]string{
		"rtsp://h/main#fragment":                   "one with a # in it",
		"rtsp://h/main#":                           "one with a # in it",
		"rtsp://u:p#s3cret@h/":                     "something that is none",
		"10.0.0.11/main":                           "something without ://",
		"rtsp:opaque://x":                          "one without a host",
		"rtsp:///main":                             "one without a host",
		"rtsp://:554/main":                         "one without a host",
		"rtsp://h:70000/":                          "another",
		"rtsp://h:0/":                              "another",
		"http://u:s3cret@h/":                       "http://",
		"rtsp://" + strings.Repeat("a", MaxLength): "more",
	} {
		_, err := ParseStream(bad)
		if err == nil || !strings.HasSuffix(err.Error(), want) && !strings.Contains(err.Error(), "found "+want) {
			t.Errorf("%s: %v, want %q", bad, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

func TestBrokerAndHub(t *testing.T) {
	for s, want := range map[string]Broker{
		"mqtt://10.0.0.5":             {Host: "10.0.0.5:1883", Name: "10.0.0.5"},
		"mqtts://broker.lan/":         {Host: "broker.lan:8883", Name: "broker.lan", TLS: true},
		"mqtts://[fe80::1%25eth0]:99": {Host: "[fe80::1%eth0]:99", Name: "fe80::1%eth0", TLS: true},
	} {
		if got, err := ParseBroker(s); err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{
		"https://hub.example:8443":       "https://hub.example:8443",
		"https://[2001:db8::1]:8443/":    "https://[2001:db8::1]:8443",
		"https://[fe80::1%25eth0]:8443/": "https://[fe80::1%25eth0]:8443",
	} {
		if got, err := ParseHub(s); err != nil || got != want {
			t.Errorf("%s: %s, %v", s, got, err)
		}
	}
	for _, bad := range []string{"https://u@h", "https://h/path", "https://h?q", "https://h?", "https://h#f", "http://h", "https://", "mqtt://h"} {
		if _, err := ParseHub(bad); err == nil {
			t.Errorf("%s is accepted as a hub", bad)
		}
	}
	for _, bad := range []string{"1883", "host", "h:70000", "a b:1", "h:x", ":-1"} {
		if CheckListen(bad) == nil {
			t.Errorf("%s is accepted to listen on", bad)
		}
	}
	for _, good := range []string{":0", "0.0.0.0:1883", "[::1]:1"} {
		if err := CheckListen(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

// FuzzParse holds that what was accepted can be used by everything that needs it: a URL made from
// it parses again, and a host and port can be told apart.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"rtsp://u:p@h:1/a?b", "mqtts://[fe80::1%25eth0]", "https://h/", "https://a%E4%BD%A0b:1", "rtsp://h/a#b", "://", "https://h?"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if stream, err := ParseStream(s); err == nil {
			again, err := url.Parse(stream.URL().String())
			if err != nil || again.Fragment != "" || again.Opaque != "" || again.Hostname() == "" {
				t.Errorf("%q became %v, %v", s, again, err)
			}
		}
		if b, err := ParseBroker(s); err == nil {
			if host, _, err := net.SplitHostPort(b.Host); err != nil || host != b.Name {
				t.Errorf("%q became %+v, %v", s, b, err)
			}
		}
		if hub, err := ParseHub(s); err == nil {
			if again, err := ParseHub(hub); err != nil || again != hub {
				t.Errorf("%q became %q and then %q, %v", s, hub, again, err)
			}
			if _, err := url.Parse(hub + "/edge/v1/batch"); err != nil {
				t.Errorf("%q became %q: %v", s, hub, err)
			}
		}
	})
}
