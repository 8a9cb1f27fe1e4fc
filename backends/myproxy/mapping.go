package myproxy

import (
	"context"
	"errors"
	"strings"
	"unicode"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

func notConfigured(p *helper.Profile, format string, args ...any) *helper.Error {
	return tag(p, helper.Errorf(helper.CodeNotConfigured, format, args...))
}

func tag(p *helper.Profile, e *helper.Error) *helper.Error {
	e.Profile, e.Backend = p.Name, Name
	return e
}

// asHelperError gives an error of Logon its code.
func asHelperError(ctx context.Context, p *helper.Profile, req *LogonRequest, err error) *helper.Error {
	// What comes from the dispatcher's own callbacks goes back as it is.
	var own *helper.Error
	if errors.As(err, &own) {
		return own
	}
	if errors.As(context.Cause(ctx), &own) {
		return own
	}
	e := tag(p, withCode(ctx, p, req, err))
	e.Message, e.Hint = printable(e.Message), printable(e.Hint)
	for _, h := range silentHosts(err) {
		e.Causes = append(e.Causes, printable(h.Error()))
	}
	return e
}

func withCode(ctx context.Context, p *helper.Profile, req *LogonRequest, err error) *helper.Error {
	var (
		request  *RequestError
		dial     *DialError
		trust    *TrustError
		server   *ServerError
		alert    *AlertError
		cert     *CertificateError
		protocol *ProtocolError
		timeout  *TimeoutError
		lost     *LostError
	)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded):
		return helper.Errorf(helper.CodeTimeout, "%w", err)
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return helper.Errorf(helper.CodeCancelled, "%w", err)
	case errors.As(err, &request):
		return requestError(p, request)
	case errors.As(err, &dial):
		return dialError(dial)
	case errors.As(err, &trust):
		return trustError(trust)
	case errors.As(err, &server):
		return serverError(p, req, server)
	case refusesIdentity(err):
		return helper.Errorf(helper.CodeAuthorizationDenied, "the server refuses the client's certificate: %w", err).
			WithHint("it must be valid, and its CA known to the server; it is that of %s, or of %s and %s", keyTLSIdentity, keyTLSCert, keyTLSKey)
	case errors.As(err, &alert), errors.As(err, &protocol):
		return helper.Errorf(helper.CodeServerRefused, "%w", err).
			WithHint("check that server names a MyProxy server (its port is usually %s)", DefaultPort)
	case errors.As(err, &cert):
		return helper.Errorf(helper.CodeInvalidCredential, "%w", err)
	case errors.As(err, &timeout):
		return helper.Errorf(helper.CodeTimeout, "%w", err)
	case errors.As(err, &lost):
		return helper.Errorf(helper.CodeBackendUnavailable, "%w", err)
	}
	return helper.AsError(err)
}

func requestError(p *helper.Profile, err *RequestError) *helper.Error {
	switch err.Field {
	case fieldPassphrase:
		return helper.Errorf(helper.CodePolicyRefused, "%w, so it was not sent", err).
			WithHint("change the pass phrase on the server, then run: x509-credential-helper login %s", p.Name)
	case fieldVO, fieldLifetime:
		return helper.Errorf(helper.CodeInvalidRequest, "%w", err)
	}
	return helper.Errorf(helper.CodeNotConfigured, "%w", err)
}

// dialError is a timeout only if every server let the time run out.
func dialError(err *DialError) *helper.Error {
	for _, h := range err.Hosts {
		var t interface{ Timeout() bool }
		if !errors.As(h.Err, &t) || !t.Timeout() {
			return helper.Errorf(helper.CodeBackendUnavailable, "%w", err).
				WithHint("check the network and the profile's server")
		}
	}
	return helper.Errorf(helper.CodeTimeout, "%w", err).WithHint("check the network and the profile's server")
}

func trustError(err *TrustError) *helper.Error {
	e := helper.Errorf(helper.CodeUntrustedServer, "%w", err)
	var why *gsi.TrustError
	var name *gsi.NameError
	switch {
	case errors.As(err, &name):
		return e.WithHint("if you know that this is the right server, set server_dn = %q in the profile", name.DN)
	case !errors.As(err, &why):
		return e
	}
	switch why.Reason {
	case gsi.TrustNotYetValid, gsi.TrustExpired, gsi.TrustCRLExpired, gsi.TrustCRLNotYetValid:
		return e.WithHint("check this machine's clock first; if it is right, the server's or the CA's administrator must act")
	case gsi.TrustNoDirectory, gsi.TrustUnknownIssuer:
		return e.WithHint("install the CA's certificate and signing policy, or set ca_dir in the profile")
	}
	return e
}

func serverError(p *helper.Profile, req *LogonRequest, err *ServerError) *helper.Error {
	if auth := p.Settings.String(keyAuth); (auth == authRenewal || auth == authTrusted) && !err.ClearText {
		if e := unattendedError(req, err); e != nil {
			return e
		}
	}
	switch err.Kind {
	case KindAuthentication:
		return helper.Errorf(helper.CodeAuthenticationFailed, "%w", err).
			WithHint("check username in the profile; for another pass phrase run: x509-credential-helper login %s", p.Name)
	case KindNotFound:
		return helper.Errorf(helper.CodeNotFound, "%w", err).
			WithHint("check credential_name in the profile, or store a credential with: x509-credential-helper myproxy put")
	case KindDenied:
		return helper.Errorf(helper.CodeAuthorizationDenied, "%w", err).
			WithHint("ask the server's administrator, or the owner of the credential")
	}
	e := helper.Errorf(helper.CodeServerRefused, "%w", err)
	if err.ClearText {
		// Measured: a server whose host certificate has expired does this, and
		// then says "authentication failed" whatever the pass phrase.
		return e.WithHint("this is not about the pass phrase: the server itself is in trouble (an expired host certificate does that), its administrator's log says why")
	}
	if len(req.VOMS) > 0 && len(req.VOMSES) == 0 && err.Says("VOMS") {
		return e.WithHint("no vomses line for %s was found here; set vomses in the profile", strings.Join(req.VOMS, ", "))
	}
	if err.Says("X509_verify_cert() failed: certificate has expired") {
		// Measured: that is the stored credential; an expired client is told otherwise.
		return e.WithHint("the credential that is stored there has expired: store a new one with: x509-credential-helper myproxy put")
	}
	return e
}

// unattendedError is a server's refusal of a renewal or of a trusted retrieval.
// "no passphrase" and "authentication failed" mean there that no policy lets the
// client through (measured: Debian myproxy-server 6.2.14); another pass phrase
// would not help. nil: it has nothing to do with that.
func unattendedError(req *LogonRequest, err *ServerError) *helper.Error {
	if err.Kind == KindAuthentication && (err.Says("No credentials exist") || err.Says("unknown username")) {
		return helper.Errorf(helper.CodeNotFound, "%w", err).
			WithHint("check username and credential_name in the profile, or store a credential that may be renewed")
	}
	if err.Kind != KindAuthentication && err.Kind != KindDenied {
		return nil
	}
	e := helper.Errorf(helper.CodeAuthorizationDenied, "%w", err)
	switch {
	case err.Says("locked"):
		return nil
	case err.Says("self-authz"):
		return e.WithHint("the server does not let a user's own certificate do this: set tls_identity = \"anonymous\" in the profile, or ask its administrator for allow_self_authorization")
	case err.Says("does not match credential to be renewed"):
		return e.WithHint("the proxy belongs to somebody else than the stored credential: check seed, username and credential_name in the profile")
	case err.Says("verification failed"):
		return e.WithHint("the server does not accept the proxy that was to be renewed: put another one into the seed")
	case req.Renew != nil:
		return e.WithHint("the credential must have been stored with a policy of renewers that this client matches, and the server's authorized_renewers must match it, too; an anonymous client needs \"*\" or \"<anonymous>\" in both")
	}
	return e.WithHint("the credential must have been stored with a policy of trusted retrievers that the client's certificate matches, and the server's trusted_retrievers must match it, too")
}

// silentHosts are the servers of the list from which nothing came.
func silentHosts(err error) []*HostError {
	var dial *DialError
	var failover *FailoverError
	switch {
	case errors.As(err, &dial):
		return dial.Hosts
	case errors.As(err, &failover):
		return failover.Earlier
	}
	return nil
}

// maxMessage bounds one text of ours that may hold names from certificates.
const maxMessage = 1000

// printable drops what a terminal would obey. The server's own words have been
// through helper.CleanText before; this is for the rest, file names too.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}
