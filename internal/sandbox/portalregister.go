package sandbox

import (
	"crypto/rand"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The registration form has the fields of the real one, under their labels
// there.
const (
	registerHead = `<html>
<head><title>Master Portal Client Registration Page</title></head>
<body>
<h2>Welcome to the Master Portal Client Registration Page</h2>
<form action="register" method="post">
<table>
`
	registerFields = `<tr><td>Client Name:</td><td><input type="text" size="25" name="clientName"/></td></tr>
<tr><td>Contact email:</td><td><input type="text" size="25" name="clientEmail"/></td></tr>
<tr><td>Home URL:</td><td><input type="text" size="25" name="clientHomeUrl"/></td></tr>
<tr><td>Refresh Token lifetime:</td><td><input type="text" size="25" name="rtLifetime"/>(in seconds - leave blank for no refresh tokens.)</td></tr>
`
	registerLimited = `<tr><td>Receive <b><i>only</i></b> limited proxies:</td><td><input type="checkbox" name="clientProxyLimited"/></td></tr>
`
	registerTail = `<tr><td>Callback URLs:</td><td><textarea rows="10" cols="80" name="callbackURI"></textarea></td></tr>
<tr><td><input type="submit" value="submit"/></td></tr>
</table>
</form>
</body>
</html>
`
	registerDone = `<html>
<head><title>Registration Successful!</title></head>
<body>
<h2>Registration Successful!</h2>
<table>
<tr><td>Client ID:</td><td><b>%s</b></td></tr>
<tr><td>Client secret:</td><td><b>%s</b></td></tr>
</table>
<p>This page shows the secret once. %s</p>
</body>
</html>
`
)

// register shows the registration form, and takes it: the new client waits for
// its approval.
func (p *Portal) register(c *call) *PortalAnswer {
	var b strings.Builder
	b.WriteString(registerHead)
	if c.Method == http.MethodPost {
		client, retry := p.newClient(c)
		if retry == "" {
			p.clients[client.ID] = client
			return registered(client)
		}
		fmt.Fprintf(&b, "<tr><td colspan=\"2\"><b>%s</b></td></tr>\n", html.EscapeString(retry))
	}
	b.WriteString(registerFields)
	if !p.opts.Legacy {
		b.WriteString(registerLimited + "<tr><td>Scopes:</td><td>")
		for _, scope := range portalScopes {
			checked := ""
			if scope == scopeOpenID {
				checked = ` checked="checked"`
			}
			fmt.Fprintf(&b, "<input type=\"checkbox\" name=\"chkScopes\" value=\"%s\"%s/>%s<br/>", scope, checked, scope)
		}
		b.WriteString("</td></tr>\n")
	}
	b.WriteString(registerTail)
	return answer(http.StatusOK, "text/html;charset=UTF-8", b.String())
}

func registered(client *PortalClient) *PortalAnswer {
	next := "It can be used at once."
	if client.Unapproved {
		next = "An administrator has to approve the client before it can be used."
	}
	return answer(http.StatusOK, "text/html;charset=UTF-8", fmt.Sprintf(registerDone, client.ID, client.Secret, next))
}

func (p *Portal) newClient(c *call) (*PortalClient, string) {
	client := &PortalClient{
		ID: "myproxy:oa4mp,2012:/client_id/" + strings.ToLower(rand.Text()), Secret: rand.Text(),
		Name: c.param("clientName"), RedirectURIs: strings.Fields(c.param("callbackURI")),
		Scopes: c.Form["chkScopes"], Limited: c.has("clientProxyLimited"), Unapproved: !p.opts.AutoApprove,
	}
	if p.opts.Legacy {
		client.Scopes, client.Limited = slices.Clone(portalScopes), false
	}
	if text := c.param("rtLifetime"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil {
			return nil, "The refresh token lifetime is not a number."
		}
		client.RefreshLife = time.Duration(seconds) * time.Second
	}
	if client.Name == "" || len(client.RedirectURIs) == 0 {
		return nil, "A client needs a name and at least one callback."
	}
	for _, uri := range client.RedirectURIs {
		if !p.registrable(uri) {
			return nil, "The callback " + uri + " is not secure."
		}
	}
	return client, ""
}

// registrable says whether the form takes a redirect URI: https anywhere and,
// since 0.2.0, loopback addresses and schemes without an authority.
func (p *Portal) registrable(uri string) bool {
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Scheme == "":
		return false
	case u.Scheme == "https":
		return true
	case p.opts.Legacy:
		return false
	case u.Scheme != "http":
		return u.Host == ""
	}
	return slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, u.Hostname())
}

// Approve is the administrator's yes to a client that was registered by the
// form; false if there is no such client.
func (p *Portal) Approve(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	client := p.clients[id]
	if client != nil {
		client.Unapproved = false
	}
	return client != nil
}
