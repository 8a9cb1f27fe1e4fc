package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/consumer"
)

func (p *process) envCommand() *cli.Command {
	return &cli.Command{
		Name:      "env",
		Usage:     "print what makes a shell's tools use a fresh proxy",
		ArgsUsage: "[PROFILE]",
		Category:  forPeople,
		Flags: append(proxyFlags(),
			&cli.StringFlag{Name: "shell", Value: "sh", Usage: "write for `SHELL`: sh (default), fish, csh or json"}),
		Description: `In a script or an interactive shell:

  eval "$(` + name + ` env)" || exit          sh, bash, zsh
  ` + name + ` env --shell fish | source      fish
  eval "` + "`" + name + ` env --shell csh` + "`" + `"        csh, tcsh

X509_USER_PROXY is set, and X509_CERT_DIR and X509_VOMS_DIR where the profile has
ca_dir and voms_dir; what tools would prefer is unset. The file stays the same when
the proxy is renewed, which env, path, exec and keep-fresh do. Where there is no
proxy, the shell is told "false", so that the line above ends the script. curl does
not go by the environment: run it with exec.

Without PROFILE it is that of X509_CREDENTIAL_PROFILE, else default_profile.`,
		Action: func(c *cli.Context) error {
			request, err := profileRequest(c)
			if err != nil {
				return err
			}
			write := shells[c.String("shell")]
			if write == nil {
				return usagef("write sh, fish, csh or json", "env: --shell %q is not known", helper.CleanText(c.String("shell")))
			}
			out, err := p.handOut(c.Context, p.newHelper("env"), request)
			if err != nil {
				return err
			}
			text, err := write(out)
			if err != nil {
				return err
			}
			_, err = p.stdout.WriteString(text)
			return err
		},
	}
}

func (p *process) pathCommand() *cli.Command {
	return &cli.Command{
		Name:      "path",
		Usage:     "print the path of a fresh proxy",
		ArgsUsage: "[PROFILE]",
		Category:  forPeople,
		Flags:     proxyFlags(),
		Description: `  proxy=$(` + name + ` path) || exit

The file stays the same when the proxy is renewed, which env, path, exec and
keep-fresh do. It is yours alone, and may be gone after you log out.

Without PROFILE it is that of X509_CREDENTIAL_PROFILE, else default_profile.`,
		Action: func(c *cli.Context) error {
			request, err := profileRequest(c)
			if err != nil {
				return err
			}
			return p.path(c.Context, request)
		},
	}
}

// path writes the path and a line end. A path with a line end in it would be two
// for whoever reads lines.
func (p *process) path(ctx context.Context, r *helper.GetRequest) error {
	out, err := p.handOut(ctx, p.newHelper("path"), r)
	if err != nil {
		return err
	}
	if err := inOneLine(out.proxy.File); err != nil {
		return err
	}
	_, err = p.stdout.WriteString(out.proxy.File + "\n")
	return err
}

// failEnv makes the eval of our output fail, for which our own exit status is
// lost: eval "$(...)" of nothing succeeds.
func (p *process) failEnv(err error) {
	var usage *usageError
	switch {
	case p.forPeople():
	case !wantsJSON(p.args):
		_, _ = p.stdout.WriteString("false\n")
	case errors.As(err, &usage):
		_ = p.answer(helper.Errorf(helper.CodeInvalidRequest, "%w", usage).WithHint("%s", usage.hint))
	default:
		_ = p.answer(helper.AsError(err))
	}
}

// wantsJSON says whether --shell json is among the words. No other word counts: an
// error text in JSON that a shell evaluates would be a program, and a profile may
// be called json.
func wantsJSON(words []string) bool {
	for i, word := range words {
		switch option, value, given := strings.Cut(strings.TrimLeft(word, "-"), "="); {
		case !strings.HasPrefix(word, "-") || option != "shell":
		case given && value == "json", !given && slices.Index(words[i+1:], "json") == 0:
			return true
		}
	}
	return false
}

// shells writes what was handed out as each shell wants it.
var shells = map[string]func(*handedOut) (string, error){
	"sh": func(out *handedOut) (string, error) {
		return statements(out, "export ", "=", "unset ", "\n", func(s string) string {
			return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		})
	},
	// Its set -e fails for what is not there, and set -gx leaves that status as it
	// is, so the last word is "true".
	"fish": func(out *handedOut) (string, error) {
		text, err := statements(out, "set -gx ", " ", "set -e ", "\n", func(s string) string {
			return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
		})
		return text + "true\n", err
	},
	// Its backquotes make words of lines, so there is one. An exclamation mark is
	// expanded even between quotes.
	"csh": func(out *handedOut) (string, error) {
		text, err := statements(out, "setenv ", " ", "unsetenv ", "; ", func(s string) string {
			return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		})
		if err == nil && strings.Contains(text, "!") {
			err = helper.Errorf(helper.CodeStorageError, "csh cannot be told a path with an exclamation mark").
				WithHint("set runtime_dir to a directory without one")
		}
		return strings.TrimSuffix(text, " ") + "\n", err
	},
	"json": jsonEnv,
}

// statements writes one statement for each variable.
func statements(out *handedOut, set, is, unset, end string, quote func(string) string) (string, error) {
	var b strings.Builder
	variables, gone := consumer.Changes(out.proxy)
	for _, variable := range gone {
		b.WriteString(unset + variable + end)
	}
	for _, kv := range variables {
		variable, value, _ := strings.Cut(kv, "=")
		if err := inOneLine(value); err != nil {
			return "", err
		}
		b.WriteString(set + variable + is + quote(value) + end)
	}
	return b.String(), nil
}

func inOneLine(path string) error {
	if !strings.ContainsAny(path, "\r\n") {
		return nil
	}
	return helper.Errorf(helper.CodeStorageError, "the path %q has a line end in it", path).
		WithHint("set runtime_dir, ca_dir and voms_dir to directories without one")
}

// jsonEnv is for programs that start others.
func jsonEnv(out *handedOut) (string, error) {
	variables, gone := consumer.Changes(out.proxy)
	set := map[string]string{}
	for _, kv := range variables {
		variable, value, _ := strings.Cut(kv, "=")
		if !utf8.ValidString(value) { // encoding/json would write another path
			return "", helper.Errorf(helper.CodeStorageError, "the path %q is not UTF-8, and JSON has no other", value).
				WithHint("set runtime_dir, ca_dir and voms_dir to directories that are, or use --shell sh")
		}
		set[variable] = value
	}
	data, err := json.Marshal(struct {
		Version      int               `json:"version"`
		Profile      string            `json:"profile"`
		Set          map[string]string `json:"set"`
		Unset        []string          `json:"unset"`
		NotAfter     time.Time         `json:"not_after"`
		RefreshAfter time.Time         `json:"refresh_after"`
	}{helper.Version, out.profile, set, gone, out.life.NotAfter, out.life.RefreshAfter})
	return string(data) + "\n", err
}
