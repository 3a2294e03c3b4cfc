package problem_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"gridpost/hub/internal/problem"
)

func TestCauseIsGivenToWhoMayAsk(t *testing.T) {
	cause := map[string]string{"code": "camera_not_online", "text": "yard is not online"}
	for status, want := range map[int]string{
		http.StatusServiceUnavailable: `{"title":"Service Unavailable","status":503,"detail":"yard is not online","cause":{"code":"camera_not_online","text":"yard is not online"}}` + "\n",
		http.StatusForbidden:          `{"title":"Forbidden","status":403}` + "\n",
		http.StatusUnauthorized:       `{"title":"Unauthorized","status":401}` + "\n",
	} {
		w := httptest.NewRecorder()
		problem.WriteCause(w, status, "yard is not online", cause)
		if w.Code != status || w.Body.String() != want || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%d: %d %s", status, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	problem.Write(w, http.StatusConflict, "it is closed")
	if want := `{"title":"Conflict","status":409,"detail":"it is closed"}` + "\n"; w.Body.String() != want {
		t.Errorf("%s", w.Body)
	}
}
