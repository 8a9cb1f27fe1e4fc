package gsi

// Why we refuse what some client takes, or take what some client refuses.
// Sentences for docs/proxies.md.
const (
	whyWeak = "RSA below 2048 bits, SHA-1 and MD5 can be forged or soon will be. OpenSSL's security level 2, which TLS servers have, " +
		"refuses them; XRootD's GSI does not look, with TLS it looks at the client's own certificate only."
	whyLanguage = "A policy language that is not understood must be refused (RFC 3820 section 3.8.2), because it says which rights the proxy lacks. " +
		"None of the servers reads it."
	whyLimited = "Who holds a limited proxy could make himself a full one. The limit is Globus' own, and neither OpenSSL nor XRootD knows it; " +
		"Globus' gatekeepers are meant to refuse limited proxies (not tried)."
	whyPathLength = "The holder of the proxy above was not to hand it on (RFC 3820 section 3.8.1). XRootD's GSI does not look at path lengths."
	whyOld        = "OpenSSL's TLS knows RFC 3820 only, so the proxy would work with XRootD's GSI and nowhere else. " +
		"VerifyOptions.AllowLegacy accepts them."
	whyMixed = "Proxies of different kinds in one chain have rules of their own for rights and path lengths, and which count is not defined. " +
		"OpenSSL's TLS refuses them as well."
	whyNotCritical = "proxyCertInfo must be critical (RFC 3820 section 3.8), or software that knows no proxies takes the certificate for its issuer's. " +
		"OpenSSL does not look, XRootD refuses it."
	whyInfo = "RFC 3820 sections 3.8.1 and 3.8.2 do not allow it, and what OpenSSL passes over others may read differently."
	whyBoth = "The second extension is critical and cannot be understood beside the first. XRootD's GSI does not look at " +
		"critical extensions that it does not know."
	whyKeyUsage = "Proxies sign the handshake and further proxies, so digitalSignature is needed in issuer and proxy (RFC 3820 section 3.6). " +
		"XRootD's GSI does not look at key usages."
	whySAN      = "A proxy has its issuer's identity and no other (RFC 3820 sections 3.2 and 3.5). XRootD's GSI does not look."
	whyCritical = "RFC 5280 section 4.2: a critical extension that is not understood is refused. XRootD's GSI does not look."
	whyLastCN   = "Exactly one CN is added to the issuer's name (RFC 3820 section 3.4). XRootD's GSI does not see what stands beside the CN in the last element."
	whyBytes    = "Names are compared byte by byte. OpenSSL folds string types, case and spaces, and two names that are one to it " +
		"may be two to grid-map files and .lsc files."
	whySubCA = "As with Globus, a CA may sign what a signing policy allows, and there is none for a sub-CA that is not in the directory. " +
		"OpenSSL and curl ask for no policy, XRootD's GSI does not take CAs from the client."
	whyRevoked = "The user's certificate is on the CA's list. The servers asked do not look at it, nor does XRootD 5.5.3 with -crl:2 and -crldir, " +
		"which loads the list, nor with xrd.tlsca crlcheck all (tried by hand)."
	whySigningPolicy = "The CA may not sign that name, says its signing policy. That is Globus' rule; XRootD and OpenSSL do not read such files."
	whyKey           = "openssl verify looks at certificates only. Whoever needs the key refuses the file."
	whyTwoKeys       = "Which key is meant would be a guess; the tools take the first, and so the same file with its parts in another order fails."
	whyForeign       = "The last certificate belongs to nobody in the chain; the file was put together from two. XRootD refuses it as well."
	whyTrusted       = "That label is OpenSSL's own, for a certificate with trust settings behind it. No client takes it for a user's."

	whyRSA = "XRootD's GSI can do nothing but RSA in a proxy. TLS servers take the proxy, and which server it is meant for is not known here; " +
		"what is fetched or made has RSA keys unless configured otherwise."
	whyPurpose = "A chain is verified without a purpose, because servers have chains, too. TLS servers ask for clientAuth where there is an extended key usage."
	whyNoProxy = "Online CAs give such certificates and https takes them. XRootD's GSI wants a proxy."
	why2060    = "From 2050 on, dates are written as GeneralizedTime (RFC 5280 section 4.1.2.5), which Globus and XRootD misread. " +
		"A proxy of that length is no real one."
	whyOrder = "Files are read in any order and without doubles, and written in the one order that all clients read."
	whyHost  = "Where a proxy will be used is not known here. Who knows says so in voms.VerifyOptions.Host."
)
