package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
)

// What the sandbox has in it. None of it is secret.
const (
	sandboxProfile    = "sandbox"
	sandboxUser       = "jane"
	sandboxPassphrase = "correct horse battery staple"
	sandboxPortal     = "portal" // the profile of the Master Portal
)

// sandboxClient is this program as it is registered at the sandbox's portal.
func sandboxClient() sandbox.PortalClient {
	return sandbox.PortalClient{
		ID: "myproxy:oa4mp,2012:/client_id/sandbox", Secret: "sandbox-client-secret", Name: name,
		RedirectURIs: []string{"http://127.0.0.1:8180/callback", "http://127.0.0.1:8181/callback", "http://127.0.0.1:8182/callback"},
		RefreshLife:  15 * 24 * time.Hour,
	}
}

func (p *process) sandboxCommand() *cli.Command {
	return &cli.Command{
		Name:     "sandbox",
		Usage:    "run a MyProxy server and a Master Portal to try, until Ctrl-C",
		Category: forPeople,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "dir", Usage: "write everything to `DIR`, which is empty or of an earlier sandbox, and leave it there (default: a new one, removed at the end)"},
		},
		Description: `It listens on a loopback address only, says what to type, and protects nothing.
At the end what was kept for it in keyring and cache is erased.`,
		Action: func(c *cli.Context) error {
			if err := atMost(c, 0); err != nil {
				return err
			}
			return p.sandbox(c.Context, c.String("dir"))
		},
	}
}

func (p *process) sandbox(ctx context.Context, dir string) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "x509-sandbox-"); err != nil {
			return helper.Errorf(helper.CodeStorageError, "the sandbox has no place: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	s, err := sandbox.Start(ctx, sandbox.Options{Dir: dir})
	if err != nil {
		return helper.Errorf(helper.CodeStorageError, "%w", err)
	}
	defer s.Close()
	if err := s.AddUser(sandbox.User{Name: sandboxUser, Passphrase: sandboxPassphrase, CommonName: "Jane Doe"}); err != nil {
		return err
	}
	portal, err := s.StartPortal(sandbox.PortalOptions{
		AutoApprove: true, Clients: []sandbox.PortalClient{sandboxClient()},
		Users: []sandbox.PortalUser{{Subject: "jane@sandbox.invalid", Name: "Jane Doe"}, {Subject: "john@sandbox.invalid", Name: "John Doe"}},
	})
	if err != nil {
		return helper.Errorf(helper.CodeStorageError, "%w", err)
	}
	file := filepath.Join(dir, "config.toml")
	config := s.Config(sandboxProfile, sandboxUser) + "\n" + portal.Config(sandboxPortal, sandboxClient()) + p.sandboxStore(ctx, dir)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return helper.Errorf(helper.CodeStorageError, "the configuration of the sandbox cannot be written: %w", err)
	}
	if err := s.WriteGuide(p.stdout, sandbox.Guide{
		Program: name, ConfigFile: file, Profile: sandboxProfile, Username: sandboxUser, Passphrase: sandboxPassphrase,
		Portal: portal, PortalProfile: sandboxPortal, PortalClient: sandboxClient(),
	}); err != nil {
		return err
	}
	<-ctx.Done()
	return p.sandboxForget(context.WithoutCancel(ctx), file)
}

// sandboxStore is the table [store] for this machine: the keyring if there is
// one that works, else memory.
func (p *process) sandboxStore(ctx context.Context, dir string) string {
	store := fmt.Sprintf("\n[store]\nruntime_dir = %q\n", filepath.Join(dir, "run"))
	keys := cache.NewKeyring(cache.KeyringOptions{UID: os.Getuid()})
	if _, err := keys.Get(ctx, "sandbox:probe"); err == nil || errors.Is(err, cache.ErrNotFound) {
		return store + "credentials = \"keyring\"\npassphrases = \"keyring\"\n"
	}
	p.note("There is no keyring that works here, so pass phrases are not kept: log in again when a proxy has expired.\n")
	return store + "credentials = \"runtime\" # no keyring works here\npassphrases = \"none\"\n"
}

// sandboxForget erases what was kept for the sandbox: nobody could use it, and
// nobody else knows its configuration.
func (p *process) sandboxForget(ctx context.Context, file string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	own := *p
	own.environ = append([]string{"X509_CREDENTIAL_HELPER_CONFIG=" + file}, p.environ...)
	_, err := own.newHelper("logout").Logout(ctx, sandboxProfile)
	_, portalErr := own.newHelper("logout").Logout(ctx, sandboxPortal)
	p.note("The sandbox has ended.")
	return errors.Join(err, portalErr)
}
