package main

import (
	"context"
	"errors"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// coded gives an error the code of the protocol, for --json, and the sentence
// that says what to do.
func (m *mpCall) coded(ctx context.Context, err error) *helper.Error {
	var own *helper.Error
	if errors.As(err, &own) {
		return own
	}
	if e := m.localError(ctx, err); e != nil {
		return e
	}
	var (
		dial     *myproxy.DialError
		trust    *myproxy.TrustError
		server   *myproxy.ServerError
		alert    *myproxy.AlertError
		cert     *myproxy.CertificateError
		chain    *gsi.ChainError
		protocol *myproxy.ProtocolError
		timeout  *myproxy.TimeoutError
		lost     *myproxy.LostError
	)
	switch {
	case errors.As(err, &dial):
		return dialError(dial)
	case errors.As(err, &trust):
		return m.trustError(trust)
	case errors.As(err, &server):
		return m.serverError(server)
	case errors.As(err, &alert):
		return helper.Errorf(helper.CodeServerRefused, "%w", alert).
			WithHint("if a client certificate was shown, it may have expired or be of a CA that the server does not trust; a server without TLS 1.2 does this, too")
	case errors.As(err, &protocol):
		return helper.Errorf(helper.CodeServerRefused, "%w", protocol).
			WithHint("check that this is a MyProxy server: its port is usually %s", myproxy.DefaultPort)
	case errors.As(err, &cert), errors.As(err, &chain):
		e := helper.Errorf(helper.CodeInvalidCredential, "%w", err)
		if m.has("voms") && len(m.c.StringSlice("voms")) > 0 {
			return e.WithHint("where the server cannot add attributes, leave -m out and add them with voms-proxy-init")
		}
		return e
	case errors.As(err, &timeout):
		return helper.Errorf(helper.CodeTimeout, "%w", timeout)
	case errors.As(err, &lost):
		return helper.Errorf(helper.CodeBackendUnavailable, "%w", lost)
	}
	return helper.AsError(err)
}

func dialError(err *myproxy.DialError) *helper.Error {
	e := helper.Errorf(helper.CodeBackendUnavailable, "%w", err).WithHint("check the network, and the server's name and port")
	for _, h := range err.Hosts {
		e.Causes = append(e.Causes, clean(h.Error()))
	}
	return e
}

// localError is for what has not to do with a server.
func (m *mpCall) localError(ctx context.Context, err error) *helper.Error {
	var (
		request *myproxy.RequestError
		file    *myproxy.FileError
		config  *myproxy.ConfigError
		install *gsi.InstallError
		ce      *cache.Error
	)
	switch {
	case errors.Is(err, context.Canceled):
		return helper.Errorf(helper.CodeCancelled, "cancelled")
	case ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded):
		return helper.Errorf(helper.CodeTimeout, "%w", err)
	case errors.Is(err, myproxy.ErrCredentialsExist):
		return helper.Errorf(helper.CodePolicyRefused, "%w", err).WithHint("leave out --no-overwrite to replace them")
	case errors.Is(err, myproxy.ErrNoIdentity):
		return helper.Errorf(helper.CodeNotConfigured, "%w", err).WithHint("name it with --tls-cert and --tls-key")
	case errors.As(err, &request):
		return helper.Errorf(helper.CodeInvalidRequest, "%w", request)
	case errors.As(err, &file):
		if file.Unsafe {
			return helper.Errorf(helper.CodePolicyRefused, "%w", file)
		}
		return helper.Errorf(helper.CodeInvalidRequest, "%w", file)
	case errors.As(err, &config):
		return helper.Errorf(helper.CodeNotConfigured, "%w", config)
	case errors.As(err, &install):
		return helper.Errorf(helper.CodeStorageError, "the trust roots were not installed: %w", install)
	case errors.Is(err, gsi.ErrWrongPassphrase):
		return helper.Errorf(helper.CodeInvalidRequest, "%w", err)
	case errors.As(err, &ce):
		return keyringError(ce)
	}
	return nil
}

func keyringError(err *cache.Error) *helper.Error {
	code := helper.CodeStorageError
	switch {
	case errors.Is(err, cache.ErrLocked):
		code = helper.CodeKeyringLocked
	case errors.Is(err, cache.ErrTimeout), errors.Is(err, cache.ErrUnavailable):
		code = helper.CodeKeyringUnavailable
	case errors.Is(err, cache.ErrBusy):
		code = helper.CodeBusy
	}
	e := helper.Errorf(code, "%w", err)
	if err.Remedy != "" {
		e.Message, e.Hint = err.Text, err.Remedy
	}
	return e
}

func (m *mpCall) trustError(err *myproxy.TrustError) *helper.Error {
	e := helper.Errorf(helper.CodeUntrustedServer, "%w", err)
	var why *gsi.TrustError
	var who *gsi.NameError
	var other *myproxy.FingerprintError
	switch {
	case errors.As(err, &other):
		return e.WithHint("it may be another server than the one whose fingerprint you have: nothing was sent to it")
	case errors.As(err, &who):
		return e.WithHint("if you know that this is the right server, add --server-dn %s", shellWord(who.DN))
	case !errors.As(err, &why):
		return e
	}
	switch why.Reason {
	case gsi.TrustNotYetValid, gsi.TrustExpired, gsi.TrustCRLExpired, gsi.TrustCRLNotYetValid:
		return e.WithHint("check this machine's clock first; if it is right, the server's or the CA's administrator must act")
	case gsi.TrustNoDirectory, gsi.TrustUnknownIssuer:
		if m.has("bootstrap") {
			return e.WithHint("name the trust directory with --cadir, or fetch the trust roots of the server with -b")
		}
		return e.WithHint("name the trust directory with --cadir, or run: %s myproxy trustroots -b -s %s", name, err.Server)
	}
	return e
}

func (m *mpCall) serverError(err *myproxy.ServerError) *helper.Error {
	switch err.Kind {
	case myproxy.KindAuthentication:
		e := helper.Errorf(helper.CodeAuthenticationFailed, "%w", err)
		switch {
		case m.c.IsSet("authorization"):
			return e.WithHint("only what was stored for it can be renewed, with myproxy put -A, or -R by those that it names, and only as the server's authorized_renewers allows")
		case m.c.Bool("no-passphrase"):
			return e.WithHint("only what was stored for it can be had without a pass phrase, with myproxy put -Z, by the client certificates that it names, and only as the server's trusted_retrievers allows")
		}
		return e.WithHint("check user name and pass phrase")
	case myproxy.KindNotFound:
		return helper.Errorf(helper.CodeNotFound, "%w", err).
			WithHint("check -l and -k; the owner sees what is stored with: %s myproxy info", name)
	case myproxy.KindDenied:
		e := helper.Errorf(helper.CodeAuthorizationDenied, "%w", err)
		if err.Says("self-authz") {
			return e.WithHint("the server wants another client certificate than that of the credential itself: try --anonymous, or --tls-cert")
		}
		if err.Says("does not own") || err.Says("not owned by") { // said of one that is not there, too
			return e.WithHint("check -l and -k; if they are right, it was stored with another certificate: name that with --tls-cert")
		}
		return e.WithHint("ask the server's administrator, or the owner of the credential")
	}
	e := helper.Errorf(helper.CodeServerRefused, "%w", err)
	if err.ClearText {
		return e.WithHint("this is not about the pass phrase: the server itself is in trouble, its administrator's log says why")
	}
	return e
}
