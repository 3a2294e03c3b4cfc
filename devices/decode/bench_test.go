package decode

import "testing"

// BenchmarkDecode: a message of usual size, its value and time.
func BenchmarkDecode(b *testing.B) {
	d := New(Options{Mappings: []Mapping{{Device: "river", Topic: "r", ValueMapping: ValueMapping{Value: path(b, "$.values[name=level].value"), Time: path(b, "$.time")}}}})
	m := message("r", `{"time":"2026-03-01T11:59:00Z","id":"a84041","values":[{"name":"battery","value":3.6,"unit":"V"},{"name":"level","value":"1234 mm"}],"rssi":-71}`)
	b.ReportAllocs()
	for b.Loop() {
		if out := d.Decode(m); len(out.Readings) != 1 {
			b.Fatal(out)
		}
	}
}

// BenchmarkRefused: a storm of messages that are not understood, or whose time is wrong, costs no more than
// those that are.
func BenchmarkRefused(b *testing.B) {
	for name, text := range map[string]string{"value": `{"time":"2026-03-01T11:59:00Z","values":[{"name":"level","value":"high"}],"rssi":-71}`, "time": `{"time":"2020-03-01T11:59:00Z","values":[{"name":"level","value":1}],"rssi":-71}`} {
		b.Run(name, func(b *testing.B) {
			d := New(Options{Mappings: []Mapping{{Device: "river", Topic: "r", ValueMapping: ValueMapping{Value: path(b, "$.values[name=level].value"), Time: path(b, "$.time")}}}})
			m := message("r", text)
			b.ReportAllocs()
			for b.Loop() {
				if out := d.Decode(m); len(out.Problems) != 1 {
					b.Fatal(out)
				}
			}
		})
	}
}
