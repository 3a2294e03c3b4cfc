package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/hub/api"
	"gridpost/hub/api/public"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/desk"
	"gridpost/hub/internal/store/incidents"
)

// code returns the code of a refusal.
func (a answer) code(t *testing.T) (code string, params map[string]string) {
	t.Helper()
	var p struct {
		Code   string
		Params map[string]string
	}
	a.decode(t, &p)
	return p.Code, p.Params
}

// TestExpectedVersion: two people act on the incident that both have seen; the second is told.
func TestExpectedVersion(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	path := "/api/v1/incidents/" + incidentID
	seen := p.call(t, auth.Monitor, "GET", path, nil).header.Get("ETag")
	first := p.call(t, auth.Dispatcher, "POST", path+"/acknowledge", nil, "If-Match", seen)
	if first.status != http.StatusOK || first.header.Get("ETag") == seen {
		t.Fatalf("%d, tag %s after %s", first.status, first.header.Get("ETag"), seen)
	}
	now := first.header.Get("ETag")
	for _, match := range []string{seen, "W/" + now, `"x"`, "3", `"0", ` + seen} {
		got := p.call(t, auth.Dispatcher, "POST", path+"/close", nil, "If-Match", match)
		if code, params := got.code(t); got.status != http.StatusPreconditionFailed || code != "incident_changed" || `"`+params["version"]+`"` != now {
			t.Errorf("If-Match %s: %d %s", match, got.status, got.body)
		}
	}
	for _, act := range []struct{ method, verb, match string }{
		{"POST", "notes", "*"}, {"POST", "hold", ""}, {"POST", "assign", ""}, {"POST", "close", ""}, {"POST", "reopen", ""}, {"DELETE", "acknowledge", ""},
	} {
		body := map[string]any{}
		switch act.verb {
		case "notes":
			body["text"] = "on the way"
		case "hold":
			body["held"] = true
		case "assign":
			body["assignee"] = "li"
		}
		match := act.match
		if match == "" {
			match = `"1", ` + now
		}
		var sent any = body
		if act.method == "DELETE" {
			sent = nil
		}
		got := p.call(t, auth.Dispatcher, act.method, path+"/"+act.verb, sent, "If-Match", match)
		if got.status != http.StatusOK {
			t.Fatalf("%s %s: %d %s", act.method, act.verb, got.status, got.body)
		}
		now = got.header.Get("ETag")
	}
}

// TestTheRolesAreThoseOfTheTable asks for each action as each role.
func TestTheRolesAreThoseOfTheTable(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	var table struct {
		Version     int
		Transitions []struct {
			Action desk.Action
			Role   auth.Role
		}
	}
	p.call(t, auth.Monitor, "GET", "/api/v1/incidents/transitions", nil).decode(t, &table)
	if table.Version != desk.TableVersion || len(table.Transitions) != len(desk.Transitions()) {
		t.Errorf("%+v", table)
	}
	paths := map[desk.Action][2]string{
		desk.Acknowledge: {"POST", "acknowledge"}, desk.Unacknowledge: {"DELETE", "acknowledge"}, desk.Assign: {"POST", "assign"}, desk.Note: {"POST", "notes"},
		desk.Close: {"POST", "close"}, desk.Reopen: {"POST", "reopen"}, desk.Hold: {"POST", "hold"}, desk.Join: {"POST", "join"},
	}
	bodies := map[desk.Action]any{
		desk.Assign: map[string]string{"assignee": "li"}, desk.Note: map[string]string{"text": "x"}, desk.Hold: map[string]bool{"held": false},
		desk.Join: map[string]string{"into": "other"},
	}
	for action, path := range paths {
		for _, role := range []auth.Role{auth.Monitor, auth.Dispatcher, auth.Administrator} {
			got := p.call(t, role, path[0], "/api/v1/incidents/none/"+path[1], bodies[action])
			want := http.StatusForbidden
			if role.Allows(auth.Role(desk.May(action))) {
				want = http.StatusNotFound
			}
			if got.status != want {
				t.Errorf("%s as %s: %d, want %d", action, role, got.status, want)
			}
		}
	}
}

// TestAcknowledgeAndReopen takes an acknowledgement back, and opens a closed incident again.
func TestAcknowledgeAndReopen(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	do := func(method, verb string, body any, want int) (inc public.Incident) {
		t.Helper()
		got := p.call(t, auth.Dispatcher, method, "/api/v1/incidents/"+incidentID+"/"+verb, body)
		if got.status != want {
			t.Fatalf("%s %s: %d %s", method, verb, got.status, got.body)
		}
		if want == http.StatusOK {
			got.decode(t, &inc)
		}
		return inc
	}
	if inc := do("POST", "acknowledge", nil, 200); inc.StateBy == "" {
		t.Errorf("acknowledged by nobody: %+v", inc)
	}
	if inc := do("DELETE", "acknowledge", nil, 200); inc.State != public.StateOpen || inc.Assignee != "" || inc.StateBy != "" {
		t.Errorf("not taken back: %+v", inc)
	}
	if inc := do("DELETE", "acknowledge", nil, 200); kinds(inc) != "opened evidence acknowledged unacknowledged" {
		t.Errorf("taken back twice: %s", kinds(inc))
	}
	closed := do("POST", "close", map[string]string{"outcome": "false_alarm", "text": "a fox"}, 200)
	if closed.StateBy == "" || closed.ClosedAt == nil || closed.Outcome != "false_alarm" {
		t.Errorf("%+v", closed)
	}
	if last := closed.Timeline[len(closed.Timeline)-1]; string(last.Data) != `{"outcome":"false_alarm"}` || last.RecordedAt.IsZero() || !last.At.Equal(last.OccurredAt) {
		t.Errorf("%+v", last)
	}
	do("POST", "close", map[string]string{"outcome": "eaten"}, http.StatusUnprocessableEntity)
	do("DELETE", "acknowledge", nil, http.StatusConflict)
	inc := do("POST", "reopen", nil, 200)
	if inc.State != public.StateAcknowledged || inc.ClosedAt != nil || inc.StateBy == "" || inc.Outcome != "" {
		t.Errorf("not opened again: %+v", inc)
	}
	if again := do("POST", "reopen", nil, 200); again.Version != inc.Version {
		t.Errorf("opened again twice: versions %d and %d", inc.Version, again.Version)
	}
}

func TestReportsHaveBoundsAndJoin(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	for _, at := range []time.Time{time.Unix(0, 0), time.Now().Add(time.Hour), time.Now().AddDate(-6, 0, 0)} {
		got := p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]any{"title": "x", "at": at})
		if code, params := got.code(t); got.status != http.StatusUnprocessableEntity || code != "time_invalid" || params["field"] != "at" {
			t.Errorf("at %v: %d %s", at, got.status, got.body)
		}
	}
	got := p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]any{"title": "somebody climbs the fence", "join": incidentID})
	var inc public.Incident
	got.decode(t, &inc)
	if got.status != http.StatusCreated || inc.ID != incidentID || len(inc.Reports) != 1 || inc.Source != public.SourceEdge ||
		got.header.Get("Location") != "/api/v1/incidents/"+incidentID {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]any{"title": "x", "join": "none"}); got.status != http.StatusNotFound {
		t.Errorf("joining nothing: %d", got.status)
	}
	var own public.Incident
	p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]any{"title": "a burglar"}).decode(t, &own)
	got = p.call(t, auth.Dispatcher, "POST", "/api/v1/incidents/"+own.ID+"/join", map[string]string{"into": incidentID})
	got.decode(t, &own)
	if got.status != http.StatusOK || own.State != public.StateClosed || own.Outcome != "joined" {
		t.Errorf("%d %s", got.status, got.body)
	}
	p.call(t, auth.Monitor, "GET", "/api/v1/incidents/"+incidentID, nil).decode(t, &inc)
	if len(inc.Reports) != 2 || inc.Reports[1].Title != "a burglar" {
		t.Errorf("%+v", inc.Reports)
	}
}

// TestListsOfIncidents asks for groups, noise, counts, a search and chosen incidents.
func TestListsOfIncidents(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	now := time.Now().Add(-time.Minute)
	for i := range 4 {
		p.alert(t, incidents.Alert{Title: "motion in the yard", Occurred: now, Incident: detection.Incident{
			ID: incidentID[:35] + string(rune('a'+i)), Device: "yard", Rule: "door", Kind: detection.Line, Severity: detection.Severe,
			State: detection.Open, Opened: now, Updated: now, Version: 1, Count: 1,
		}})
	}
	p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]any{"title": "西门水位超过警戒线"})
	type list struct {
		Incidents []public.Incident
		Groups    []public.IncidentGroup
		Next      *string
	}
	get := func(query string) (l list) {
		t.Helper()
		got := p.call(t, auth.Monitor, "GET", "/api/v1/incidents?"+query, nil)
		if got.status != http.StatusOK {
			t.Fatalf("%s: %d %s", query, got.status, got.body)
		}
		got.decode(t, &l)
		return l
	}
	var counts []int
	next := ""
	for {
		l := get("grouped=true&limit=1&next=" + next)
		for _, g := range l.Groups {
			counts = append(counts, g.Count)
			if got := get("group=" + g.ID); len(got.Incidents) != g.Count || g.Title == "" || g.Newest.ID == "" {
				t.Errorf("%+v has %d incidents", g, len(got.Incidents))
			}
		}
		if l.Next == nil || len(counts) > 5 {
			break
		}
		next = *l.Next
	}
	if slices.Sort(counts); !slices.Equal(counts, []int{1, 1, 4}) {
		t.Errorf("groups of %v", counts)
	}
	one := get("grouped=true&limit=1").Groups[0]
	if got := get("grouped=true&ids=none," + one.ID); len(got.Groups) != 1 || got.Groups[0].ID != one.ID {
		t.Errorf("the group %s by its ID: %+v", one.ID, got.Groups)
	}
	for query, want := range map[string]int{
		"q=" + url.QueryEscape("水位"): 1, "q=motion+door": 4, "q=motion&severity=moderate": 1, "q=nothing": 0, "rule=door&condition=open": 4, "kind=report": 1,
		"source=edge&state=unclosed&site=gate-7": 5, "until=" + now.Add(-time.Hour).UTC().Format(time.RFC3339): 0, "assignee=li": 0,
		"ids=" + incidentID + ",none": 1,
	} {
		if l := get(query); len(l.Incidents) != want {
			t.Errorf("%s: %d incidents, want %d", query, len(l.Incidents), want)
		}
	}
	for query, want := range map[string]string{"grouped=true&q=x": "groups_filter", "grouped=true&sort=severity": "groups_filter", "grouped=true&outcome=other": "groups_filter", "sort=device&q=x": "search_sort", "q=%21": "search_empty"} {
		got := p.call(t, auth.Monitor, "GET", "/api/v1/incidents?"+query, nil)
		if code, _ := got.code(t); got.status != http.StatusUnprocessableEntity || code != want {
			t.Errorf("%s: %d %s", query, got.status, got.body)
		}
	}
	var noise struct {
		Rules []public.NoisyRule
		Since time.Time
		Until time.Time
	}
	day := now.UTC().Format(time.DateOnly)
	p.call(t, auth.Monitor, "GET", "/api/v1/incidents/noise?day="+day, nil).decode(t, &noise)
	if len(noise.Rules) == 0 || noise.Rules[0].Rule != "door" || noise.Rules[0].Count != 4 || noise.Rules[0].Groups != 1 {
		t.Errorf("%+v", noise)
	}
	p.call(t, auth.Monitor, "GET", "/api/v1/incidents/noise?day=2026-03-29&tz=Europe/Berlin", nil).decode(t, &noise)
	if noise.Until.Sub(noise.Since) != 23*time.Hour {
		t.Errorf("the day on which summer time begins has %v", noise.Until.Sub(noise.Since))
	}
	for _, bad := range []string{"tz=Nowhere/City", "tz=Local", "day=2026-13-01", "day=today"} {
		if got := p.call(t, auth.Monitor, "GET", "/api/v1/incidents/noise?"+bad, nil); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", bad, got.status)
		}
	}
	var sums struct{ Counts []public.IncidentCount }
	p.call(t, auth.Monitor, "GET", "/api/v1/incidents/counts", nil).decode(t, &sums)
	if len(sums.Counts) != 2 || sums.Counts[0].Count+sums.Counts[1].Count != 6 {
		t.Errorf("%+v", sums)
	}
}

// TestAnnouncedEvidenceIsNews: a console that has an incident takes an entry of the live stream for it only
// when the version is new.
func TestAnnouncedEvidenceIsNews(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	var before public.Incident
	p.call(t, auth.Monitor, "GET", "/api/v1/incidents/"+incidentID, nil).decode(t, &before)
	last, err := p.db.LastChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ev := api.Evidence{Incident: incidentID, Name: "b.jpg", ContentType: "image/jpeg", Size: 7, SHA256: before.Evidence[0].SHA256, Time: time.Now()}
	p.update(t, func(tx *db.Tx) error { return p.incidents.AnnounceEvidence(tx, "gate-7", ev, ev.Time) })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var inc public.Incident
	if err := p.listen(ctx, t, p.tokens[auth.Monitor], strconv.FormatInt(last, 10), func(l line) bool {
		if l.id <= last {
			return true // the greeting
		}
		if err := json.Unmarshal([]byte(l.data), &inc); err != nil {
			t.Errorf("%s: %v", l.data, err)
		}
		return false
	}); err != nil {
		t.Fatal(err)
	}
	if inc.ID != incidentID || inc.Version != before.Version+1 || len(inc.Evidence) != 2 || inc.Evidence[1].Complete {
		t.Errorf("%+v", inc)
	}
}
