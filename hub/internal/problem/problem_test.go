package problem_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/problem"
)

func body(t *testing.T, write func(http.ResponseWriter)) (*httptest.ResponseRecorder, string) {
	t.Helper()
	w := httptest.NewRecorder()
	write(w)
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	return w, w.Body.String()
}

func TestAnErrorIsACodeWithParametersAndASentence(t *testing.T) {
	w, got := body(t, problem.New("input_too_long", "field", "title", "count", "200").Write)
	want := `{"title":"Unprocessable Entity","status":422,"detail":"title may have 200 characters at most",` +
		`"code":"input_too_long","params":{"count":"200","field":"title"}}` + "\n"
	if w.Code != http.StatusUnprocessableEntity || got != want {
		t.Errorf("%d %s, want %s", w.Code, got, want)
	}
	w, got = body(t, problem.New("login_throttled").RetryAfter(1500*time.Millisecond).Write)
	want = `{"title":"Too Many Requests","status":429,"detail":"too many attempts; try again in 2 s","code":"login_throttled","params":{"seconds":"2"}}` + "\n"
	if w.Header().Get("Retry-After") != "2" || got != want {
		t.Errorf("%v %s, want %s", w.Header(), got, want)
	}
}

func TestTheCauseOfAnEdgeIsAlsoTheCause(t *testing.T) {
	cause := devices.NewCause("camera_not_online", "device", "yard")
	w, got := body(t, problem.Because(http.StatusServiceUnavailable, cause).Write)
	want := `{"title":"Service Unavailable","status":503,"detail":"yard is not online",` +
		`"cause":{"code":"camera_not_online","params":{"device":"yard"},"text":"yard is not online"},"code":"camera_not_online","params":{"device":"yard"}}` + "\n"
	if w.Code != http.StatusServiceUnavailable || got != want {
		t.Errorf("%d %s, want %s", w.Code, got, want)
	}
}

func TestErrorsOfOneCodeAreTheSame(t *testing.T) {
	err := fmt.Errorf("closing: %w", problem.New("incident_transition", "state", "closed"))
	if !errors.Is(err, problem.New("incident_transition")) || errors.Is(err, problem.New("incident_closed")) {
		t.Errorf("%v is compared by something else than its code", err)
	}
	if got := devices.NewCause("hub_unreachable", "hub", "h").BecauseOf(err).Params["cause_code"]; got != "incident_transition" {
		t.Errorf("as a reason its code is %q", got)
	}
}

func TestRefusedCredentialsTellNothing(t *testing.T) {
	for status, want := range map[int]string{
		http.StatusForbidden:    `{"title":"Forbidden","status":403}` + "\n",
		http.StatusUnauthorized: `{"title":"Unauthorized","status":401}` + "\n",
		http.StatusConflict:     `{"title":"Conflict","status":409,"detail":"it is closed"}` + "\n",
	} {
		w, got := body(t, func(w http.ResponseWriter) { problem.Write(w, status, "it is closed") })
		if w.Code != status || got != want {
			t.Errorf("%d: %d %s", status, w.Code, got)
		}
		if (status == http.StatusUnauthorized) != (w.Header().Get("WWW-Authenticate") == "Bearer") {
			t.Errorf("%d: %v", status, w.Header())
		}
	}
}

func TestTheRegistryIsWellFormed(t *testing.T) {
	codes := map[string]bool{}
	for _, k := range devices.Causes() {
		codes[k.Code] = true
	}
	for _, k := range problem.Kinds() {
		if !regexp.MustCompile(`^[a-z][a-z0-9_]+$`).MatchString(k.Code) || codes[k.Code] {
			t.Errorf("the code %q is not well formed, or not unique among these and those of devices.Causes", k.Code)
		}
		codes[k.Code] = true
		if k.Template == "" || k.Status != 0 && http.StatusText(k.Status) == "" {
			t.Errorf("%s: %d %q", k.Code, k.Status, k.Template)
		}
	}
}
