package devices

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// CauseKind is a code with the sentence that NewCause makes of it.
//
// {name} in Template stands for the parameter of that name. A part in [brackets] is left out
// unless all its parameters are given. Parameters named seconds, retry_in or *_seconds are
// decimal numbers of seconds and are written as a duration. A cause within a cause has the
// parameters cause (its sentence), cause_code and cause_NAME for each of its parameters; see
// Cause.Because.
type CauseKind struct {
	Code     string
	Template string
}

// Causes returns every code that edges and the hub use, in the order of the registry. The
// console has words for each in every language. A code never changes its meaning.
func Causes() []CauseKind {
	return slices.Concat(cameraCauses(), sensorCauses(), valueCauses(), workerCauses(), storeCauses(), hubCauses(), commandCauses(), sessionCauses())
}

func cameraCauses() []CauseKind {
	return []CauseKind{
		{"camera_password_missing", "the camera asks for a user name and password (401)"},
		{"camera_password_refused", "the camera refuses the user name or password (401)"},
		{"camera_access_refused", "the camera refuses access (403)"},
		{"camera_stream_unknown", "the camera knows no stream at this path (404)"},
		{"camera_full", "the camera has no room for another viewer ({status})"},
		{"camera_transport_refused", "the camera serves neither TCP nor UDP as asked (461)"},
		{"camera_status", "the camera answers {status}[ ({message})]"},
		{"camera_no_video", "the camera offers no H.264, H.265 or motion JPEG video[, but {offered}]"},
		{"camera_login_method", "the camera asks for a log-in method that is not supported[: {methods}]"},
		{"camera_login_waiting", "the camera refused this user name and password a moment ago; the next log-in waits, because cameras lock accounts"},
		{"camera_certificate_untrusted", "the camera's certificate is not trusted (SHA-256 {fingerprint}); if it is the camera's own, add it as the camera's fingerprint"},
		{"camera_certificate_changed", "the camera's certificate is not the one that was configured; its SHA-256 is {fingerprint}"},
		{"camera_needs_tls", "the camera expects TLS at {address}: its address begins with rtsps://"},
		{"camera_no_tls", "the camera speaks no TLS at {address}: its address begins with rtsp://, or the port is wrong"},
		{"camera_http", "a web server answers at {address}, not RTSP: the port is wrong"},
		{"camera_header_too_large", "the camera's answer has a header that is too large"},
		{"camera_description_too_large", "the camera's description is too large ({bytes} bytes)"},
		{"camera_redirect_loop", "the camera redirects again and again"},
		{"camera_redirect_insecure", "the camera redirects from a connection with TLS to one without"},
		{"camera_session_ended", "the camera ended the session"},
		{"camera_closed_connection", "the camera closed the connection"},
		{"camera_name_unknown", "the name {host} is not known"},
		{"camera_connection_refused", "nothing answers at {address} (connection refused)"},
		{"camera_no_route", "nothing answers at {address} (no route)"},
		{"camera_timed_out", "nothing answers at {address} (no answer within {seconds})"},
		{"camera_not_rtsp", "what answers at {address} does not speak RTSP, or too slowly"},
		{"camera_not_understood", "what answers at {address} is not understood[: {reason}]"},
		{"camera_no_frames", "connected, but no frames for {seconds}"},
		{"camera_no_keyframe", "connected, but no keyframe within {seconds}"},
		{"camera_waiting_for_keyframe", "connected, waiting for a keyframe (for {seconds})"},
		{"camera_losing_packets", "{device} loses packets: {percent} % of the last minute's ({count}) did not arrive; check its cable, its radio link and the switch"},
		{"camera_udp_only_silent", "the camera serves UDP only, and nothing comes by UDP: let UDP from the camera pass the firewall"},
		{"camera_tcp_refused", "the camera does not serve TCP (461): set transport: auto"},
		{"camera_udp_silent", "connected, but nothing comes by UDP"},
		{"video_left_out", "only the first video of the camera is used; {count} more are left out ({codecs})"},
		{"audio_left_out", "the camera's audio is left out: {codec} cannot be passed on, G.711 and Opus can"},
		{"audio_refused", "the camera's audio ({codec}) is left out: the camera refuses it[ ({reason})]"},
		{"video_b_frames", "the camera sends B-frames, which live video in a browser cannot show; turn them off in the camera (profile Baseline, or no B-frames)"},
		{"video_not_live", "the camera sends {codec}, which live video in a browser cannot show"},
		{"codec_not_playable", "the camera sends {codec}, which this viewer cannot play"},
		{"device_not_heard", "not heard of since the edge started"},
		{"device_failed", "it failed and is started again: {reason}"},
		{"edge_not_heard", "its edge {edge} has not been heard of yet"},
		{"edge_silent", "its edge {edge} has not been heard of since {since}"},
	}
}

func sensorCauses() []CauseKind {
	return []CauseKind{
		{"broker_login_refused", "the broker at {broker} refuses the user name or password"},
		{"broker_client_refused", "the broker at {broker} refuses the client's name"},
		{"broker_unavailable", "the broker at {broker} says that it is unavailable"},
		{"broker_client_id_in_use", "another client uses the client ID {client_id} at the broker {broker}, most likely a copy of this edge: give one of them another client_id"},
		{"broker_not_mqtt", "what answers at {broker} does not speak MQTT, or wants mqtts://"},
		{"broker_topics_refused", "the broker at {broker} refuses the topics {topics}"},
		{"broker_authority_unreadable", "the broker at {broker}: {reason}"},
		{"broker_certificate_unreadable", "the broker at {broker}: {reason}"},
		{"broker_refuses_certificate", "the broker at {broker} refuses this edge's certificate, or wants one: {reason}"},
		{"broker_message_invalid", "[{count} ]messages of the broker at {broker} are not valid MQTT and are dropped: {reason}"},
		{"broker_connection_refused", "nothing answers at {broker} (connection refused)"},
		{"broker_name_unknown", "the name of the broker {broker} is not known"},
		{"broker_certificate_untrusted", "the certificate of the broker at {broker} cannot be trusted[: {cause}][: {reason}]"},
		{"broker_closed_connection", "the broker at {broker} closed the connection"},
		{"broker_timed_out", "nothing answers at {broker} (timed out)"},
		{"broker_failed", "the broker at {broker}: {reason}"},
		{"listener_address_in_use", "sensors cannot connect: another program uses {address}"},
		{"listener_certificate_unreadable", "sensors cannot connect by TLS: {reason}"},
		{"message_too_long", "[{count} ]messages on the topic {topic} of the broker {broker} are too long and are dropped: the last had {bytes} bytes, {limit} are allowed"},
		{"message_topic_refused", "[{count} ]messages of the user {user} on the topic {topic} are dropped, because the user may not publish there"},
		{"sensor_login_refused", "a sensor at {address} cannot log in as {user}: unknown user or wrong password"},
		{"sensor_logins_blocked", "a sensor at {address} has tried so often to log in as {user} with a wrong password that it is refused for {retry_in}"},
		{"sensor_not_understood", "[{count} ]connections of the user {user} at {address} were closed, because what it sends is not valid MQTT: {reason}"},
		{"sensor_subscribes", "the user {user} tries to subscribe to {topic}: the embedded broker only receives readings"},
		{"listener_failed", "sensors cannot connect: {reason}"},
		{"reading_not_understood", "[{device}: ]what the sensor sends is not understood[: {cause}][: {reason}][; it sent: {excerpt}]"},
		{"reading_time_unreadable", "[{device}: ]the time of its readings is not understood[: {cause}][; it sent: {excerpt}]; they are dated by their arrival"},
		{"reading_time_implausible", "[{device}: ]the time of its readings cannot be right ({excerpt}); they are dated by their arrival"},
		{"sensor_silent", "no reading for more than {seconds}, expected every {every_seconds}[; {cause}]"},
		{"template_full", "more than {count} devices publish on the topics of {template}; further ones are ignored"},
		{"template_not_saved", "the devices of templates that were heard of cannot be saved: {reason}"},
		{"sensor_messages_lost", "messages of {node} were lost, so that values may be old until it announces all of them again"},
		{"sensor_reported_offline", "the sensor, or its broker for it, reported that it is offline"},
		{"sensor_never_read", "no reading since the edge started, expected every {every_seconds}[; {cause}]"},
	}
}

// valueCauses say why a value or its time cannot be read; they stand within reading_not_understood and
// reading_time_unreadable.
func valueCauses() []CauseKind {
	return []CauseKind{
		{"value_absent", "there is no value at {path}"},
		{"value_not_scalar", "the value is an object or a list"},
		{"value_not_number", "the value \"{value}\" is neither a number nor a known word"},
		{"value_ambiguous", "the value \"{value}\" can be read in two ways; decimal: comma or decimal: point would say which"},
		{"value_inexact", "the integer {value} has more digits than a number holds; type: text would keep them"},
		{"value_out_of_range", "the value is out of the range of a number"},
		{"value_unit", "the value is in \"{from}\", which cannot be converted to \"{to}\"; scale would say how"},
		{"value_not_encoded", "the value is not {encoding}"},
		{"value_too_short", "the value has {count} bytes, and bytes {first} to {last} are to be read"},
		{"payload_empty", "the payload is empty"},
		{"payload_not_json", "the payload is not JSON, from byte {at} on"},
		{"time_absent", "there is nothing at {path}"},
		{"time_not_text", "it is neither a text nor a number"},
		{"time_form_unknown", "it is not in a form that is known; time_format would name it"},
		{"time_zone_missing", "it names no time zone; time_zone would"},
		{"time_not_format", "it is not of the form that time_format names"},
	}
}

func workerCauses() []CauseKind {
	const retry = "[; it has failed so often that the next start is only in {retry_in}]"
	return []CauseKind{
		{"worker_missing", "there is no worker program on this edge: its cameras are recorded and relayed, but nothing is detected"},
		{"worker_not_executable", "the worker cannot be started: {detail}" + retry},
		{"worker_user", "the worker's user cannot be used: {detail}" + retry},
		{"worker_quarantined", "detection is off for {retry_in} after {crashes} crashes in a row: {cause}"},
		{"worker_not_ready", "the worker was not ready within {seconds}" + retry},
		{"worker_gave_up", "the worker gave up: {detail}" + retry},
		{"worker_memory", "the worker needed more memory than it may use[: {detail}]" + retry},
		{"worker_exited", "the worker exited with status {status}[, saying: {output}]" + retry},
		{"worker_aborted", "the worker aborted, as native code does on unexpected input[; it said: {output}]" + retry},
		{"worker_signal", "the worker was ended by signal {signal}[, saying: {output}]" + retry},
		{"worker_violation", "the worker tried what workers may not do and was ended[, saying: {output}]" + retry},
		{"worker_hung", "the worker gave no answer for {seconds} and was killed" + retry},
		{"worker_protocol", "the worker sent an invalid message[: {detail}]" + retry},
		{"worker_stream_closed", "the camera's stream was closed" + retry},
		{"worker_failed", "the worker failed[: {detail}][, saying: {output}]" + retry},
		{"detection_no_frames", "{device}: nothing is detected, because the stream for detection has no frames: {cause}"},
		{"model_quarantined", "the object model is off for {retry_in} after {crashes} crashes in a row: {cause}"},
		{"detection_without_model", "{device}: motion is detected instead of objects, because the object model does not run: {cause}"},
		{"detection_stopped", "{device}: nothing is detected: {cause}"},
	}
}

func storeCauses() []CauseKind {
	return []CauseKind{
		{"alerts_lost", "{count} alerts are lost, because they could not be stored for too long"},
		{"alerts_in_memory", "{count} alerts are only in memory[: {cause}][: {reason}]"},
		{"readings_not_stored", "readings cannot be stored and are not acknowledged[: {cause}][: {reason}]"},
		{"snapshots_missed", "[{device}: ]{count} snapshots could not be taken[: {reason}]"},
		{"clips_missed", "[{device}: ]{count} clips could not be recorded as they should[: {reason}]"},
		{"disk_full", "the disk is full"},
		{"store_full", "the store is full"},
		{"store_damaged", "a file of the store was damaged, and only what could be read was saved[: {file}, the original is {copy}]"},
		{"store_failed", "writing to the store fails: {reason}"},
		{"wal_damaged", "the newest entries of the store may be lost, because its write-ahead log was damaged[: {file}, a copy is {copy}]"},
		{"store_thinned", "readings were reduced to one a minute, because they waited for too long"},
		{"store_expired", "it was older than what the store keeps"},
		{"incident_unreadable", "{count} open incidents could not be read from the disk and were set aside, the first is {incident}"},
		{"outbox_full", "more alerts wait for the hub than the edge can hold; the oldest are dropped"},
		{"invalid_value", "the value cannot be stored or sent"},
		{"file_missing", "the file is no longer on the edge's disk"},
		{"file_damaged", "the file has changed on the edge's disk"},
		{"clock_untrusted", "the clock of this edge is not synchronized"},
		{"reload_refused", "the new configuration was refused and changes nothing: {reason}"},
		{"status_unavailable", "the status of this edge is not available at {address}: {reason}"},
		{"more_problems", "and {count} more"},
	}
}

func hubCauses() []CauseKind {
	return []CauseKind{
		{"hub_not_reached", "the hub has not been reached since the start"},
		{"hub_connection_refused", "nothing answers at the hub's address {hub} (connection refused)"},
		{"hub_refuses_edge", "the hub at {hub} refuses this edge: its certificate has been revoked or has expired, or is from another hub"},
		{"hub_name_unknown", "the hub's name {hub} is not known"},
		{"hub_certificate_expired", "the certificate of the hub at {hub} has expired, or this edge's clock is wrong"},
		{"hub_refuses_certificate", "the hub at {hub} does not accept this edge's certificate[: {reason}]"},
		{"hub_timed_out", "the hub at {hub} does not answer (timed out)"},
		{"hub_answers", "the hub at {hub} answers {status}[: {reason}]"},
		{"hub_unreachable", "the hub at {hub} cannot be reached: {reason}"},
		{"hub_certificate_foreign", "the certificate of the hub at {hub} is not from the authority that this edge was enrolled with"},
		{"hub_answer_invalid", "the answer of the hub at {hub} makes no sense: {reason}"},
		{"hub_protocol", "the hub at {hub} does not speak this edge's protocol: one of the two must be updated[ (edge: {edge_version}, hub: {hub_version})]"},
		{"edge_copied", "another copy of this edge speaks to the hub: only one may run"},
		{"not_enrolled", "this edge is not enrolled: {reason}"},
		{"certificate_not_renewed", "the edge's certificate cannot be renewed and expires on {date}: {cause}"},
		{"telemetry_failing", "readings do not reach the hub: {cause}"},
		{"evidence_failing", "evidence does not reach the hub: {cause}"},
		{"evidence_unreadable", "a file of evidence cannot be read: {reason}"},
		{"commands_failing", "commands of the hub do not arrive: {cause}"},
		{"check_failing", "the hub cannot be asked which incidents it lacks: {cause}"},
		{"clock_ahead", "this edge's clock is {seconds} ahead of the hub's"},
		{"clock_behind", "this edge's clock is {seconds} behind the hub's"},
		{"events_unreadable", "the hub could not read {count} events"},
		{"hub_refused", "the hub cannot read it"},
		{"refused_by_hub", "the hub does not want the file any more"},
		{"unknown_to_hub", "the hub does not know the file, although it was announced"},
		{"events_refused", "the hub refused {count} events"},
	}
}

func commandCauses() []CauseKind {
	return []CauseKind{
		{"edge_stopping", "the edge is stopping"},
		{"camera_unknown", "{edge} has no camera {device}"},
		{"camera_not_online", "{device} is not online[: {cause}]"},
		{"command_unknown", "this edge does not know the command {command}"},
		{"camera_without_sub_stream", "{device} has no sub-stream"},
		{"command_expired", "the command had expired when it arrived"},
		{"publications_full", "this edge already sends {count} cameras, and no more at a time"},
		{"command_failed", "the command failed: {reason}"},
	}
}

// sessionCauses are of WebRTC sessions, and of certificates.
func sessionCauses() []CauseKind {
	return []CauseKind{
		{"session_lost", "the connection was lost"},
		{"session_closed_by_peer", "the other side closed the connection"},
		{"session_not_connected", "no connection came about within {seconds}"},
		{"session_no_frames", "connected, but no frames for {seconds}"},
		{"certificate_authority_unknown", "it is from an authority that is not known here"},
		{"certificate_time", "it has expired or is not valid yet, or the clock is wrong"},
		{"certificate_name", "it is for another name"},
	}
}

var templates = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	for _, k := range Causes() {
		all[k.Code] = k.Template
	}
	return all
})

// NewCause returns the cause with the code and its English sentence. params are pairs of a
// parameter's name and value; empty values are left out. A code that is not in the registry
// becomes its own sentence.
func NewCause(code string, params ...string) Cause {
	c := Cause{Code: code}
	for i := 0; i+1 < len(params); i += 2 {
		if params[i+1] == "" {
			continue
		}
		if c.Params == nil {
			c.Params = map[string]string{}
		}
		c.Params[params[i]] = params[i+1]
	}
	c.Text = c.sentence()
	return c
}

// Because returns the cause with another one as its reason.
func (c Cause) Because(inner Cause) Cause {
	if inner.IsZero() {
		return c
	}
	params := maps.Clone(c.Params)
	if params == nil {
		params = map[string]string{}
	}
	params["cause"] = inner.Text
	if inner.Code != "" {
		params["cause_code"] = inner.Code
	}
	for name, value := range inner.Params {
		params["cause_"+name] = value
	}
	out := Cause{Code: c.Code, Params: params}
	out.Text = out.sentence()
	return out
}

// BecauseOf returns the cause with err as its reason: with the cause that err carries by a method
// Cause() Cause, or else with err's text as the parameter reason.
func (c Cause) BecauseOf(err error) Cause {
	var coded interface{ Cause() Cause }
	if errors.As(err, &coded) {
		return c.Because(coded.Cause())
	}
	return c.With("reason", err.Error())
}

// With returns the cause with one more parameter.
func (c Cause) With(name, value string) Cause {
	params := maps.Clone(c.Params)
	if params == nil {
		params = map[string]string{}
	}
	params[name] = value
	out := Cause{Code: c.Code, Params: params}
	out.Text = out.sentence()
	return out
}

// Seconds writes a duration as the value of a parameter in seconds.
func Seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Round(time.Millisecond).Seconds(), 'f', -1, 64)
}

// isSeconds says whether a parameter is a number of seconds.
func isSeconds(name string) bool {
	return name == "seconds" || name == "retry_in" || strings.HasSuffix(name, "_seconds")
}

var (
	optional = regexp.MustCompile(`\[[^\]]*\]`)
	blank    = regexp.MustCompile(`\{\w+\}`)
)

// sentence fills the template of the code.
func (c Cause) sentence() string {
	template, ok := templates()[c.Code]
	if !ok {
		return c.Code
	}
	return Sentence(template, c.Params)
}

// Sentence fills a template as CauseKind says, for registries of other packages.
func Sentence(template string, params map[string]string) string {
	template = optional.ReplaceAllStringFunc(template, func(part string) string {
		for _, b := range blank.FindAllString(part, -1) {
			if params[b[1:len(b)-1]] == "" {
				return ""
			}
		}
		return part[1 : len(part)-1]
	})
	return blank.ReplaceAllStringFunc(template, func(b string) string {
		name := b[1 : len(b)-1]
		value := params[name]
		if isSeconds(name) {
			return duration(value)
		}
		return value
	})
}

// duration writes a number of seconds as people read it: "300 ms", "10 s", "1h30m".
func duration(seconds string) string {
	n, err := strconv.ParseFloat(seconds, 64)
	if err != nil || n < 0 || n > 1e9 {
		return seconds + " s"
	}
	d := time.Duration(n * float64(time.Second))
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
	}
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
