package main

import (
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// mpAnswer is docs/schema/myproxy.json, the one object of every myproxy command.
type mpAnswer struct {
	Version int    `json:"version"`
	Command string `json:"command"`
	Server  string `json:"server,omitempty"` // host:port that answered

	Username       string `json:"username,omitempty"`
	CredentialName string `json:"credential_name,omitempty"`

	// Of logon and retrieve.
	Credential *mpCredential `json:"credential,omitempty"`
	Anonymous  bool          `json:"anonymous_retry,omitempty"`

	// Of put and store.
	Owner        string `json:"owner,omitempty"`
	OwnerRFC2253 string `json:"owner_rfc2253,omitempty"`
	MaxLifetime  int64  `json:"max_lifetime,omitempty"` // seconds
	NotAfter     string `json:"not_after,omitempty"`    // of what is stored

	// Of info; never null there.
	Credentials *[]mpStoredCredential `json:"credentials,omitempty"`

	// Of change-passphrase.
	Keyring *mpKeyringAnswer `json:"keyring,omitempty"`

	// Of trustroots, and of others that installed some.
	TrustRoots *mpTrustAnswer `json:"trust_roots,omitempty"`

	Warnings []string `json:"warnings,omitempty"`
}

type mpCredential struct {
	PEM             helper.Text `json:"pem,omitempty"` // with -o -
	Path            string      `json:"path,omitempty"`
	KeyPath         string      `json:"key_path,omitempty"` // of retrieve
	Type            string      `json:"type"`
	Limited         bool        `json:"limited"`
	Subject         string      `json:"subject"`
	Identity        string      `json:"identity"`
	IdentityRFC2253 string      `json:"identity_rfc2253"`
	NotBefore       string      `json:"not_before"`
	NotAfter        string      `json:"not_after"`
	ExpiresIn       int64       `json:"expires_in"`
	Fingerprint     string      `json:"fingerprint"`
}

type mpStoredCredential struct {
	Name             string `json:"name"` // "" is the one without
	Description      string `json:"description,omitempty"`
	Owner            string `json:"owner"`
	NotBefore        string `json:"not_before,omitempty"`
	NotAfter         string `json:"not_after,omitempty"`
	ExpiresIn        *int64 `json:"expires_in,omitempty"` // below 0: it has expired
	Retriever        string `json:"retriever,omitempty"`
	Renewer          string `json:"renewer,omitempty"`
	TrustedRetriever string `json:"trusted_retriever,omitempty"`
	KeyRetriever     string `json:"key_retriever,omitempty"`
	Locked           string `json:"locked,omitempty"`
}

type mpKeyringAnswer struct {
	Replaced []string `json:"replaced"` // profiles
	Failed   []string `json:"failed"`
}

type mpTrustAnswer struct {
	Directory   string        `json:"directory"`
	Installed   []string      `json:"installed"`
	Updated     []string      `json:"updated"`
	Unchanged   []string      `json:"unchanged"`
	LeftOut     []string      `json:"left_out"`
	New         []mpAuthority `json:"new_cas"`
	Bootstrap   bool          `json:"bootstrap"`
	Fingerprint string        `json:"fingerprint,omitempty"` // of the server
}

type mpAuthority struct {
	Subject     string `json:"subject"`
	Fingerprint string `json:"fingerprint"`
}

func (m *mpCall) answer(a *mpAnswer) error {
	a.Version, a.Command = helper.Version, m.command
	return writeJSON(m.p.stdout, a)
}
