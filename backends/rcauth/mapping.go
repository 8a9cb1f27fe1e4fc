package rcauth

import (
	"context"
	"errors"
	"net/http"
	"strings"

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

// coded gives an error of the library its code, and the next step.
func (b *Backend) coded(ctx context.Context, p *helper.Profile, err error) *helper.Error {
	var own *helper.Error // of the dispatcher, or made here
	if errors.As(err, &own) {
		e := *own
		return tag(p, &e)
	}
	return tag(p, withCode(ctx, p, err))
}

func withCode(ctx context.Context, p *helper.Profile, err error) *helper.Error {
	var (
		refused  *PortalError
		denied   *AuthorizationError
		lost     *TransportError
		bad      *AnswerError
		id       *IDTokenError
		cred     *CredentialError
		identity *IdentityError
		request  *RequestError
		redirect *RedirectError
	)
	switch {
	case errors.As(err, &refused):
		return refusalError(p, refused)
	case errors.As(err, &denied):
		return deniedError(denied)
	case errors.As(err, &lost):
		return transportError(ctx, lost)
	case errors.As(err, &bad):
		return helper.Errorf(helper.CodeServerRefused, "%w", err).
			WithHint(portalHint)
	case errors.As(err, &id):
		return idTokenError(id)
	case errors.As(err, &cred):
		return credentialError(cred)
	case errors.As(err, &identity):
		return helper.Errorf(helper.CodeInvalidCredential, "%w", err).
			WithHint("nothing of it is kept; tell the portal's administrator")
	case errors.As(err, &request):
		return helper.Errorf(helper.CodeNotConfigured, "%w", err)
	case errors.As(err, &redirect), errors.Is(err, ErrWrongState):
		return helper.Errorf(helper.CodeInvalidRequest, "%w", err)
	case errors.Is(err, errBadSession):
		return helper.Errorf(helper.CodeInteractionRequired, "%w", err)
	case errors.Is(err, ErrNoRevocation):
		return helper.Errorf(helper.CodeUnsupportedFeature, "%w", err).WithHint("to forget it here run: x509-credential-helper logout %s", p.Name)
	case errors.Is(err, context.DeadlineExceeded):
		return helper.Errorf(helper.CodeTimeout, "the time ran out: %w", err)
	case errors.Is(err, context.Canceled):
		return helper.Errorf(helper.CodeCancelled, "cancelled")
	}
	return helper.AsError(err)
}

const portalHint = "check that portal is the URL of a Master Portal, https://HOST/mp-oa2-server as a rule"

// refusalError: what the portal said decides, not how it was coded, see Kind.
func refusalError(p *helper.Profile, err *PortalError) *helper.Error {
	coded := func(c helper.Code) *helper.Error { return helper.Errorf(c, "%w", err) }
	switch err.Kind {
	case KindLoginRequired:
		return coded(helper.CodeInteractionRequired)
	case KindRefreshToken, KindAccessToken:
		return coded(helper.CodeInteractionRequired)
	case KindLifetime:
		return coded(helper.CodeLifetimeUnavailable).WithHint("ask for a shorter lifetime")
	case KindVOMS:
		return coded(helper.CodeServerRefused).
			WithHint("the portal does not know the VO (set vomses in the profile), you are no member of it, or its VOMS server is down; the VO's administrators can tell")
	case KindClient:
		return clientError(p, err)
	case KindCode:
		return coded(helper.CodeServerRefused).WithHint("a code works once; run: x509-credential-helper login %s", p.Name)
	case KindScope:
		return coded(helper.CodeAuthorizationDenied).
			WithHint("the client's registration must allow the scope %s, and the profile's scopes must have it; then log in anew", scopeProxy)
	case KindUnavailable:
		return coded(helper.CodeBackendUnavailable).WithHint("try again later; if it stays so, tell the portal's administrator")
	}
	if err.Status == http.StatusNotFound {
		return coded(helper.CodeServerRefused).WithHint(portalHint)
	}
	return coded(helper.CodeServerRefused)
}

// clientError is about the client's registration.
func clientError(p *helper.Profile, err *PortalError) *helper.Error {
	words := strings.ToLower(err.Description)
	switch {
	case strings.Contains(words, "secret"):
		return helper.Errorf(helper.CodeAuthenticationFailed, "%w", err).
			WithHint("the client secret that is kept is not that of client_id; to be asked for another once it has been refused run: x509-credential-helper login %s", p.Name)
	case strings.Contains(words, "approved"):
		return helper.Errorf(helper.CodeAuthorizationDenied, "%w", err).
			WithHint("ask the portal's administrator to approve the client (for EGI: Check-in support); x509-credential-helper login --print-registration %s writes the mail", p.Name)
	case strings.Contains(words, "public"):
		return helper.Errorf(helper.CodeAuthorizationDenied, "%w", err).
			WithHint("register a client that is not public")
	}
	return helper.Errorf(helper.CodeNotConfigured, "%w", err).
		WithHint("check client_id in the profile: it is what the portal showed at the registration")
}

// deniedError is the end of a login that the browser brought.
func deniedError(err *AuthorizationError) *helper.Error {
	switch err.Code {
	case "access_denied":
		return helper.Errorf(helper.CodeAuthorizationDenied, "%w", err).WithHint("the consent was refused in the browser; log in again to give it")
	case "invalid_scope":
		return helper.Errorf(helper.CodeNotConfigured, "%w", err).WithHint("check scopes in the profile; the default is %q", DefaultScopes)
	case "server_error", "temporarily_unavailable":
		return helper.Errorf(helper.CodeBackendUnavailable, "%w", err).WithHint("try again later")
	}
	return helper.Errorf(helper.CodeServerRefused, "%w", err)
}

func transportError(ctx context.Context, err *TransportError) *helper.Error {
	switch {
	case err.Untrusted():
		return helper.Errorf(helper.CodeUntrustedServer, "%w", err).
			WithHint("install the CA of the portal's certificate, or set ca_file in the profile; if it has expired, the portal's administrator must act")
	case errors.Is(ctx.Err(), context.Canceled):
		return helper.Errorf(helper.CodeCancelled, "%w", err)
	case err.Timeout():
		return helper.Errorf(helper.CodeTimeout, "%w", err).WithHint("check the network and the profile's portal")
	}
	return helper.Errorf(helper.CodeBackendUnavailable, "%w", err).WithHint("check the network and the profile's portal")
}

func idTokenError(err *IDTokenError) *helper.Error {
	switch err.Fault {
	case FaultExpired:
		return helper.Errorf(helper.CodeClockSkew, "%w", err).WithHint("check this machine's clock")
	case FaultIssuer:
		return helper.Errorf(helper.CodeInvalidCredential, "%w", err).WithHint("if that name is right, set issuer in the profile")
	}
	return helper.Errorf(helper.CodeInvalidCredential, "%w", err).WithHint("nothing of it is kept; tell the portal's administrator")
}

func credentialError(err *CredentialError) *helper.Error {
	var chain *gsi.ChainError
	if errors.As(err, &chain) && chain.Fault == gsi.FaultNotYetValid {
		return helper.Errorf(helper.CodeClockSkew, "%w", err).WithHint("check this machine's clock")
	}
	return helper.Errorf(helper.CodeInvalidCredential, "%w", err).WithHint("nothing of it is kept; tell the portal's administrator")
}
