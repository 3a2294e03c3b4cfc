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
		"edge_build_info":                         "Version of the edge's program; always 1.",
		"edge_start_time_seconds":                 "When the edge started, in seconds since 1970.",
		"edge_hub_online":                         "Whether the hub is reached: 1 or 0.",
		"edge_problems":                           "What an operator must know of: number of problems.",
		"edge_device_online":                      "Whether a camera or sensor is online: 1 or 0.",
		"edge_sensor_value":                       "Last value of a sensor, in its unit.",
		"edge_sensor_last_reading_seconds":        "Time of a sensor's last reading, in seconds since 1970.",
		"edge_sensor_readings_total":              "Readings of a sensor since it was started.",
		"edge_units_total":                        "Access units of a camera's main stream since it was started.",
		"edge_unit_bytes_total":                   "Bytes of a camera's main stream since it was started.",
		"edge_published_packets_total":            "Packets of live video sent to the hub.",
		"edge_published_again_total":              "Packets of live video that the hub requested again.",
		"edge_publish_dropped_frames_total":       "Frames of live video not sent because the line to the hub carries less, or alerts come first.",
		"edge_publish_yields_total":               "Times that live video made way for alerts.",
		"edge_publish_pauses_total":               "Times that live video paused because the line did not even carry keyframes.",
		"edge_units_dropped_total":                "Access units that a reader of a camera's streams was too slow for.",
		"edge_camera_sessions_total":              "RTSP sessions that had frames.",
		"edge_camera_packets_total":               "RTP packets of a camera's video that arrived.",
		"edge_camera_lost_packets_total":          "RTP packets of a camera's video that did not arrive.",
		"edge_camera_damaged_frames_total":        "Frames of a camera that were dropped because a packet was lost.",
		"edge_camera_lost_percent":                "Share of a camera's RTP packets that did not arrive in the last minute, in percent.",
		"edge_results_dropped_total":              "Results of detection that the rules were too slow for.",
		"edge_snapshots_total":                    "Snapshots that were saved as evidence.",
		"edge_snapshots_missed_total":             "Snapshots that could not be taken.",
		"edge_clips_total":                        "Clips that were saved as evidence.",
		"edge_clips_missed_total":                 "Clips that could not be recorded, or not as long as they should be.",
		"edge_snapshots_small_total":              "Snapshots from the stream for detection, because the main stream had no such frame.",
		"edge_worker_restarts_total":              "Restarts of a camera's worker.",
		"edge_worker_crashes_total":               "Crashes of a camera's worker.",
		"edge_worker_quarantines_total":           "How often detection was switched off after crashes.",
		"edge_frames_analysed_total":              "Frames in which objects were looked for.",
		"edge_looks_total":                        "Frames in which the object model looked for objects.",
		"edge_model_budget":                       "Inferences of the object model a second that all cameras share.",
		"edge_model_restarts_total":               "Restarts of the process that runs the object model.",
		"edge_model_crashes_total":                "Crashes of the process that runs the object model.",
		"edge_model_looks_total":                  "Inferences of the object model for all cameras.",
		"edge_model_looks_missed_total":           "Turns of cameras that had no new frame in time.",
		"edge_model_inference_milliseconds_total": "Time that the inferences took.",
		"edge_model_runtime_milliseconds_total":   "Time of the inferences that was spent in the bare call of the runtime.",
		"edge_model_cpu_milliseconds_total":       "Processor time of the process that runs the object model.",
		"edge_frames_repeated_total":              "Frames decoded again after a restart of a worker, and not judged again.",
		"edge_worker_cpu_milliseconds_total":      "CPU time of a camera's workers, in milliseconds.",
		"edge_readings_total":                     "Readings of all sensors.",
		"edge_messages_refused_total":             "Messages that do not fit the mapping of their sensor.",
		"edge_messages_unmatched_total":           "Messages of topics that belong to no sensor.",
		"edge_messages_not_kept_total":            "Messages that could not be saved and were not acknowledged.",
		"edge_messages_dropped_total":             "Messages of QoS 0 that were dropped because too many waited.",
		"edge_broker_refused_logins_total":        "Logins that the embedded broker refused.",
		"edge_broker_refused_topics_total":        "Messages that the embedded broker refused for their topic.",
		"edge_uplink_failures_total":              "Requests to the hub that failed.",
		"edge_uplink_refused_events_total":        "Events that the hub refused for good.",
		"edge_outbox_alerts":                      "Alerts that wait for the hub.",
		"edge_outbox_telemetry":                   "Batches of readings that wait for the hub.",
		"edge_discovery_refused_total":            "Announcements of devices that were not understood.",
		"edge_discovery_dropped_total":            "Announcements of devices for which the list had no room.",
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
		if d.Video != nil {
			m["edge_camera_lost_percent"] = append(m["edge_camera_lost_percent"], sample{label: label, device: d.Name, value: d.Video.LostPercent})
		}
		if d.Reading != nil {
			if d.Reading.Text == "" {
				m["edge_sensor_value"] = append(m["edge_sensor_value"],
					sample{label: label, device: d.Name, more: [][2]string{{"unit", d.Reading.Unit}}, value: d.Reading.Value})
			}
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
