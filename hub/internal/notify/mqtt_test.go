package notify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/devices/mqtt"
	"gridpost/devices/mqtt/mosquitto"
	"gridpost/hub/internal/problem"
)

// brokerAt starts a broker for the rest of the test.
func brokerAt(t *testing.T, lines ...string) *mosquitto.Broker {
	t.Helper()
	b, err := mosquitto.New(t.TempDir(), lines...)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// subscribe returns what comes on a topic, once the subscription is in force.
func subscribe(t *testing.T, b *mosquitto.Broker, topic string) <-chan devices.Message {
	t.Helper()
	online, got := make(chan struct{}, 10), make(chan devices.Message, 100)
	s, err := mqtt.NewSubscriber(mqtt.Options{
		Server:  mqtt.Server{Address: address.Broker{Host: b.Address, Name: "127.0.0.1"}, ClientID: "test"},
		Filters: []string{topic},
		Handle: func(_ context.Context, m devices.Message, done func(error)) {
			got <- m
			done(nil)
		},
		OnState: func(up bool, _ devices.Cause) {
			if up {
				online <- struct{}{}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-online:
	case <-time.After(30 * time.Second):
		t.Fatal("the subscriber is not online")
	}
	return got
}

// TestMQTT publishes to a real broker: each alert arrives as a valid CloudEvent, in the order of its incident.
func TestMQTT(t *testing.T) {
	broker := brokerAt(t)
	got := subscribe(t, broker, "city/#")
	to := Target{ID: "broker", Kind: KindMQTT, URL: "mqtt://" + broker.Address, Format: Format, Settings: Settings{Topic: "city/alerts"}}
	q := newQueue(to)
	for i, kind := range []AlertKind{Opened, Changed, Cleared, Closed} {
		q.add(alert(int64(i+1), "inc-1", kind))
	}
	n := New(Options{Queue: q, Wake: q.changed, Source: "urn:test:hub", AllowPrivate: true, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for i := range 4 {
		var m devices.Message
		select {
		case m = <-got:
		case <-time.After(30 * time.Second):
			t.Fatalf("%d messages have come", i)
		}
		e := event.New()
		if err := json.Unmarshal(m.Payload, &e); err != nil {
			t.Fatal(err)
		}
		if err := e.Validate(); err != nil || m.Topic != "city/alerts" || e.ID() != fmt.Sprintf("event-%d", i+1) || e.Extensions()["sequence"] != fmt.Sprintf("%020d", i+1) {
			t.Errorf("%s on %s: %v", m.Payload, m.Topic, err)
		}
	}
}

// TestMQTTOverTLS: the broker's certificate is checked, by the authority of the settings, and what is wrong has a
// cause.
func TestMQTTOverTLS(t *testing.T) {
	ca, dir := certificate(t)
	broker := brokerAt(t, "certfile "+filepath.Join(dir, "cert.pem"), "keyfile "+filepath.Join(dir, "key.pem"))
	n := New(Options{Source: "urn:test:hub", AllowPrivate: true, Timeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ url, ca, want string }{
		"good":              {"mqtts://" + broker.Address, ca, ""},
		"unknown authority": {"mqtts://" + broker.Address, "", "broker_certificate_untrusted"},
		"nobody there":      {"mqtts://" + closed.Addr().String(), ca, "broker_connection_refused"},
	} {
		got, err := n.Test(t.Context(), Target{ID: "broker", Kind: KindMQTT, URL: c.url, Settings: Settings{CA: c.ca}}, "wang")
		if err != nil || got.Delivered != (c.want == "") || got.Cause.Code != c.want {
			t.Errorf("%s: %+v, %v, want %q", name, got, err, c.want)
		}
	}
	guarded := New(Options{Source: "urn:test:hub", Timeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	for _, host := range []string{"127.0.0.1:8883", "localhost:8883"} {
		got, err := guarded.Test(t.Context(), Target{ID: "broker", Kind: KindMQTT, URL: "mqtts://" + host}, "wang")
		if err != nil || got.Delivered || got.Cause.Code != "target_address_private" {
			t.Errorf("a test must not reach into the network: %+v, %v", got, err)
		}
	}
}

// certificate writes a certificate for 127.0.0.1 that signs itself, and its key.
func certificate(t *testing.T) (ca, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{"cert.pem": text, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return string(text), dir
}

// TestCheckTarget: what cannot be served is refused with a code when it is added.
func TestCheckTarget(t *testing.T) {
	secrets := []string{NewSecret()}
	for want, all := range map[string][]Target{
		"": {
			{URL: "https://a.example/x", Secrets: secrets},
			{Kind: KindCAP, URL: "https://a.example/x", Secrets: secrets, Settings: Settings{Sender: "desk@city.example", Status: "Exercise"}},
			{Kind: KindMQTT, URL: "mqtts://a.example", Settings: Settings{Topic: "a/b"}},
		},
		"target_kind_unknown":    {{Kind: "fax", URL: "https://a.example/x"}},
		"target_url_https":       {{URL: "http://a.example/x"}, {Kind: KindCAP, URL: "http://a.example/x"}},
		"target_broker_invalid":  {{Kind: KindMQTT, URL: "https://a.example"}, {Kind: KindMQTT, URL: ""}},
		"target_broker_tls":      {{Kind: KindMQTT, URL: "mqtt://a.example"}},
		"target_address_private": {{Kind: KindMQTT, URL: "mqtts://10.0.0.7:8883"}, {URL: "https://10.0.0.7/"}},
		"target_topic_invalid": {
			{Kind: KindMQTT, URL: "mqtts://a.example", Settings: Settings{Topic: "a/#"}},
			{Kind: KindMQTT, URL: "mqtts://a.example", Settings: Settings{Topic: "$SYS/a"}},
			{Kind: KindMQTT, URL: "mqtts://a.example", Settings: Settings{Topic: strings.Repeat("a", 501)}},
		},
		"target_ca_invalid":     {{Kind: KindMQTT, URL: "mqtts://a.example", Settings: Settings{CA: "no PEM"}}},
		"target_sender_invalid": {{Kind: KindCAP, URL: "https://a.example/x", Settings: Settings{Sender: "a, b"}}},
		"target_status_invalid": {{Kind: KindCAP, URL: "https://a.example/x", Settings: Settings{Status: "Real"}}},
		"target_secret_invalid": {{URL: "https://a.example/x", Secrets: []string{"whsec_AA=="}}},
	} {
		for _, target := range all {
			err := CheckTarget(target, false)
			var coded *problem.Error
			if want == "" && err != nil || want != "" && (!errors.As(err, &coded) || coded.Reason.Code != want) {
				t.Errorf("%+v: %v, want %q", target, err, want)
			}
		}
	}
}
