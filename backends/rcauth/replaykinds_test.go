package rcauth

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// refusals is what a caller has to be told for every recorded refusal, and for
// those that the list of chains names and that not every checkout has. Another
// one with the same words as one of these is of its kind.
var refusals = map[string]Kind{
	"token_code_reused": KindCode, "refresh_old_refresh_token": KindRefreshToken, "refresh_revoked": KindRefreshToken,
	"userinfo_used_access_token": KindAccessToken, "getproxy_no_client_id": KindClient, "getproxy_no_secret": KindClient,
	"getproxy_lifetime_overflow": KindLifetime, "getproxy_expired_access_token_refresh_client": KindAccessToken,

	"token_bad_redirect_uri": KindCode, "token_basic_wrong_secret": KindClient, "token_code_reused_at_once": KindCode,
	"token_empty_secret": KindClient, "token_grant_device_code": KindOther, "token_grant_password": KindOther,
	"token_missing_secret": KindClient, "token_no_client_id": KindClient, "token_no_code": KindCode,
	"token_no_grant_type": KindOther, "token_no_redirect_uri": KindCode, "token_other_redirect_uri": KindCode,
	"token_public_client": KindClient, "token_unapproved_client": KindClient, "token_unknown_client": KindClient,
	"token_unknown_code": KindCode, "token_wrong_secret": KindClient,

	"refresh_after_revoke_get": KindRefreshToken, "refresh_client_without_refresh_tokens": KindRefreshToken,
	"refresh_disabled_on_portal": KindRefreshToken, "refresh_garbage_token": KindRefreshToken,
	"refresh_missing_secret": KindClient, "refresh_no_token": KindRefreshToken, "refresh_unknown_client": KindClient,
	"refresh_unknown_token": KindRefreshToken, "refresh_wrong_secret": KindClient,

	"userinfo_access_token_after_refresh": KindAccessToken, "userinfo_no_token": KindAccessToken, "userinfo_revoked": KindAccessToken,

	"getproxy_access_token_after_refresh": KindAccessToken, "getproxy_again_refresh_disabled": KindAccessToken,
	"getproxy_basic_wrong_secret": KindClient, "getproxy_bearer_no_client": KindClient,
	"getproxy_ca_token_expired": KindLoginRequired, "getproxy_duplicate_parameter": KindAccessToken,
	"getproxy_empty_access_token": KindAccessToken, "getproxy_expired_access_token": KindAccessToken,
	"getproxy_garbage_access_token": KindAccessToken, "getproxy_info_ca_token_expired": KindLoginRequired,
	"getproxy_info_expired_access_token": KindAccessToken, "getproxy_info_lifetime_too_long": KindLifetime,
	"getproxy_info_myproxy_info_failed": KindUnavailable, "getproxy_info_myproxy_unreachable": KindUnavailable,
	"getproxy_info_short_timeleft": KindLoginRequired, "getproxy_lifetime_beyond_timeleft": KindLoginRequired,
	"getproxy_lifetime_beyond_timeleft_explicit": KindLoginRequired, "getproxy_lifetime_empty": KindLifetime,
	"getproxy_lifetime_fraction": KindLifetime, "getproxy_lifetime_not_a_number": KindLifetime,
	"getproxy_lifetime_too_long": KindLifetime, "getproxy_myproxy_closes_connection": KindUnavailable,
	"getproxy_myproxy_info_failed": KindUnavailable, "getproxy_myproxy_refuses_portal": KindUnavailable,
	"getproxy_myproxy_unreachable": KindUnavailable, "getproxy_no_access_token": KindAccessToken,
	"getproxy_public_client": KindClient, "getproxy_revoked": KindAccessToken, "getproxy_scope_missing": KindScope,
	"getproxy_scope_not_enabled": KindScope, "getproxy_unapproved_client": KindClient,
	"getproxy_unknown_access_token": KindAccessToken, "getproxy_unknown_client": KindClient,
	"getproxy_used_access_token": KindAccessToken, "getproxy_voname_bad_vomses": KindVOMS,
	"getproxy_voname_empty": KindVOMS, "getproxy_voname_newline": KindVOMS, "getproxy_voname_unknown": KindVOMS,
	"getproxy_voname_voms_unreachable": KindVOMS, "getproxy_wrong_secret": KindClient,

	"revoke_form_auth": KindClient, "revoke_wrong_secret": KindClient,
}

// kindExpected is what a recorded refusal has to become: by its name, or by that
// of another with the same words.
func kindExpected(t *testing.T, x *exchange, all []*exchange) Kind {
	t.Helper()
	if kind, ok := refusals[x.Name]; ok {
		return kind
	}
	for _, other := range all {
		if kind, ok := refusals[other.Name]; ok && sameWords(other.Response.Body) == sameWords(x.Response.Body) {
			return kind
		}
	}
	for words, kind := range map[string]Kind{
		"unknown client": KindClient, "invalid access token": KindAccessToken, "token expired": KindAccessToken,
	} {
		if _, description := parseRefusal([]byte(x.Response.Body)); strings.Contains(strings.ToLower(description), words) {
			return kind
		}
	}
	if x.Response.Status >= http.StatusInternalServerError {
		return KindUnavailable
	}
	t.Fatalf("status %d, and nothing says what it shall become: %s", x.Response.Status, x.Response.Body)
	return ""
}

// sameWords leaves out of a text what differs from one answer to the next:
// values in quotes, tokens, times, numbers.
func sameWords(body string) string {
	for _, varies := range []string{`%22.*%22`, `https?:[^"<& ]*`, `[A-Z][a-z]{2} [A-Z][a-z]{2} [0-9]{2} [0-9:]{8} UTC [0-9]{4}`, `[0-9]+`} {
		body = regexp.MustCompile(varies).ReplaceAllString(body, "*")
	}
	return body
}
