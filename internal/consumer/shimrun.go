package consumer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ShimVariable is "off" where shims are to change nothing, as below exec, which
// has chosen already. Otherwise it names the shims that were entered, so that
// one that is led back to itself is noticed.
const ShimVariable = "X509_CREDENTIAL_HELPER_SHIM"

// ShimsOff is the value of ShimVariable with which tools start as if there were
// no shims.
const ShimsOff = "off"

// CalledAsShim says for which tool this program was started: argv0 must be, or
// be found on the PATH as, a link that InstallShims made. Under any other name
// the program is itself.
func CalledAsShim(argv0 string, env []string) (tool string, ok bool) {
	if strings.ContainsRune(argv0, filepath.Separator) {
		return filepath.Base(argv0), isShim(argv0)
	}
	for _, path := range candidates(argv0, env) {
		if isShim(path) {
			return argv0, true
		}
	}
	return "", false
}

// RealTool finds the program that a shim stands in front of: the first one on
// the PATH that is not us. A directory without a leading slash is none where
// anybody should look for it.
func RealTool(tool string, env []string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find out which program this is: %w", err)
	}
	us, err := os.Stat(self)
	if err != nil {
		return "", fmt.Errorf("find out which program this is: %w", err)
	}
	for _, path := range candidates(tool, env) {
		if !filepath.IsAbs(path) || isShim(path) {
			continue
		}
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && mayRun(path) && !os.SameFile(info, us) {
			return path, nil
		}
	}
	return "", &StartError{Name: tool, Status: StatusNotFound, Err: os.ErrNotExist}
}

// EnterShim notes in the environment that the shim of a tool was entered. A
// second time is an error: what was taken for the real tool calls it by its
// name, and would do so for ever.
func EnterShim(tool string, env []string) ([]string, error) {
	value, _ := lookup(env, ShimVariable)
	entered := strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
	if slices.Contains(entered, tool) {
		return nil, fmt.Errorf("the shim of %s was entered a second time: what stands behind it on the PATH starts %s by its name; take the shims' directory off the PATH there, or set %s=%s",
			tool, tool, ShimVariable, ShimsOff)
	}
	return setenv(env, ShimVariable, strings.Join(append(entered, tool), ",")), nil
}

// WithoutShims is the environment of a tool below which shims change nothing.
func WithoutShims(env []string) []string { return setenv(env, ShimVariable, ShimsOff) }

// setenv returns env with one value for a variable.
func setenv(env []string, name, value string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(kv string) bool { return variable(kv) == name })
	return append(env, name+"="+value)
}
