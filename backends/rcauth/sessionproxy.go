package rcauth

import (
	"context"
	"crypto/x509"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

const (
	// restSlack is left of the portal's credential: it counts whole seconds, and
	// some pass on the way.
	restSlack = time.Minute
	// leastRest is the shortest proxy that a portal makes (measured: 300 s).
	leastRest = 5 * time.Minute
	// loginPause is how long a portal that wants a login is not asked again: the
	// user may log in from another machine.
	loginPause = 10 * time.Minute
)

// obtain is a proxy without a human.
func (f *fetcher) obtain(ctx context.Context) (*helper.Result, error) {
	if err := f.set.needProxies(); err != nil {
		return nil, err
	}
	s := f.session
	ago := f.b.opts.Clock().Sub(s.LoginAsked)
	switch {
	case s.Lost != "":
		return nil, f.needLogin()
	case s.RefreshToken == "":
		return f.derive(ctx)
	case !s.LoginAsked.IsZero() && ago >= 0 && ago < loginPause:
		return nil, f.loginWanted(loginPause - ago)
	}
	t, err := f.refresh(ctx)
	if err != nil {
		return nil, err
	}
	claims := &t.Claims
	if claims.DN == "" {
		if claims, err = f.userInfo(ctx, t); err != nil {
			return nil, err
		}
	}
	res, err := f.proxy(ctx, t.AccessToken, claims.DN)
	if wantsLogin(err) {
		next := *f.session
		next.LoginAsked = f.b.opts.Clock().UTC().Truncate(time.Second)
		_ = f.keep(ctx, &next) // then the next one asks the portal
	}
	if err != nil {
		return nil, err
	}
	f.noteEnd(ctx, longEnd(res.Chain))
	return res, nil
}

// noteEnd keeps the end of the portal's own proxy, which a login elsewhere may
// have put off.
func (f *fetcher) noteEnd(ctx context.Context, end time.Time) {
	if end.Equal(f.session.ProxyEnds) && f.session.LoginAsked.IsZero() {
		return
	}
	next := *f.session
	next.ProxyEnds, next.LoginAsked = end, time.Time{}
	_ = f.keep(ctx, &next) // status is wrong then, nothing else
}

// proxy asks for a proxy and compares its holder with the user.
func (f *fetcher) proxy(ctx context.Context, access secret.Secret, dns ...string) (*helper.Result, error) {
	req := ProxyRequest{AccessToken: access}
	if f.spec.LifetimeAsked {
		req.Lifetime = f.spec.Lifetime
	}
	if len(f.spec.VOMS) == 1 {
		req.VO = f.spec.VOMS[0].String()
		req.VOMSES = vomsesFor(f.spec.Profile.VOMSES, f.spec.VOMS[0].VO)
	}
	cred, warnings, err := f.getProxy(ctx, req)
	if err != nil {
		return nil, err
	}
	unknown, err := checkHolder(cred.Chain, dns)
	if err != nil {
		return nil, err
	}
	return &helper.Result{Chain: cred.Chain, Key: cred.Key, Server: f.set.host(), Warnings: append(warnings, unknown...)}, nil
}

// getProxy asks once more for less where the portal has less: near the end of
// its own proxy, and beyond its maximum. A refusal does not use up the access
// token (measured).
func (f *fetcher) getProxy(ctx context.Context, req ProxyRequest) (*gsi.Credential, []helper.Warning, error) {
	cred, err := f.client.GetProxy(ctx, req)
	var refused *PortalError
	if err == nil || !errors.As(err, &refused) {
		return cred, nil, err
	}
	var rest time.Duration
	var warnings []helper.Warning
	switch refused.Kind {
	case KindLifetime:
		rest = maximumIn(refused.Description)
	case KindLoginRequired:
		info, failed := f.client.Info(ctx, req.AccessToken)
		if failed != nil {
			return nil, nil, err
		}
		rest = (info.TimeLeft - restSlack).Truncate(time.Second)
		warnings = []helper.Warning{{Code: "login_soon", Message: "the portal's own proxy of this user ends in " + helper.Span(int64(info.TimeLeft/time.Second)) +
			", and no other can be had after that without a login"}}
	}
	if rest < leastRest || req.Lifetime > 0 && rest >= req.Lifetime {
		return nil, nil, err
	}
	req.Lifetime = rest
	cred, err = f.client.GetProxy(ctx, req)
	return cred, warnings, err
}

// maximumIn finds the portal's maximum in its refusal of a longer lifetime, 0 if
// it does not say (measured: "… server side maximum (864000) …").
func maximumIn(description string) time.Duration {
	found := regexp.MustCompile(`maximum \((\d{1,9})\)`).FindStringSubmatch(description)
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// wantsLogin says whether only a human can help.
func wantsLogin(err error) bool {
	var refused *PortalError
	return errors.As(err, &refused) && refused.Kind == KindLoginRequired
}

// loginWanted answers for a portal that has just said so.
func (f *fetcher) loginWanted(left time.Duration) error {
	e := helper.Errorf(helper.CodeInteractionRequired, "the portal's own proxy of the user of profile %q has ended, and it can make another only after a login", f.spec.Profile.Name)
	e.RetryAfter = int64(left / time.Second)
	return e
}

// checkHolder compares the names that the portal gave with the holder of the
// proxy.
func checkHolder(chain []*x509.Certificate, dns []string) ([]helper.Warning, error) {
	dns = slices.DeleteFunc(slices.Clone(dns), func(dn string) bool { return dn == "" })
	if len(dns) == 0 {
		return []helper.Warning{{Code: "subject_not_released",
			Message: "the portal does not say which certificate the user has (cert_subject_dn), so nothing but the proxy says whose it is"}}, nil
	}
	for _, dn := range dns {
		if err := MatchSubject(dn, chain[holder(chain)]); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// holder is the place of the end-entity certificate: the last but for CAs.
func holder(chain []*x509.Certificate) int {
	i := len(chain) - 1
	for i > 0 && chain[i].IsCA {
		i--
	}
	return i
}

// longEnd is the end of the proxy right below the end-entity certificate, from
// which the portal makes all others; zero if there is none between.
func longEnd(chain []*x509.Certificate) time.Time {
	i := holder(chain) - 1
	if i < 1 {
		return time.Time{}
	}
	return chain[i].NotAfter.UTC()
}

// vomsesFor finds the line of a VO: by its name, the last field, or its alias, the
// first. One line is all that fits.
func vomsesFor(lines []string, vo string) string {
	for _, line := range lines {
		fields := strings.Split(line, `"`) // "alias" "host" "port" "subject" "vo"
		if len(fields) >= 11 && (fields[9] == vo || fields[1] == vo) {
			return line
		}
	}
	return ""
}
