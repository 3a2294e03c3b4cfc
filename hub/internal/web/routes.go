package web

import (
	"errors"
	"fmt"
	"net/http"

	"gridpost/hub/internal/announce"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/credential"
	"gridpost/hub/internal/desk"
	"gridpost/hub/internal/problem"
)

// reach says what the scope of a caller means for a route.
type reach int

const (
	anySite  reach = iota // the answer has nothing of a site
	filtered              // the answer has what belongs to the caller's sites only
	named                 // the request names something: outside the caller's sites it does not exist
	own                   // the request names something that the caller began: nobody else may use it
	allSites              // it concerns the hub as a whole: only callers of all sites may use it
)

// suffix ends the sentence about the role in an operation's description.
func (r reach) suffix() string {
	switch r {
	case filtered:
		return "; answers with what belongs to the caller's sites."
	case named:
		return "; what is not of the caller's sites does not exist."
	case allSites:
		return " of all sites."
	}
	return "."
}

// route says who may use an operation. All routes of the public port, but the console's files, are in
// the table of routes, and the server is built from it: a request that matches no row is refused.
type route struct {
	id     string // of the operation
	method string
	path   string
	need   auth.Role // the least; empty: no credentials
	reach  reach
	by     credential.Use // a credential for it admits too, for its camera only; empty: none does
}

func (r route) pattern() string { return r.method + " " + r.path }

// routes returns the table of routes.
func routes() []route {
	const monitor, dispatcher, administrator = auth.Monitor, auth.Dispatcher, auth.Administrator
	table := []route{
		{"healthz", "GET", "/healthz", "", anySite, ""},
		{"readyz", "GET", "/readyz", "", anySite, ""},
		{"incident-event-schema", "GET", announce.SchemaPath, "", anySite, ""},
		{"openapi", "GET", "/openapi.json", monitor, anySite, ""},
		{"metrics", "GET", "/metrics", monitor, allSites, ""},

		{"log-in", "POST", "/api/v1/session", "", anySite, ""},
		{"list-login-ways", "GET", "/api/v1/session/ways", "", anySite, ""},
		{"begin-oidc", "GET", oidcPath, "", anySite, ""},
		{"finish-oidc", "GET", callbackPath, "", anySite, ""},
		{"get-session", "GET", "/api/v1/session", monitor, anySite, ""},
		{"log-out", "DELETE", "/api/v1/session", monitor, anySite, ""},
		{"change-password", "PUT", "/api/v1/session/password", monitor, anySite, ""},
		{"get-totp", "GET", totpPath, monitor, anySite, ""},
		{"begin-totp", "POST", totpPath, monitor, anySite, ""},
		{"enable-totp", "PUT", totpPath, monitor, anySite, ""},
		{"disable-totp", "POST", totpPath + "/disable", monitor, anySite, ""},
		{"list-roster", "GET", "/api/v1/roster", monitor, filtered, ""},

		{"list-incidents", "GET", "/api/v1/incidents", monitor, filtered, ""},
		{"export-incidents", "GET", "/api/v1/incidents.csv", dispatcher, filtered, ""},
		{"count-incidents", "GET", "/api/v1/incidents/counts", monitor, filtered, ""},
		{"list-noise", "GET", "/api/v1/incidents/noise", monitor, filtered, ""},
		{"list-transitions", "GET", "/api/v1/incidents/transitions", monitor, anySite, ""},
		{"get-incident", "GET", "/api/v1/incidents/{id}", monitor, named, ""},
		{"report", "POST", "/api/v1/reports", dispatcher, filtered, ""},
		{"list-mutes", "GET", "/api/v1/mutes", monitor, filtered, ""},
		{"mute-rule", "POST", "/api/v1/mutes", dispatcher, named, ""},
		{"end-mute", "DELETE", "/api/v1/mutes/{id}", dispatcher, named, ""},
		{"get-evidence", "GET", "/api/v1/evidence/{incident}/{name}", monitor, named, ""},
		{"watch-clip", "POST", clipViewsPath, dispatcher, named, ""},
		{"end-clip-view", "DELETE", clipViewsPath + "/{id}", dispatcher, own, ""},
		{"list-pictures", "GET", "/api/v1/pictures", monitor, filtered, ""},
		{"stream", "GET", "/api/v1/stream", monitor, filtered, ""},

		{"list-devices", "GET", "/api/v1/devices", monitor, filtered, ""},
		{"list-readings", "GET", "/api/v1/devices/{edge}/{device}/readings", monitor, filtered, ""},
		{"list-series", "GET", "/api/v1/series", monitor, filtered, ""},
		{"nearby", "GET", "/api/v1/nearby", monitor, filtered, ""},
		{"list-edges", "GET", "/api/v1/edges", monitor, filtered, ""},
		{"list-gaps", "GET", "/api/v1/edges/{name}/gaps", monitor, named, ""},
		{"add-edge", "POST", "/api/v1/edges", administrator, allSites, ""},
		{"revoke-edge", "DELETE", "/api/v1/edges/{name}", administrator, named, ""},

		{"list-map-layers", "GET", layersPath, monitor, anySite, ""},
		{"get-map-layer", "GET", layersPath + "/{name}", monitor, anySite, ""},
		{"get-map-base", "GET", basePath, monitor, anySite, ""},

		{"list-users", "GET", "/api/v1/users", administrator, allSites, ""},
		{"add-user", "POST", "/api/v1/users", administrator, allSites, ""},
		{"rename-user", "PUT", "/api/v1/users/{name}/name", administrator, allSites, ""},
		{"set-password", "POST", "/api/v1/users/{name}/password", administrator, allSites, ""},
		{"set-role", "PUT", "/api/v1/users/{name}/role", administrator, allSites, ""},
		{"set-sites", "PUT", "/api/v1/users/{name}/sites", administrator, allSites, ""},
		{"set-disabled", "PUT", "/api/v1/users/{name}/disabled", administrator, allSites, ""},
		{"remove-totp", "DELETE", "/api/v1/users/{name}/totp", administrator, allSites, ""},
		{"remove-user", "DELETE", "/api/v1/users/{name}", administrator, allSites, ""},

		{"list-tokens", "GET", "/api/v1/tokens", administrator, allSites, ""},
		{"create-token", "POST", "/api/v1/tokens", administrator, allSites, ""},
		{"revoke-token", "DELETE", "/api/v1/tokens/{id}", administrator, allSites, ""},

		{"list-views", "GET", "/api/v1/views", administrator, filtered, ""},
		{"export-views", "GET", "/api/v1/views.csv", administrator, filtered, ""},
		{"end-view", "DELETE", "/api/v1/views/{id}", administrator, named, ""},
		{"list-audit", "GET", "/api/v1/audit", administrator, allSites, ""},
		{"export-audit", "GET", "/api/v1/audit.csv", administrator, allSites, ""},
		{"verify-audit", "POST", "/api/v1/audit/verify", administrator, allSites, ""},

		{"list-webhooks", "GET", "/api/v1/webhooks", administrator, allSites, ""},
		{"add-webhook", "POST", "/api/v1/webhooks", administrator, allSites, ""},
		{"switch-webhook", "PUT", "/api/v1/webhooks/{id}", administrator, allSites, ""},
		{"remove-webhook", "DELETE", "/api/v1/webhooks/{id}", administrator, allSites, ""},
		{"list-deliveries", "GET", "/api/v1/webhooks/{id}/deliveries", administrator, allSites, ""},
		{"test-webhook", "POST", "/api/v1/webhooks/{id}/test", administrator, allSites, ""},

		{"find-live", "GET", "/api/v1/devices/{edge}/{device}/live", dispatcher, named, ""},
		{"live", "GET", "/api/v1/live/{edge}/{device}", dispatcher, named, credential.View},
		{"whep-post", "POST", "/whep/{edge}/{device}", dispatcher, named, credential.View},
		{"whep-options", "OPTIONS", "/whep/{edge}/{device}", dispatcher, named, credential.View},
		{"whep-get", "GET", "/whep/{edge}/{device}", dispatcher, named, credential.View},
		{"whep-session-delete", "DELETE", "/whep/{edge}/{device}/{id}", dispatcher, own, credential.View},
		{"whep-session-patch", "PATCH", "/whep/{edge}/{device}/{id}", dispatcher, own, credential.View},
		{"whep-session-options", "OPTIONS", "/whep/{edge}/{device}/{id}", dispatcher, own, credential.View},
		{"whep-session-get", "GET", "/whep/{edge}/{device}/{id}", dispatcher, own, credential.View},
		{"whip-post", "POST", "/whip/{edge}/{device}", administrator, named, credential.Publish},
		{"whip-options", "OPTIONS", "/whip/{edge}/{device}", administrator, named, credential.Publish},
		{"whip-get", "GET", "/whip/{edge}/{device}", administrator, named, credential.Publish},
		{"whip-session-delete", "DELETE", "/whip/{edge}/{device}/{id}", administrator, named, credential.Publish},
		{"whip-session-patch", "PATCH", "/whip/{edge}/{device}/{id}", administrator, named, credential.Publish},
		{"whip-session-options", "OPTIONS", "/whip/{edge}/{device}/{id}", administrator, named, credential.Publish},
		{"whip-session-get", "GET", "/whip/{edge}/{device}/{id}", administrator, named, credential.Publish},
	}
	for _, a := range []struct {
		id, method, verb string
		action           desk.Action
	}{
		{"acknowledge-incident", "POST", "acknowledge", desk.Acknowledge},
		{"unacknowledge-incident", "DELETE", "acknowledge", desk.Unacknowledge},
		{"assign-incident", "POST", "assign", desk.Assign},
		{"notes-incident", "POST", "notes", desk.Note},
		{"close-incident", "POST", "close", desk.Close},
		{"reopen-incident", "POST", "reopen", desk.Reopen},
		{"hold-incident", "POST", "hold", desk.Hold},
		{"join-incident", "POST", "join", desk.Join},
	} { // who may act on an incident is in the table of transitions
		table = append(table, route{a.id, a.method, "/api/v1/incidents/{id}/" + a.verb, auth.Role(desk.May(a.action)), named, ""})
	}
	return table
}

// plan is the table of routes while the server is built from it.
type plan struct {
	byID      map[string]route
	byPattern map[string]route // of those that have a handler
	errs      []error
}

func newPlan() *plan {
	p := &plan{byID: map[string]route{}, byPattern: map[string]route{}}
	for _, r := range routes() {
		p.byID[r.id] = r
	}
	return p
}

// take returns the row of an operation that is being registered.
func (p *plan) take(id string) route {
	r, ok := p.byID[id]
	if !ok {
		p.errs = append(p.errs, fmt.Errorf("the operation %s is not in the table of routes", id))
		r = route{id: id, method: http.MethodGet, path: "/unknown/" + id, need: auth.Administrator, reach: allSites}
	}
	p.byPattern[r.pattern()] = r
	return r
}

// check returns an error unless the table and the handlers are the same set.
func (p *plan) check() error {
	for _, r := range p.byID {
		if _, ok := p.byPattern[r.pattern()]; !ok {
			p.errs = append(p.errs, fmt.Errorf("the route %s has no handler", r.pattern()))
		}
	}
	return errors.Join(p.errs...)
}

// admit returns the request with its principal, or writes the refusal and returns nil. Requests that match no
// row need credentials too, so that strangers do not learn what exists.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) *http.Request {
	_, pattern := s.mux.Handler(r)
	rule, known := s.plan.byPattern[pattern]
	if known && rule.need == "" {
		return r
	}
	if text := credential.FromRequest(r); text != "" {
		return s.admitCredential(w, r, rule, text)
	}
	p, err := s.o.Auth.Authenticate(r)
	switch {
	case errors.Is(err, auth.ErrDenied):
		problem.Write(w, http.StatusUnauthorized, "")
		return nil
	case err != nil:
		s.trouble(w, r, err)
		return nil
	case pattern != "" && !rule.allows(p):
		problem.Write(w, http.StatusForbidden, "")
		return nil
	}
	return r.WithContext(withPrincipal(r.Context(), p))
}

// allows reports whether a principal has the role of a route, and the scope if it needs all sites. The zero
// route allows nobody.
func (r route) allows(p auth.Principal) bool {
	return p.Role.Allows(r.need) && (r.reach != allSites || p.Scope.IsAll())
}
