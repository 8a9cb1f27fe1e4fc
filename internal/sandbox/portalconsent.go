package sandbox

import (
	"fmt"
	"html"
	"net/http"
	"strings"
)

// consentHead begins the page that stands for those of the identity provider
// and of the Delegation Server.
const consentHead = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sandbox: log in</title>
<style>
:root { color-scheme: light dark }
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem }
code { overflow-wrap: anywhere }
button { font: inherit; padding: .4rem 1.2rem; margin-right: .6rem }
</style>
</head>
<body>
<main>
<h1>Sandbox: log in</h1>
<p>Nothing here is real. This page stands for your identity provider and for the consent page of a Delegation Server.</p>
`

// consent shows the page, and takes what the user chose there.
func (p *Portal) consent(c *call) *PortalAnswer {
	session := p.attempt(c)
	if session == nil {
		return p.page(http.StatusBadRequest, "invalid_request", "Error: this browser has not begun a login.")
	}
	if c.Method != http.MethodPost {
		return p.consentForm(session)
	}
	if c.param("decision") != "allow" {
		return redirect(portalClientContext + "/ready?error=access_denied")
	}
	user, ok := p.user(c.param("user"))
	if !ok {
		return p.page(http.StatusBadRequest, "invalid_request", "Error: nobody of this name is here.")
	}
	session.user = user
	return redirect(portalClientContext + "/ready")
}

func (p *Portal) consentForm(session *portalSession) *PortalAnswer {
	var b strings.Builder
	b.WriteString(consentHead)
	fmt.Fprintf(&b, "<p><strong>%s</strong> asks for <code>%s</code>.</p>\n", html.EscapeString(session.client.Name), html.EscapeString(strings.Join(session.scopes, " ")))
	if session.idphint != "" {
		fmt.Fprintf(&b, "<p>It asks for the identity provider <code>%s</code>.</p>\n", html.EscapeString(session.idphint))
	}
	fmt.Fprintf(&b, "<form method=\"post\" action=\"%s/consent\">\n<fieldset>\n<legend>Who are you?</legend>\n", delegationContext)
	checked := " checked"
	for _, u := range p.users {
		fmt.Fprintf(&b, "<p><label><input type=\"radio\" name=\"user\" value=\"%s\"%s> %s (%s)</label></p>\n",
			html.EscapeString(u.Subject), checked, html.EscapeString(u.Name), html.EscapeString(u.IdPName))
		checked = ""
	}
	b.WriteString("</fieldset>\n<p><button name=\"decision\" value=\"allow\">Allow</button> <button name=\"decision\" value=\"deny\">Refuse</button></p>\n" +
		"</form>\n</main>\n</body>\n</html>\n")
	return answer(http.StatusOK, "text/html;charset=UTF-8", b.String()).unframed().
		with("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
}
