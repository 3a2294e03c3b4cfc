package status

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"gridpost/devices"
)

// sample is one value of a metric. label is empty for a metric of the whole edge.
type sample struct {
	label, device string
	more          [][2]string // further labels
	value         float64
}

// help says what each metric means. One that is missing here has its own name as help.
func help() map[string]string {
	return map[string]string{
		"edge_build_info":                    "Version of the edge's program; always 1.",
		"edge_start_time_seconds":            "When the edge started, in seconds since 1970.",
		"edge_hub_online":                    "Whether the hub is reached: 1 or 0.",
		"edge_problems":                      "What an operator must know of: number of problems.",
		"edge_device_online":                 "Whether a camera or sensor is online: 1 or 0.",
		"edge_sensor_value":                  "Last value of a sensor, in its unit.",
		"edge_sensor_last_reading_seconds":   "Time of a sensor's last reading, in seconds since 1970.",
		"edge_sensor_readings_total":         "Readings of a sensor since it was started.",
		"edge_units_total":                   "Access units of a camera's main stream since it was started.",
		"edge_unit_bytes_total":              "Bytes of a camera's main stream since it was started.",
		"edge_units_dropped_total":           "Access units that a reader of a camera's streams was too slow for.",
		"edge_camera_sessions_total":         "RTSP sessions that had frames.",
		"edge_camera_lost_packets_total":     "RTP packets of a camera that did not arrive.",
		"edge_results_dropped_total":         "Results of detection that the rules were too slow for.",
		"edge_snapshots_total":               "Snapshots that were saved as evidence.",
		"edge_snapshots_missed_total":        "Snapshots that could not be taken.",
		"edge_worker_restarts_total":         "Restarts of a camera's worker.",
		"edge_worker_crashes_total":          "Crashes of a camera's worker.",
		"edge_worker_quarantines_total":      "How often detection was switched off after crashes.",
		"edge_frames_analysed_total":         "Frames in which objects were looked for.",
		"edge_worker_cpu_milliseconds_total": "CPU time of a camera's workers, in milliseconds.",
		"edge_readings_total":                "Readings of all sensors.",
		"edge_messages_refused_total":        "Messages that do not fit the mapping of their sensor.",
		"edge_messages_unmatched_total":      "Messages of topics that belong to no sensor.",
		"edge_messages_not_kept_total":       "Messages that could not be saved and were not acknowledged.",
		"edge_messages_dropped_total":        "Messages of QoS 0 that were dropped because too many waited.",
		"edge_broker_refused_logins_total":   "Logins that the embedded broker refused.",
		"edge_broker_refused_topics_total":   "Messages that the embedded broker refused for their topic.",
		"edge_uplink_failures_total":         "Requests to the hub that failed.",
		"edge_uplink_refused_events_total":   "Events that the hub refused for good.",
		"edge_outbox_alerts":                 "Alerts that wait for the hub.",
		"edge_outbox_telemetry":              "Batches of readings that wait for the hub.",
	}
}

// WriteMetrics writes the status in Prometheus' text format, version 0.0.4.
// See https://prometheus.io/docs/instrumenting/exposition_formats/.
func (s Status) WriteMetrics(w io.Writer) error {
	metrics := s.metrics()
	names := make([]string, 0, len(metrics))
	for name := range metrics {
		names = append(names, name)
	}
	slices.Sort(names)
	texts := help()
	out := bufio.NewWriter(w)
	for _, name := range names {
		text, ok := texts[name]
		if !ok {
			text = name
		}
		kind := "gauge"
		if strings.HasSuffix(name, "_total") {
			kind = "counter"
		}
		fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, escapeHelp(text), name, kind)
		for _, v := range metrics[name] {
			fmt.Fprintf(out, "%s%s %s\n", name, v.labels(), formatValue(v.value))
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing metrics: %w", err)
	}
	return nil
}

// metrics returns the samples of each metric.
func (s Status) metrics() map[string][]sample {
	m := map[string][]sample{
		"edge_build_info":         {{more: [][2]string{{"version", s.Version}}, value: 1}},
		"edge_start_time_seconds": {{value: float64(s.Started.UnixMilli()) / 1000}},
		"edge_hub_online":         {{value: number(s.Hub.Online)}},
		"edge_problems":           {{value: float64(len(s.Problems))}},
	}
	labelled := map[string]bool{}
	for _, d := range s.Devices {
		label := string(d.Kind)
		m["edge_device_online"] = append(m["edge_device_online"], sample{label: label, device: d.Name, value: number(d.State == devices.Online)})
		for name, count := range d.Counters {
			labelled[name] = true
			m[name] = append(m[name], sample{label: label, device: d.Name, value: float64(count)})
		}
		if d.Reading != nil {
			m["edge_sensor_value"] = append(m["edge_sensor_value"],
				sample{label: label, device: d.Name, more: [][2]string{{"unit", d.Reading.Unit}}, value: d.Reading.Value})
			m["edge_sensor_last_reading_seconds"] = append(m["edge_sensor_last_reading_seconds"],
				sample{label: label, device: d.Name, value: float64(d.Reading.Time.UnixMilli()) / 1000})
		}
	}
	for name, count := range s.Counters {
		if !labelled[name] { // the sum of what is labelled would be counted twice
			m[name] = append(m[name], sample{value: float64(count)})
		}
	}
	return m
}

func number(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

func (v sample) labels() string {
	var all []string
	if v.label != "" {
		all = append(all, v.label+`="`+escapeLabel(v.device)+`"`)
	}
	for _, l := range v.more {
		all = append(all, l[0]+`="`+escapeLabel(l[1])+`"`)
	}
	if len(all) == 0 {
		return ""
	}
	return "{" + strings.Join(all, ",") + "}"
}

func escapeLabel(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(s, "\uFFFD"))
}

func escapeHelp(s string) string { return strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(s) }

func formatValue(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
