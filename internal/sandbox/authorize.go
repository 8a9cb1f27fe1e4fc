package sandbox

import (
	"strings"
)

// Texts of refusals.
const (
	textUnknownCommand = "UNKNOWN command in request."
	textAuthentication = "authentication failed"
	textPassphrase     = "invalid credential passphrase"
	textTooShort       = "Pass phrase too short.  Must be at least 6 characters long."
)

// minPassphrase is the server's least length of a pass phrase.
const minPassphrase = 6

// authorize decides whether the client may do what it asks for; the text is
// the refusal. Checks and their order are the real server's: INFO is let
// through, since it only shows what the client owns.
func (c *conversation) authorize(r *request, stored *credential) (refusal string, err error) {
	switch r.command {
	case commandGet, commandRetrieve:
		return c.authorizeGet(r, stored)
	case commandTrustRoots:
		return c.authorizeTrustRoots(), nil
	case commandPut, commandStore, commandDestroy:
		return c.authorizeStore(r, stored), nil
	case commandChange:
		return c.authorizeChange(r, stored), nil
	}
	return "", nil
}

// authorizeStore is for PUT, STORE and DESTROY. The DN in the refusal is the
// client's, whatever the sentence seems to say.
func (c *conversation) authorizeStore(r *request, stored *credential) string {
	var said complaint
	switch {
	case !matchesAny(&said, c.s.policies.AcceptedCredentials, c.peer.name):
		said.put(`"` + c.peer.name + `" not authorized to store credentials on this server (accepted_credentials policy)`)
	case stored == nil || stored.owner == c.peer.name:
		return ""
	case r.command == commandDestroy:
		said.put(`Credentials not owned by "` + c.peer.name + `".`)
	default:
		said.put("Credentials are already stored for user " + r.username)
		if r.credName != nil {
			said.put(`and credential name "` + *r.credName + `"`)
		}
		said.put("and they are not owned by")
		said.put(`"` + c.peer.name + `",`)
		said.put("so you may not overwrite them.")
		said.put("Please choose a different username or credential name or")
		said.put("contact your myproxy-server administrator.")
	}
	return said.text()
}

func (c *conversation) authorizeChange(r *request, stored *credential) string {
	if stored == nil || stored.owner != c.peer.name {
		return "'" + c.peer.name + "' does not own the credentials"
	}
	var said complaint
	if !c.checkPassphrase(&said, r, stored) {
		said.put("invalid pass phrase")
		return said.text()
	}
	return ""
}

func (c *conversation) authorizeTrustRoots() string {
	var said complaint
	if c.allowed(&said, "authorized_retrievers", c.s.policies.AuthorizedRetrievers, nil, nil) {
		return ""
	}
	said.put(`"` + c.peer.name + `" not authorized to retrieve credentials from this server (authorized_retrievers policy)`)
	return said.text()
}

// authorizeGet is for GET and RETRIEVE. What kept the client from one right is
// forgotten as soon as it has another.
func (c *conversation) authorizeGet(r *request, stored *credential) (string, error) {
	p, own := c.s.policies, settings{}
	if stored != nil {
		own = stored.settings
	}
	var said complaint
	if r.command == commandRetrieve {
		if !c.allowed(&said, "authorized_key_retrievers", p.AuthorizedKeyRetrievers, own.keyRetriever, p.DefaultKeyRetrievers) {
			return said.text(), nil
		}
		if stored == nil {
			return noCredentials(r), nil
		}
	}
	trusted := c.allowed(&said, "trusted_retrievers", p.TrustedRetrievers, own.trustedRetriever, p.DefaultTrustedRetrievers) &&
		c.notSelf(&said, r, stored)
	mayRetrieve := c.allowed(&said, "authorized_retrievers", p.AuthorizedRetrievers, own.retriever, p.DefaultRetrievers)
	mayRenew := c.allowed(&said, "authorized_renewers", p.AuthorizedRenewers, own.renewer, p.DefaultRenewers)
	if !mayRetrieve && !mayRenew {
		return said.text(), nil
	}
	if stored == nil {
		if c.s.opts.Mode != CA {
			return noCredentials(r), nil
		}
		if c.s.account(r.username, nil) == nil {
			return "unknown username: " + r.username, nil
		}
	}
	said = nil
	renewed, ok, err := c.authenticate(&said, r, stored, trusted, mayRenew)
	switch {
	case err != nil:
		return "", err
	case !ok:
		c.s.refused.Add(1)
		return said.text(), nil
	case renewed && !c.notSelf(&said, r, stored):
		said.put("self-authz not allowed for renewer")
		return said.text(), nil
	case !renewed && !mayRetrieve:
		return said.text(), nil
	}
	return c.checkLimited(r, stored), nil
}

// checkLimited keeps a client with a limited proxy from more than that.
func (c *conversation) checkLimited(r *request, stored *credential) string {
	switch {
	case !c.peer.limited:
		return ""
	case stored == nil:
		return "MyProxy CA will not accept limited proxy for authentication."
	case r.command == commandRetrieve:
		if p, err := c.s.inspect(stored.file.certificates); err != nil || !p.limited {
			return "Client with limited proxy may not retrieve full credentials."
		}
	}
	return ""
}

// notSelf is false for a client of the same identity as the credential, unless
// the server allows that. Letters count as equal in both cases.
func (c *conversation) notSelf(said *complaint, r *request, stored *credential) bool {
	if c.s.policies.AllowSelfAuthorization {
		return true
	}
	var subject string
	if stored != nil {
		subject = c.s.baseSubject(stored)
	} else {
		a := c.s.account(r.username, nil)
		if a == nil || c.s.opts.Mode != CA {
			said.put("unknown username: " + r.username)
			return false
		}
		subject = onlineName(a)
	}
	if strings.EqualFold(c.peer.name, subject) {
		said.put("self-authz detected")
		return false
	}
	return true
}

func noCredentials(r *request) string {
	if r.credName == nil {
		return `No credentials exist for username "` + r.username + `".`
	}
	return `No credentials exist with username "` + r.username + `" and credential name "` + *r.credName + `".`
}
