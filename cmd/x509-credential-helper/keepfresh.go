package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/consumer"
)

func (p *process) keepFreshCommand() *cli.Command {
	return &cli.Command{
		Name:      "keep-fresh",
		Usage:     "replace a proxy in its file before it expires, until Ctrl-C",
		ArgsUsage: "[PROFILE]",
		Category:  forPeople,
		Flags: append(proxyFlags(),
			&cli.StringFlag{Name: "out", Usage: "write `FILE` as well, for a batch system or a shared home"},
			&cli.BoolFlag{Name: "once", Usage: "refresh if it is time, and return"},
			&cli.StringFlag{Name: "jitter", Value: "0", Usage: "with --once: wait for a random part of `TIME` first"},
		),
		Description: `The file is the one that exec, env and path give to tools. A new proxy is put
into it in one step between half and three quarters of each one's life, at
another time on every machine. What fails is said in a line and tried again
after a while. SIGTERM ends it at once.

With --once it is for cron, which starts it on all machines in the same second:

  */30 * * * * x509-credential-helper keep-fresh --once --jitter 10m atlas

packaging/systemd has a service, and a timer for --once. The exit status with
--once is 0 as long as the proxy is good.

Without PROFILE it is that of X509_CREDENTIAL_PROFILE, else default_profile.`,
		Action: func(c *cli.Context) error {
			o, err := keepFreshOptions(c)
			if err != nil {
				return err
			}
			return p.keepFresh(c.Context, o)
		},
	}
}

// keepOptions is what keep-fresh was told.
type keepOptions struct {
	request *helper.GetRequest
	out     string // another file, or ""
	once    bool
	jitter  time.Duration
}

func keepFreshOptions(c *cli.Context) (o keepOptions, err error) {
	if o.request, err = profileRequest(c); err != nil {
		return o, err
	}
	if o.jitter, err = duration(c, "jitter"); err != nil {
		return o, err
	}
	o.out, o.once = c.String("out"), c.Bool("once")
	switch {
	case o.out != "" && !filepath.IsAbs(o.out):
		return o, usagef("write an absolute path", "keep-fresh: --out %q is a relative path", helper.CleanText(o.out))
	case o.jitter > 0 && !o.once:
		return o, usagef("add --once", "keep-fresh: --jitter is for --once only")
	}
	return o, nil
}

// keepFresh hands out a proxy and keeps it fresh until a signal asks us to end,
// which is a good end.
func (p *process) keepFresh(ctx context.Context, o keepOptions) error {
	if err := consumer.Sleep(ctx, time.Duration(rand.Float64()*float64(o.jitter))); err != nil {
		return err
	}
	first, err := p.handOut(ctx, p.newHelper("keep-fresh"), o.request)
	if err != nil {
		return err
	}
	if err := copyTo(o.out, first.proxy.File); err != nil {
		return err
	}
	k := p.keeper(first)
	refresh := k.Refresh
	k.Refresh = func(ctx context.Context, notAfter time.Time) (consumer.Life, error) {
		life, err := refresh(ctx, notAfter)
		if err == nil {
			err = copyTo(o.out, first.proxy.File)
		}
		return life, err
	}
	if !o.once {
		p.note("%s: keeping %s fresh", name, first.proxy.File)
		k.Keep(ctx, first.life)
		return nil
	}
	if now := time.Now(); !now.Before(first.life.RefreshAfter) {
		if _, err := k.Refresh(ctx, first.life.NotAfter); err != nil {
			p.note("%s: %s", name, failedText(first, err, first.life.NotAfter.Sub(now), 0))
		}
	}
	return nil
}

// copyTo writes the proxy of one file into another in one step.
func copyTo(to, from string) error {
	if to == "" {
		return nil
	}
	cred, err := myproxy.ReadProxyFile(from)
	if err != nil {
		return helper.Errorf(helper.CodeStorageError, "%w", err)
	}
	if err := myproxy.WriteProxyFile(to, cred); err != nil {
		return helper.Errorf(helper.CodeStorageError, "%w", err)
	}
	return nil
}

// keeper keeps what was handed out fresh.
func (p *process) keeper(out *handedOut) *consumer.Keeper {
	k := consumer.NewKeeper()
	k.Refresh = func(ctx context.Context, notAfter time.Time) (consumer.Life, error) {
		return p.refresh(ctx, out, notAfter)
	}
	k.Failed = func(err error, left, again time.Duration) {
		p.note("%s: %s", name, failedText(out, err, left, again))
	}
	k.Intact = func(notAfter time.Time) bool {
		info, err := consumer.Check(out.proxy.File, 0, time.Now())
		return err == nil && !info.NotAfter.Before(notAfter)
	}
	return k
}

// refresh replaces the proxy that was handed out by one that lives longer,
// without a question: the terminal belongs to somebody else. The configuration
// is read again, and what it says about the keyring or the runtime directory
// found out anew: hours have passed.
func (p *process) refresh(ctx context.Context, out *handedOut, notAfter time.Time) (life consumer.Life, err error) {
	r := *out.request
	r.Interactive, r.Timeout, r.Background = helper.InteractiveNever, 30*time.Second, true
	h := p.newHelper("keep-fresh")
	h.Notify = nil
	// Of all tasks of a node one renews, and if it fails, all pause.
	answer, err := h.Get(ctx, &r)
	if err == nil && !answer.Credential.NotAfter.After(notAfter) {
		if err = notRenewed(answer.Warnings); err == nil { // somebody else is at it: wait for that
			r.MinLifetime = max(r.MinLifetime, time.Until(notAfter)+time.Second)
			answer, err = h.Get(ctx, &r)
		}
	}
	if err != nil {
		return life, err
	}
	c := answer.Credential
	if c.Path != out.proxy.File {
		return life, fmt.Errorf("a new proxy has another file now, %s, because the configuration was changed", c.Path)
	}
	if _, err := consumer.Check(c.Path, out.request.MinLifetime, time.Now()); err != nil {
		return life, err
	}
	return consumer.Life{RefreshAfter: c.RefreshAfter, NotAfter: c.NotAfter}, nil
}

// notRenewed is the error of a renewal that a warning tells of.
func notRenewed(warnings []helper.Warning) error {
	for _, w := range warnings {
		if _, why, ok := strings.Cut(w.Message, "was not renewed: "); ok {
			return helper.Errorf(helper.CodeBackendUnavailable, "%s", why)
		}
	}
	return nil
}

// failedText is one line: what failed, what that means and what helps. again is
// 0 where somebody else decides when to try once more.
func failedText(out *handedOut, err error, left, again time.Duration) string {
	text := fmt.Sprintf("the proxy of profile %q ", out.profile)
	_, lost := os.Lstat(out.proxy.File)
	switch {
	case errors.Is(lost, fs.ErrNotExist): // however long it would have lived
		text += "is gone, as after a logout, and there is no new one"
	case left > 0:
		text += "was not refreshed and lives another " + helper.Span(int64(left/time.Second))
	default:
		text += "was not refreshed and has expired"
	}
	if again > 0 {
		text += "; next attempt in " + helper.Span(int64(again/time.Second))
	}
	e := helper.AsError(err)
	text += ": " + e.Message
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}
