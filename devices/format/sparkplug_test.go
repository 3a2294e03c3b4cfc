package format_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/devices/decode"
	"gridpost/devices/format"
)

// wire writes Protocol Buffers.
type wire []byte

func (w wire) varint(field int, v uint64) wire {
	return binary.AppendUvarint(binary.AppendUvarint(w, uint64(field)<<3), v)
}

func (w wire) bytes(field int, data []byte) wire {
	w = binary.AppendUvarint(binary.AppendUvarint(w, uint64(field)<<3|2), uint64(len(data)))
	return append(w, data...)
}

func (w wire) fixed64(field int, v uint64) wire {
	return binary.LittleEndian.AppendUint64(binary.AppendUvarint(w, uint64(field)<<3|1), v)
}

func (w wire) fixed32(field int, v uint32) wire {
	return binary.LittleEndian.AppendUint32(binary.AppendUvarint(w, uint64(field)<<3|5), v)
}

// metric is one metric of a payload of Sparkplug.
type metric struct {
	name       string
	alias      uint64 // 0: none
	datatype   uint64 // 0: left out
	value      any    // nil: is_null
	historical bool
	quality    uint64 // 0: left out
	unit       string
	at         time.Time
}

func (m metric) encode() []byte {
	var w wire
	if m.name != "" {
		w = w.bytes(1, []byte(m.name))
	}
	if m.alias != 0 {
		w = w.varint(2, m.alias)
	}
	if !m.at.IsZero() {
		w = w.varint(3, uint64(m.at.UnixMilli()))
	}
	if m.datatype != 0 {
		w = w.varint(4, m.datatype)
	}
	if m.historical {
		w = w.varint(5, 1)
	}
	var properties wire
	if m.quality != 0 {
		properties = properties.bytes(1, []byte("Quality")).bytes(2, wire{}.varint(1, 3).varint(3, m.quality))
	}
	if m.unit != "" {
		properties = properties.bytes(1, []byte("engUnit")).bytes(2, wire{}.varint(1, 12).bytes(8, []byte(m.unit)))
	}
	if properties != nil {
		w = w.bytes(9, properties)
	}
	switch v := m.value.(type) {
	case nil:
		w = w.varint(7, 1)
	case int32:
		w = w.varint(10, uint64(uint32(v)))
	case int64:
		w = w.varint(11, uint64(v))
	case float32:
		w = w.fixed32(12, math.Float32bits(v))
	case float64:
		w = w.fixed64(13, math.Float64bits(v))
	case bool:
		n := uint64(0)
		if v {
			n = 1
		}
		w = w.varint(14, n)
	case string:
		w = w.bytes(15, []byte(v))
	}
	return w
}

// sparkplug writes a payload. A seq below 0 is left out.
func sparkplug(seq int, at time.Time, metrics ...metric) []byte {
	w := wire{}.varint(1, uint64(at.UnixMilli()))
	for _, m := range metrics {
		w = w.bytes(2, m.encode())
	}
	if seq >= 0 {
		w = w.varint(3, uint64(seq))
	}
	return w
}

// spNode is an edge node with two devices, as a model: it publishes what it should, and knows what is true.
type spNode struct {
	rng     *rand.Rand
	session uint64 // bdSeq
	seq     int
	clock   time.Time
	alive   bool
	devices map[string]*spDevice
	aliases uint64
}

type spDevice struct {
	alive bool
	alias uint64
	value float64
}

// published is a message with what a reader has to make of it.
type published struct {
	devices.Message
	value      map[string]float64 // by device: the reading
	historical bool
	offline    map[string]bool // by device: it is said to be offline, or online
	birth      bool            // of the node: nothing before it counts as lost
	numbered   bool            // it has a sequence number
	late       bool            // the death of a session that is over
}

func (n *spNode) next() int {
	n.seq = (n.seq + 1) % 256
	return n.seq
}

func (n *spNode) message(kind, device string, payload []byte) published {
	topic := "spBv1.0/g/" + kind + "/n"
	if device != "" {
		topic += "/" + device
	}
	return published{
		Message: devices.Message{Topic: topic, Payload: payload, Received: n.clock},
		value:   map[string]float64{}, offline: map[string]bool{}, numbered: kind != "NDEATH",
	}
}

func (n *spNode) death(session uint64) []byte {
	return sparkplug(-1, n.clock, metric{name: "bdSeq", datatype: 8, value: int64(session)})
}

// step returns the next message of the node.
func (n *spNode) step() published {
	n.clock = n.clock.Add(time.Second)
	name := []string{"d1", "d2"}[n.rng.IntN(2)]
	d := n.devices[name]
	switch roll := n.rng.IntN(20); {
	case !n.alive || roll == 0: // a new session, after a death that the broker may publish later
		n.session, n.seq, n.alive = n.session+1, 0, true
		for _, d := range n.devices {
			d.alive = false
		}
		p := n.message("NBIRTH", "", sparkplug(0, n.clock, metric{name: "bdSeq", datatype: 8, value: int64(n.session)}))
		p.birth = true
		return p
	case roll == 1:
		n.alive = false
		p := n.message("NDEATH", "", n.death(n.session))
		p.offline = map[string]bool{"d1": true, "d2": true}
		return p
	case roll == 2 && n.session > 1:
		p := n.message("NDEATH", "", n.death(n.session-1))
		p.late = true
		return p
	case !d.alive:
		n.aliases++
		d.alive, d.alias, d.value = true, n.aliases, float64(n.rng.IntN(1000))
		p := n.message("DBIRTH", name, sparkplug(n.next(), n.clock, metric{name: "level", alias: d.alias, datatype: 10, value: d.value}))
		p.value[name], p.offline[name] = d.value, false
		return p
	case roll == 3:
		d.alive = false
		p := n.message("DDEATH", name, sparkplug(n.next(), n.clock))
		p.offline[name] = true
		return p
	}
	d.value = float64(n.rng.IntN(1000))
	historical := n.rng.IntN(8) == 0
	p := n.message("DDATA", name, sparkplug(n.next(), n.clock, metric{alias: d.alias, value: d.value, historical: historical}))
	p.value[name], p.historical = d.value, historical
	return p
}

// TestSparkplugModel: a reader follows a node through births, deaths, messages that are lost and messages that come
// again. A value is one that the device had; what is lost is noticed by the next message and forgotten at the next birth; a
// death of a session that is over changes nothing.
func TestSparkplugModel(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		n := &spNode{rng: rng, clock: received(), devices: map[string]*spDevice{"d1": {}, "d2": {}}}
		level, err := decode.ParsePath("$.level")
		if err != nil {
			t.Fatal(err)
		}
		var mappings []decode.Mapping
		for name := range n.devices {
			mappings = append(mappings, decode.Mapping{Device: name, Format: "sparkplug", Topic: "spBv1.0/g/n/" + name, ValueMapping: decode.ValueMapping{Value: level}})
		}
		d := decode.New(decode.Options{Mappings: mappings})
		lossy := seed%2 == 1
		missing, noticed := false, false
		unknown := false // a birth is lost: whether anything after it is lost cannot be told
		for step := range 400 {
			p := n.step()
			if lossy && p.numbered && rng.IntN(30) == 0 {
				missing = true
				unknown = unknown || p.birth
				continue
			}
			if p.birth {
				missing, noticed, unknown = false, false, false
			}
			noticed = noticed || missing && p.numbered
			for range 1 + rng.IntN(2) { // it may come again
				check := fmt.Sprintf("seed %d, step %d, %s", seed, step, p.Topic)
				checkSparkplug(t, check, d.Decode(p.Message), p, lossy, noticed, unknown)
			}
			if t.Failed() {
				return
			}
			if rng.IntN(50) == 0 { // a change of the document
				d = decode.New(decode.Options{Mappings: mappings, Last: d})
			}
		}
	}
}

func checkSparkplug(t *testing.T, check string, got decode.Decoded, p published, lossy, noticed, unknown bool) {
	t.Helper()
	if !lossy && len(got.Readings) != len(p.value) {
		t.Errorf("%s: readings %+v, expected %v", check, got.Readings, p.value)
	}
	for _, r := range got.Readings {
		if want, ok := p.value[r.Device]; !ok || r.Value != want || r.Historical != p.historical || !r.Time.Equal(p.Received) {
			t.Errorf("%s: %+v, expected %v", check, r, p.value)
		}
	}
	states := map[string]format.Availability{}
	for _, s := range got.States {
		states[s.Device] = s.Availability
	}
	if p.late && !lossy && len(states) > 0 {
		t.Errorf("%s: the death of an earlier session says %v", check, states)
	}
	for device, offline := range p.offline {
		want := format.Online
		if offline {
			want = format.Offline
		}
		if states[device] != want && !p.late {
			t.Errorf("%s: %s is %q, expected %q", check, device, states[device], want)
		}
	}
	lost := false
	for _, problem := range got.Problems {
		lost = lost || problem.Cause.Code == "sensor_messages_lost"
		if !lossy {
			t.Errorf("%s: %s: %s", check, problem.Device, problem.Cause.Text)
		}
	}
	if len(got.Readings) > 0 && lost != noticed && !unknown {
		t.Errorf("%s: messages are lost: %v, expected %v", check, lost, noticed)
	}
}

// TestSparkplugOfOneDeviceIsNotRefusedForAnother: a message that is not understood concerns its own device alone.
func TestSparkplugOfOneDeviceIsNotRefusedForAnother(t *testing.T) {
	mapping := func(name string) decode.Mapping {
		return decode.Mapping{Device: name, Format: "sparkplug", Topic: "spBv1.0/g/n/" + name}
	}
	d := decode.New(decode.Options{Mappings: []decode.Mapping{mapping("d1"), mapping("d2")}})
	got := d.Decode(devices.Message{Topic: "spBv1.0/g/DDATA/n/d1", Payload: []byte("nonsense"), Received: received()})
	if len(got.Problems) != 1 || got.Problems[0].Device != "d1" || !strings.Contains(got.Problems[0].Cause.Text, "Protocol Buffers") {
		t.Errorf("%+v", got)
	}
}

// TestSignedMetrics: clients extend the sign of a small type to 32 bits, to 64 bits, or not at all.
func TestSignedMetrics(t *testing.T) {
	f, _ := format.Standard().Find("sparkplug")
	for _, c := range []struct {
		datatype uint64
		value    any
		want     string
	}{
		{1, int32(-5), "-5"},
		{1, int32(251), "-5"},
		{1, int64(-5), "-5"},
		{2, int32(65531), "-5"},
		{2, int32(-5), "-5"},
		{3, int32(-5), "-5"},
		{3, int64(4294967291), "-5"},
		{4, int64(-5), "-5"},
		{5, int32(251), "251"},
		{7, int64(4294967291), "4294967291"},
	} {
		m := devices.Message{Topic: "spBv1.0/g/NBIRTH/n", Received: received(), Payload: sparkplug(0, received(), metric{name: "level", datatype: c.datatype, value: c.value})}
		reports, err := f.New("spBv1.0/g/n").Read(m)
		if err != nil || len(reports) != 2 {
			t.Fatalf("%+v: %+v, %v", c, reports, err)
		}
		if document, _ := reports[1].Document.(map[string]any); fmt.Sprint(document["level"]) != c.want {
			t.Errorf("%+v: %v", c, document)
		}
	}
}

// TestSequenceNumberZero: some encoders leave out a number that is 0. That is no message lost.
func TestSequenceNumberZero(t *testing.T) {
	f, _ := format.Standard().Find("sparkplug")
	reader := f.New("spBv1.0/g/n")
	for i := range 600 {
		kind, seq := "NDATA", i%256
		if i == 0 {
			kind = "NBIRTH"
		}
		if seq == 0 {
			seq = -1
		}
		payload := sparkplug(seq, received(), metric{name: "level", datatype: 10, value: float64(i)})
		reports, err := reader.Read(devices.Message{Topic: "spBv1.0/g/" + kind + "/n", Received: received(), Payload: payload})
		if err != nil || len(reports) == 0 {
			t.Fatalf("message %d: %+v, %v", i, reports, err)
		}
		last := reports[len(reports)-1]
		if document, _ := last.Document.(map[string]any); fmt.Sprint(document["level"]) != fmt.Sprint(i) || !last.Cause.IsZero() {
			t.Fatalf("message %d: %+v", i, last)
		}
	}
}
