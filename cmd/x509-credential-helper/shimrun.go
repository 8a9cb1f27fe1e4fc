package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/consumer"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// shimOf is the tool in front of which we stand, or "". Under our own name we
// stand in front of nobody, and nothing is looked at.
func shimOf(argv, environ []string) string {
	if len(argv) == 0 || filepath.Base(argv[0]) == name {
		return ""
	}
	if tool, ok := consumer.CalledAsShim(argv[0], environ); ok {
		return tool
	}
	return ""
}

// runShim becomes the tool. It returns only if that was not possible; then its
// status is that of exec.
func (p *process) runShim(ctx context.Context) int {
	err := safego.Call(func() error {
		p.before()
		return p.startShimmed(ctx)
	})
	return p.report(ctx, "exec", err)
}

func (p *process) startShimmed(ctx context.Context) error {
	tool, err := consumer.RealTool(p.shim, p.environ)
	if err != nil {
		return err
	}
	argv := append([]string{tool}, p.argv[1:]...)
	if p.getenv(consumer.ShimVariable) == consumer.ShimsOff {
		return p.become(argv, p.environ)
	}
	environ, err := consumer.EnterShim(p.shim, p.environ)
	if err != nil {
		return helper.Errorf(helper.CodePolicyRefused, "%w", err)
	}
	if len(consumer.URLs(argv)) == 0 { // files of this machine, or --help
		return p.become(argv, environ)
	}
	h := p.newHelper("exec")
	plan, err := planOf(h, argv)
	if err != nil {
		return notStarted(h, argv, err)
	}
	if plan.Profile == "" {
		return p.become(argv, environ)
	}
	r := helper.DefaultGetRequest()
	r.Output, r.Interactive, r.Timeout = helper.OutputPath, helper.InteractiveAuto, 300*time.Second
	return p.startPlanned(ctx, h, r, plan, command{argv: argv, environ: environ})
}

// become starts a tool as it was called.
func (p *process) become(argv, environ []string) error {
	p.limits.restore()
	return consumer.Start(argv, environ)
}
