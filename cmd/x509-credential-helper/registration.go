package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/backends/rcauth"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// refreshSeconds is the life of refresh tokens that the form is filled in with.
// A portal gives no more than its own maximum, by default these 15 days
// (measured: 0.2.4), and the proxy that it keeps ends before that.
const refreshSeconds = 1296000

// registration is what the form of a portal has to be filled in with.
type registration struct {
	profile   string
	portal    string
	form      string // its address
	clientID  string // "" before the form was sent
	version   string // rcauth.Version02 or rcauth.Version01
	redirects []string
	scopes    []string

	ports       []int // of redirect_ports
	portsAreNew bool  // they do not stand in the profile yet
}

// printRegistration prints what to type into the portal's form. It asks the
// portal only which form that is.
func (p *process) printRegistration(ctx context.Context, profile string) error {
	h := p.newHelper("login")
	portal, backend, err := p.portalProfile(h, profile)
	if err != nil {
		return err
	}
	r := &registration{
		profile: portal.Name, clientID: portal.Settings.String("client_id"), version: rcauth.Version02,
		ports: portal.Settings.Ints("redirect_ports"),
	}
	if r.ports == nil && portal.Settings.String("redirect_uri") == "" {
		r.ports, r.portsAreNew = defaultPorts, true
	}
	filled := withSettings(portal, "client_id", cmp.Or(r.clientID, "none yet")) // it is not sent
	if r.portsAreNew {
		filled = withSettings(filled, "redirect_ports", r.ports)
	}
	client, err := backend.Client(filled)
	if err != nil {
		return err
	}
	if r.redirects, err = backend.RedirectURIs(filled); err != nil {
		return err
	}
	r.portal, r.scopes = client.Portal, client.Scopes
	r.form = strings.TrimRight(r.portal, "/") + "/register"
	if len(r.scopes) == 0 {
		r.scopes = strings.Fields(rcauth.DefaultScopes)
	}
	switch provider, err := client.Discover(ctx); {
	case ctx.Err() != nil:
		return helper.Errorf(helper.CodeCancelled, "cancelled")
	case err != nil:
		p.note("note: the portal did not say which form it has (%s); this is that of version 0.2.0 and newer", helper.CleanText(err.Error()))
	default:
		r.version, r.form = provider.Version, provider.Register
	}
	_, err = p.stdout.WriteString(r.text())
	return err
}

// defaultPorts are free on most machines.
var defaultPorts = []int{8180, 8181, 8182}

// withSettings is a profile that is not quite written yet.
func withSettings(p *helper.Profile, key string, value any) *helper.Profile {
	filled := *p
	filled.Settings = maps.Clone(p.Settings)
	filled.Settings[key] = value
	return &filled
}

// portalProfile finds a profile that is one of RCauth.
func (p *process) portalProfile(h *helper.Helper, named string) (*helper.Profile, *rcauth.Backend, error) {
	if err := h.Config.Err(); err != nil {
		return nil, nil, err
	}
	which := cmp.Or(named, p.getenv("X509_CREDENTIAL_PROFILE"), h.Config.DefaultProfile)
	if which == "" {
		return nil, nil, helper.Errorf(helper.CodeNotConfigured, "no profile was named and the configuration has no default_profile").
			WithHint("name the profile")
	}
	profile, err := h.Config.Profile(which)
	if err != nil {
		return nil, nil, err
	}
	backend, ok := h.Backends[profile.Backend].(*rcauth.Backend)
	if !ok {
		return nil, nil, helper.Errorf(helper.CodeInvalidRequest, "profile %q has the backend %q, and this is for %q", profile.Name, profile.Backend, rcauth.Name).
			WithHint("name a profile with backend = %q", rcauth.Name)
	}
	return profile, backend, nil
}

// text is what to do, from the form to the first login.
func (r *registration) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Open the registration form of the portal:\n\n  %s\n\nand type into it:\n\n", clean(r.form))
	rows := r.rows()
	wide := 0
	for _, row := range rows {
		wide = max(wide, len(row[0]))
	}
	for _, row := range rows {
		for i, line := range strings.Split(row[1], "\n") {
			label := row[0]
			if i > 0 {
				label = ""
			}
			fmt.Fprintf(&b, "  %-*s  %s\n", wide, label, clean(line))
		}
	}
	b.WriteString("\n" + r.notes())
	fmt.Fprintf(&b, `
The page that comes next shows the client_id and the client secret. It shows them
once: keep both safe, and copy the secret without a line break. Put the client_id
into the profile %q of your config.toml:

%s
and nothing of the secret: the first login asks for it and keeps it in the keyring.

Nothing works before the portal's administrator has approved the client. Send this,
for EGI's portal to Check-in support:

%s
When the answer has come:

  %s login %s
`, r.profile, r.settings(), r.mail(), name, r.profile)
	return b.String()
}

// settings are the lines of the profile that come of the registration.
func (r *registration) settings() string {
	text := "  client_id = " + strconv.Quote(cmp.Or(r.clientID, "…")) + "\n"
	if !r.portsAreNew || r.version == rcauth.Version01 {
		return text
	}
	var ports []string
	for _, port := range r.ports {
		ports = append(ports, strconv.Itoa(port))
	}
	return text + "  redirect_ports = [" + strings.Join(ports, ", ") + "]\n"
}

// rows are the fields of the form, in its order and by its labels (Master Portal
// 0.2.4, and 0.1).
func (r *registration) rows() [][2]string {
	rows := [][2]string{
		{"Client Name", name},
		{"Contact email", "(yours)"},
		{"Home URL", "https://github.com/x509-credential-helper/x509-credential-helper"},
	}
	lifetime := [2]string{"Refresh Token lifetime", fmt.Sprint(refreshSeconds)}
	callbacks := [2]string{"Callback URLs", strings.Join(r.redirects, "\n")}
	if r.version == rcauth.Version01 {
		if !r.pasted() {
			callbacks[1] = "(an https address of yours, see below)"
		}
		return append(rows, callbacks, lifetime)
	}
	return append(rows, lifetime,
		[2]string{"Receive only limited proxies", "(leave it unchecked)"},
		callbacks,
		[2]string{"Scopes", strings.Join(r.scopes, "\n")})
}

// pasted says whether the address is a web server's, so that it is pasted.
func (r *registration) pasted() bool {
	return !slices.ContainsFunc(r.redirects, func(uri string) bool { return !strings.HasPrefix(uri, "https://") })
}

// notes explain what is easily got wrong.
func (r *registration) notes() string {
	var b strings.Builder
	b.WriteString("Callback URLs: one a line, to the letter; the portal compares every character, the\nport too.\n\n" +
		"Refresh Token lifetime: in seconds. Left empty there are no refresh tokens, and the\nportal's own maximum counts where it is less.\n")
	if r.version == rcauth.Version01 {
		b.WriteString("\nThis portal is older than 0.2.0: its form has no list of scopes and no box for\nlimited proxies (leave one that is there alone), and it takes https addresses only.\n")
		if !r.pasted() {
			b.WriteString("Name any https address of a web server of yours, for which there need be no page,\nin the form and in the profile, in place of redirect_ports:\n\n" +
				"  redirect_uri = \"https://www.example.org/callback\"\n\n")
		}
		b.WriteString("A login there ends with pasting the address that the browser shows.\n")
		return b.String()
	}
	b.WriteString("\nLimited proxies only: for a client that accesses data and starts no jobs. When in\n" +
		"doubt leave it unchecked: a profile with limited = true gets limited proxies\nanyway. Portals before 0.2.0 do not have it.\n")
	return b.String()
}

// mail asks for the approval.
func (r *registration) mail() string {
	id := cmp.Or(r.clientID, "(the client_id that the page shows)")
	callbacks := clean(r.redirects[0])
	for _, uri := range r.redirects[1:] {
		callbacks += "\n                    " + clean(uri)
	}
	if r.version == rcauth.Version01 && !r.pasted() {
		callbacks = "(the https address)"
	}
	return fmt.Sprintf(`  Subject: approval of a client of your Master Portal

  Dear administrator,

  I have registered a client at %s
  and ask you to approve it:

    client_id       %s
    name            %s
    callback URLs   %s
    scopes          %s
    refresh tokens  %d s
    limited only    no

  It is a program on my own machine that fetches proxy certificates for me, and keeps
  its secret and its tokens in the system keyring.

  Kind regards
`, clean(r.portal), clean(id), name, callbacks, clean(strings.Join(r.scopes, " ")), refreshSeconds)
}
