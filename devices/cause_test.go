package devices_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"gridpost/devices"
)

func TestCauseReadsBothForms(t *testing.T) {
	for text, want := range map[string]devices.Cause{
		`"wrong password"`: {Text: "wrong password"},
		`{"code":"wrong_password","params":{"user":"x"},"text":"wrong password for x"}`: {
			Code: "wrong_password", Params: map[string]string{"user": "x"}, Text: "wrong password for x",
		},
		`null`: {},
	} {
		var got devices.Cause
		if err := json.Unmarshal([]byte(text), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{`7`, `[]`, `{"code":1}`} {
		if err := json.Unmarshal([]byte(bad), new(devices.Cause)); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}
