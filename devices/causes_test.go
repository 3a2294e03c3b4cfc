package devices_test

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"gridpost/devices"
)

func TestCausesAreWellFormed(t *testing.T) {
	code := regexp.MustCompile(`^[a-z][a-z0-9_]{1,59}$`)
	seen := map[string]bool{}
	for _, k := range devices.Causes() {
		if !code.MatchString(k.Code) || seen[k.Code] {
			t.Errorf("the code %q is malformed or is there twice", k.Code)
		}
		seen[k.Code] = true
		var params []string
		for _, b := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(k.Template, -1) {
			params = append(params, b[1], "7")
		}
		for _, c := range []devices.Cause{devices.NewCause(k.Code, params...), devices.NewCause(k.Code, params...).Because(devices.NewCause("disk_full"))} {
			if c.Text == "" || c.Text == k.Code || regexp.MustCompile(`[{}\[\]]|  `).MatchString(c.Text) {
				t.Errorf("%s reads %q", k.Code, c.Text)
			}
		}
	}
}

func TestCauseSentences(t *testing.T) {
	exited := devices.NewCause("worker_exited", "status", "2")
	for want, c := range map[string]devices.Cause{
		"the camera has no room for another viewer (453)":                                           devices.NewCause("camera_full", "status", "453"),
		"the camera answers 500":                                                                    devices.NewCause("camera_status", "status", "500", "message", ""),
		"the camera answers 500 (Oops)":                                                             devices.NewCause("camera_status", "status", "500", "message", "Oops"),
		"nothing answers at 10.0.0.1:554 (no answer within 300 ms)":                                 devices.NewCause("camera_timed_out", "address", "10.0.0.1:554", "seconds", devices.Seconds(300*time.Millisecond)),
		"no reading for more than 2h15m, expected every 45m":                                        devices.NewCause("sensor_silent", "seconds", devices.Seconds(135*time.Minute), "every_seconds", devices.Seconds(45*time.Minute)),
		"the worker exited with status 2":                                                           exited,
		"the worker exited with status 2; it has failed so often that the next start is only in 5m": exited.With("retry_in", "300"),
		"yard: nothing is detected: the worker exited with status 2":                                devices.NewCause("detection_stopped", "device", "yard").Because(exited),
		"no reading since the edge started, expected every 1m30s":                                   devices.NewCause("sensor_never_read", "every_seconds", "90"),
		"no reading since the edge started, expected every 2h":                                      devices.NewCause("sensor_never_read", "every_seconds", "7200"),
		"a_code_of_tomorrow":                                                                        devices.NewCause("a_code_of_tomorrow", "x", "y"),
	} {
		if c.Text != want {
			t.Errorf("%+v reads %q, not %q", c, c.Text, want)
		}
	}
	c := devices.NewCause("detection_stopped", "device", "yard").Because(exited)
	if c.Params["cause_code"] != "worker_exited" || c.Params["cause_status"] != "2" || c.Params["cause"] != exited.Text {
		t.Errorf("the inner cause is not kept: %+v", c.Params)
	}
	full := fmt.Errorf("saving an incident: %w (%w)", fullDisk{}, errors.New("disk I/O error (778)"))
	for want, got := range map[string]devices.Cause{
		"1 alerts are only in memory: the disk is full":   devices.NewCause("alerts_in_memory", "count", "1").BecauseOf(full),
		"2 alerts are only in memory: disk I/O error (1)": devices.NewCause("alerts_in_memory", "count", "2").BecauseOf(errors.New("disk I/O error (1)")),
	} {
		if got.Text != want {
			t.Errorf("%q, not %q", got.Text, want)
		}
	}
	if same := devices.NewCause("disk_full").Because(devices.Cause{}); same.Params != nil || same.Text != "the disk is full" {
		t.Errorf("no cause became one: %+v", same)
	}
}

// fullDisk is an error that carries its cause.
type fullDisk struct{}

func (fullDisk) Error() string        { return "the disk is full" }
func (fullDisk) Cause() devices.Cause { return devices.NewCause("disk_full") }
