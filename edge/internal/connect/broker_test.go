package connect

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/devices/mqtt"
	"gridpost/devices/mqtt/mosquitto"

	firmwareconfig "gridpost/firmware-config"
)

// refusing is a broker that accepts every client and refuses every topic (MQTT 3.1.1, section 3.9.3), which mosquitto
// does not do. It returns its host and port.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = conn.Close() }()
				buf := make([]byte, 1024)
				for {
					n, err := conn.Read(buf) // a packet: the client waits for each answer
					if err != nil {
						return
					}
					switch buf[0] >> 4 {
					case 1: // CONNECT
						_, err = conn.Write([]byte{0x20, 2, 0, 0})
					case 8: // SUBSCRIBE
						_, err = conn.Write([]byte{0x90, 3, buf[2], buf[3], 0x80})
					}
					if err != nil || n == 0 {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // ends accepting; the client has closed its connections
		serving.Wait()
	})
	return l.Addr().String()
}

// TestTryBrokers: a running edge is not disturbed, and each broker has its own cause.
func TestTryBrokers(t *testing.T) {
	at := mosquitto.StartFor(t)
	broker := firmwareconfig.Broker{Name: "site", URL: address.Broker{Host: at, Name: "127.0.0.1"}, ClientID: "gate-7"}
	p, err := mqtt.NewPublisher(mqtt.Server{Address: broker.URL, ClientID: "sensor"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := p.Publish(ctx, "sensors/river", []byte("1.5"), true); err != nil {
		t.Fatal(err)
	}

	// The edge runs with the client ID of the document.
	states := make(chan bool, 10)
	edge, err := mqtt.NewSubscriber(mqtt.Options{
		Server: mqtt.Server{Address: broker.URL, ClientID: "gate-7"}, Filters: []string{"sensors/#"},
		Handle:  func(_ context.Context, _ devices.Message, done func(error)) { done(nil) },
		OnState: func(online bool, _ devices.Cause) { states <- online },
	})
	if err != nil {
		t.Fatal(err)
	}
	running := make(chan error, 1)
	go func() { running <- edge.Run(ctx) }()
	if online := <-states; !online {
		t.Fatal("the edge does not reach the broker")
	}

	doc := &firmwareconfig.Document{Edge: "gate-7"}
	doc.MQTT.Brokers = []firmwareconfig.Broker{
		broker,
		{Name: "strict", URL: address.Broker{Host: refusing(t), Name: "127.0.0.1"}, ClientID: "gate-7"},
		{Name: "absent", URL: address.Broker{Host: "127.0.0.1:1", Name: "127.0.0.1"}, ClientID: "gate-7"},
	}
	doc.Sensors = []firmwareconfig.Sensor{
		{Name: "river", Topic: "sensors/river", Broker: "site"},
		{Name: "vault", Topic: "secret/vault", Broker: "strict"},
	}
	var out bytes.Buffer
	report, err := Run(ctx, doc, Options{Progress: &out})
	if err != nil {
		t.Fatal(err)
	}
	if b := report.Brokers[0]; !b.OK || b.Filters != 1 || b.Messages != 1 || b.ConnectMS <= 0 {
		t.Errorf("the good broker: %+v, cause %+v", b, b.Cause)
	}
	if b := report.Brokers[1]; b.OK || b.Cause.Code != "broker_topics_refused" || b.Cause.Params["topics"] != "secret/vault" {
		t.Errorf("the strict broker: %+v, cause %+v", b, b.Cause)
	}
	if b := report.Brokers[2]; b.OK || b.Cause.Code != "broker_connection_refused" {
		t.Errorf("the absent broker: %+v, cause %+v", b, b.Cause)
	}
	if want := "broker site: ok: connected in "; !strings.Contains(out.String(), want) {
		t.Errorf("%q is missing in\n%s", want, out.String())
	}
	if len(states) != 0 {
		t.Error("the running edge was disturbed")
	}
	cancel()
	if err := <-running; err != nil {
		t.Error(err)
	}
}
