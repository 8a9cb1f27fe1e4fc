package sandbox

import (
	"encoding/base64"
	"net/http"
)

// discovery is the same document for every path below .well-known.
func (p *Portal) discovery(*call) *PortalAnswer {
	base := p.URL()
	v := map[string]any{
		"authorization_endpoint":                base + "/authorize",
		"registration_endpoint":                 base + "/register",
		"jwks_uri":                              base + "/certs",
		"issuer":                                p.Issuer(),
		"token_endpoint":                        base + "/token",
		"userinfo_endpoint":                     base + "/userinfo",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post"},
		"subject_types_supported":               []string{"public"},
		"scopes_supported":                      portalScopes,
		"response_types_supported":              []string{"code", "token", "id_token"},
		"claims_supported":                      []string{"sub", "aud", "iss", "exp", "iat", "email"},
		"id_token_signing_alg_values_supported": []string{"RS256", "RS384", "RS512"},
	}
	if !p.opts.Legacy {
		v["getproxy_endpoint"] = base + "/getproxy"
		v["sshkey_endpoint"] = base + "/sshkey"
		v["sshkey_maximum_keys"] = 5
		v["sshkey_parameters_supported"] = []string{"action", "label", "pubkey", "description"}
		v["sshkey_actions_supported"] = []string{"add", "update", "remove", "get", "list"}
	}
	return document(http.StatusOK, v)
}

// certs is the key set. The modulus begins with a zero byte, which RFC 7518
// section 6.3.1.1 forbids: measured.
func (p *Portal) certs(*call) *PortalAnswer {
	encode := base64.RawURLEncoding.EncodeToString
	return document(http.StatusOK, map[string]any{"keys": []any{map[string]string{
		"n": encode(append([]byte{0}, p.signKey.N.Bytes()...)), "e": "AQAB",
		"alg": "RS256", "kid": portalKeyID, "use": "sig", "kty": "RSA",
	}}})
}
