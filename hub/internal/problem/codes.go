package problem

import (
	"net/http"
	"slices"
	"sync"
)

// Kind is an entry of the registry: a code, the HTTP status of a response with this code, and the
// template of the English sentence, in the syntax of devices.CauseKind. Status is 0 for causes that are
// stored or shown and are never a response.
type Kind struct {
	Code     string
	Status   int
	Template string
}

// Kinds returns the registry. The console translates each code
// (hub/ui/src/i18n/refusals.*.json). The meaning of a code never changes.
func Kinds() []Kind {
	return slices.Concat(requestKinds(), deskKinds(), accountKinds(), edgeKinds(), viewKinds(), accessKinds(), webhookKinds())
}

var kinds = sync.OnceValue(func() map[string]Kind {
	all := map[string]Kind{}
	for _, k := range Kinds() {
		all[k.Code] = k
	}
	return all
})

// requestKinds are the codes that any request can return.
func requestKinds() []Kind {
	const invalid = http.StatusUnprocessableEntity
	return []Kind{
		{"not_found", http.StatusNotFound, "it does not exist"},
		{"conflict", http.StatusConflict, "it contradicts what is stored[: {reason}]"},
		{"storage_full", http.StatusInsufficientStorage, "the hub's disk is full"},
		{"internal", http.StatusInternalServerError, "the hub could not do it; its log has the reason"},
		{"hub_stopping", http.StatusServiceUnavailable, "the hub is stopping"},
		{"request_cancelled", http.StatusServiceUnavailable, "the hub is stopping, or the request was cancelled"},
		{"clip_not_for_monitors", http.StatusForbidden, "clips are for dispatchers, as live video is"},
		{"clip_view_missing", http.StatusForbidden, "a clip is watched by a view, which names its purpose; there is none, or it has ended"},
		{"evidence_not_for_monitors", http.StatusForbidden, "the hub does not show this evidence to monitors"},
		{"hub_not_ready", http.StatusServiceUnavailable, "the hub is not ready: {reason}"},
		{"streams_full", http.StatusServiceUnavailable, "the hub serves its limit of {count} live streams"},
		{"input_invalid", invalid, "{field} is not valid: {reason}"},
		{"input_unreadable", http.StatusBadRequest, "the request cannot be read: {reason}"},
		{"input_missing", invalid, "{field} is missing"},
		{"input_empty", invalid, "{field} is empty"},
		{"input_too_long", invalid, "{field} may have {count} characters at most"},
		{"input_too_short", invalid, "{field} must have {count} characters or more"},
		{"input_too_small", invalid, "{field} must be {limit} or more"},
		{"input_too_large", invalid, "{field} must be {limit} or less"},
		{"input_not_one_line", invalid, "{field} must be one line of at most {count} characters"},
		{"input_not_allowed", invalid, "{field} must be one of {values}"},
		{"input_not_known", invalid, "{field} is not known here"},
		{"cursor_invalid", invalid, "next is not a value that this list has returned"},
		{"period_invalid", invalid, "from must be before to, and the period at most {days} days long"},
		{"place_missing", invalid, "either incident or lat and lon must be given"},
		{"place_invalid", invalid, "the place is not on the Earth"},
		{"time_invalid", invalid, "{field} is too far in the past or in the future"},
	}
}

// deskKinds are the codes of incidents and reports.
func deskKinds() []Kind {
	return []Kind{
		{"incident_unknown", http.StatusNotFound, "the incident does not exist"},
		{"incident_closed", http.StatusConflict, "the incident is closed"},
		{"incident_changed", http.StatusPreconditionFailed, "the incident has been changed meanwhile: it has version {version}"},
		{"incident_transition", http.StatusConflict, "an incident in the state {state} does not allow this"},
		{"incident_not_reported", http.StatusConflict, "only incidents that people reported can be joined to another one"},
		{"incident_join_self", http.StatusUnprocessableEntity, "an incident cannot be joined to itself"},
		{"search_empty", http.StatusUnprocessableEntity, "a search needs at least one letter or digit"},
		{"search_sort", http.StatusUnprocessableEntity, "a search cannot be sorted by device"},
		{"groups_filter", http.StatusUnprocessableEntity, "groups cannot be sorted, or filtered by q, assignee, outcome or group"},
		{"report_site_missing", http.StatusUnprocessableEntity, "the report must name a site or a place near one"},
		{"site_unknown", http.StatusUnprocessableEntity, "there is no site {name}"},
		{"outcome_unknown", http.StatusUnprocessableEntity, "the outcome {outcome} is not known"},
	}
}

// accountKinds are the codes of users, sessions and tokens.
func accountKinds() []Kind {
	const invalid = http.StatusUnprocessableEntity
	return []Kind{
		{"login_throttled", http.StatusTooManyRequests, "too many attempts[; try again in {seconds}]"},
		{"password_wrong", http.StatusForbidden, "that is not the present password"},
		{"totp_required", http.StatusUnauthorized, "the log-in needs a code of the authenticator app too"},
		{"totp_wrong", http.StatusForbidden, "the code is wrong or was used already"},
		{"totp_on", http.StatusConflict, "the second factor is on already"},
		{"totp_off", http.StatusConflict, "the second factor is off"},
		{"totp_not_begun", http.StatusConflict, "there is no new secret that a code could confirm"},
		{"password_length", invalid, "a password must have {least} characters or more, and {most} bytes at most"},
		{"password_common", invalid, "this password is one of those that are guessed first; choose another one"},
		{"name_characters", invalid, "a name has letters, digits and . _ @ - only"},
		{"name_length", invalid, "a name has 1 to {count} characters"},
		{"name_reserved", invalid, "the name is reserved"},
		{"oidc_unavailable", http.StatusBadGateway, "the identity provider does not answer as expected[: {cause}][: {reason}]"},
		{"oidc_refused", http.StatusForbidden, "the identity provider has not confirmed the log-in[: {reason}]"},
		{"oidc_role_missing", http.StatusForbidden, "no role at this hub belongs to the user[ {name}]"},
		{"oidc_user_disabled", http.StatusForbidden, "the user is disabled"},
		{"scope_sites", invalid, "a scope is all sites, or 1 to {count} of them"},
		{"site_name_invalid", invalid, "the name of a site has 1 to 40 characters of a-z, 0-9 and -, unlike {name}"},
		{"role_unknown", invalid, "the role is not known"},
		{"token_expired_at_once", invalid, "the time at which a token expires must be in the future"},
		{"token_without_password", invalid, "a token has no password"},
		{"user_exists", http.StatusConflict, "the name is, or was, a user's"},
		{"last_administrator", http.StatusConflict, "the last administrator must stay one"},
	}
}

// edgeKinds are the codes of edges and devices.
func edgeKinds() []Kind {
	return []Kind{
		{"edge_exists", http.StatusConflict, "an edge of that name exists"},
		{"edge_name_invalid", http.StatusNotFound, "names of edges and devices have 1 to 40 characters of a-z, 0-9 and -"},
		{"edge_tokens_unavailable", http.StatusServiceUnavailable, "this hub makes no enrolment tokens; hub edge add does, on its machine"},
		{"map_file_unknown", http.StatusNotFound, "the hub has no such map file"},
	}
}

// viewKinds are the codes of live video: refusals, and causes with which a viewer's session ended.
func viewKinds() []Kind {
	const unavailable = http.StatusServiceUnavailable
	return []Kind{
		{"video_camera_unknown", http.StatusNotFound, "there is no such camera"},
		{"video_session_unknown", http.StatusNotFound, "there is no such session"},
		{"video_viewers_full", unavailable, "the hub serves its limit of {count} viewers"},
		{"video_publishers_full", unavailable, "the stream has its limit of {count} publishers"},
		{"video_reason_missing", http.StatusBadRequest, "a view needs a reason or an incident"},
		{"video_edge_unknown", unavailable, "there is no edge {edge}"},
		{"video_edge_offline", unavailable, "the edge {edge} is not connected"},
		{"video_edge_silent", unavailable, "the edge does not answer"},
		{"video_edge_slow", unavailable, "the edge has not begun to send within {seconds}"},
		{"video_request_ended", unavailable, "the request ended before the first frame came"},
		{"video_offer_invalid", http.StatusBadRequest, "the offer cannot be used[: {reason}]"},
		{"video_codec_missing", http.StatusNotAcceptable, "the offer has no codec that the hub can send[: {reason}]"},
		{"video_time_limit", 0, "the time limit of {seconds} was reached"},
		{"video_nobody_watches", 0, "nobody is watching"},
		{"video_codec_changed", 0, "the camera's codec has changed"},
		{"video_upstream_ended", 0, "the video from the edge ended[: {cause}][: {reason}]"},
		{"video_upstream_replaced", 0, "a new session of the edge took over"},
		{"video_ended_by", 0, "{who} ended it"},
		{"video_edge_ended", 0, "the edge ended it"},
		{"video_viewer_ended", 0, "the viewer ended it"},
		{"video_viewer_closed", 0, "the viewer closed the connection"},
		{"video_viewer_lost", 0, "the connection to the viewer was lost"},
		{"video_viewer_unreachable", 0, "the viewer could not be reached[: {cause}]"},
		{"video_hub_restarted", 0, "the hub was stopped"},
		{"video_hub_gone", 0, "the hub that served it is gone"},
		{"video_ended", 0, "it ended: {reason}"},
	}
}

// accessKinds are refusals, and causes with which live streams, views and publications end, because what
// they stood on does not exist any more.
func accessKinds() []Kind {
	const limit = http.StatusTooManyRequests
	return []Kind{
		{"access_account_ended", http.StatusForbidden, "the account was disabled or removed"},
		{"access_token_ended", http.StatusForbidden, "the token was revoked or has expired"},
		{"access_session_ended", http.StatusForbidden, "the session has ended"},
		{"access_role_ended", http.StatusForbidden, "the account is no longer {role}"},
		{"access_changed", http.StatusForbidden, "the account's rights have changed"},
		{"access_site_ended", http.StatusForbidden, "the account may no longer see the site {site}"},
		{"access_edge_revoked", http.StatusForbidden, "the edge {edge} was revoked"},
		{"access_certificate_ended", http.StatusForbidden, "the certificate of the edge {edge} was replaced"},
		{"access_replaced", http.StatusConflict, "a later connection took over"},
		{"access_streams_full", limit, "the account has its limit of {count} live streams"},
		{"access_views_full", limit, "the account has its limit of {count} viewers"},
	}
}

// webhookKinds are the codes of webhooks: errors in a target, and causes with which a delivery failed.
func webhookKinds() []Kind {
	const invalid = http.StatusUnprocessableEntity
	return []Kind{
		{"webhooks_unavailable", http.StatusServiceUnavailable, "this hub sends no webhooks"},
		{"target_url_invalid", invalid, "expected a URL such as https://receiver.example/alerts"},
		{"target_url_long", invalid, "expected a URL of at most {count} characters"},
		{"target_url_https", invalid, "expected a URL that begins with https://"},
		{"target_url_user", invalid, "expected a URL without a user name: deliveries are signed instead"},
		{"target_url_fragment", invalid, "expected a URL without #"},
		{"target_url_port", invalid, "expected a port from 1 to 65535"},
		{"target_address_private", invalid, "the address {address} is inside the network, where webhooks may not go unless allow_private_webhooks is set"},
		{"target_kind_unknown", invalid, "there is no kind of target {kind}"},
		{"target_broker_invalid", invalid, "expected a broker such as mqtts://broker.example:8883"},
		{"target_broker_tls", invalid, "expected a broker whose URL begins with mqtts://"},
		{"target_topic_invalid", invalid, "expected a topic of at most 500 bytes without +, # and $ at its beginning"},
		{"target_ca_invalid", invalid, "expected the PEM certificates of the broker's authority"},
		{"target_sender_invalid", invalid, "expected a sender without spaces, commas, < and &"},
		{"target_status_invalid", invalid, "expected the status Actual, Exercise or Test"},
		{"target_secret_invalid", invalid, "expected whsec_ and the base64 form of 24 to 64 bytes"},
		{"delivery_name_unknown", 0, "the name {host} could not be resolved"},
		{"delivery_connection_refused", 0, "nothing answers at {address} (connection refused)"},
		{"delivery_certificate", 0, "the target's certificate is not accepted[: {cause}][: {reason}]"},
		{"delivery_timed_out", 0, "no answer within {seconds}"},
		{"delivery_status", 0, "the target answered {status}[ {message}]"},
		{"delivery_connection_closed", 0, "the connection was closed before the target answered"},
		{"delivery_unreachable", 0, "there is no way through the network to {address}"},
		{"delivery_not_tls", 0, "the target does not speak TLS on this port"},
		{"delivery_tls_refused", 0, "the target refuses the TLS connection: {reason}"},
		{"delivery_not_http", 0, "what the target answered is not HTTP"},
		{"delivery_failed", 0, "the delivery failed: {reason}"},
		{"delivery_redirect", 0, "the target answered {status} and redirects[ to {location}]; redirects are not followed"},
		{"delivery_expired", 0, "given up after {age_seconds} without an attempt that succeeded"},
		{"target_gone", 0, "the target answered 410 Gone"},
		{"target_disabled_by", 0, "switched off by {who}"},
	}
}
