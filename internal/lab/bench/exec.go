package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What stands before a tool, as the report names it. The tool is true(1), which
// costs nothing.
const (
	execKeyring = "exec -- true"
	execKernel  = "exec -- true, key in the kernel's keyring"
	execFile    = "exec -- true, store file"
	execKeep    = "exec --keep-fresh -- true, store file"
	shimKeyring = "true davs://…, by its shim"
	shimFile    = "true davs://…, by its shim, store file"
	shimPassed  = "true file://…, by its shim"
)

// overheads are the programs that run the tool, and overheadLimit what each may
// add to it.
var overheads = []string{execKeyring, execKernel, execFile, execKeep, shimKeyring, shimFile, shimPassed}

// benchURL is one that the profile matches: a shim never takes the default one.
const benchURL = "davs://se.bench.example.org/f"

const overheadLimit = 10 * time.Millisecond

// addExec: a cache of their own keeps them from being served what "get" has just
// fetched, so that none has a file to write anew. The store file has a runtime
// directory of its own, too: in that of the others a newer proxy removes the one
// that lies there, plain, since it is kept in a better place.
func (w *world) addExec(binary string) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	shims := filepath.Join(w.dir, "shims")
	if _, err := w.time(program{name: "shims install", argv: []string{binary, "shims", "install", shims, "true"}}); err != nil {
		return err
	}
	shim := filepath.Join(shims, "true")
	kernel := "X509_CREDENTIAL_HELPER_CONFIG=" + filepath.Join(w.dir, "kernel.toml")
	const file = "X509_CREDENTIAL_HELPER_STORE=file"
	for _, p := range []program{
		{name: execKeyring, argv: []string{binary, "exec", "--", "true"}},
		{name: execKernel, argv: []string{binary, "exec", "--", "true"}, env: []string{kernel}},
		{name: execFile, argv: []string{binary, "exec", "--", "true"}, env: []string{file}},
		{name: execKeep, argv: []string{binary, "exec", "--keep-fresh", "--", "true"}, env: []string{file}},
		{name: shimKeyring, argv: []string{shim, benchURL}},
		{name: shimFile, argv: []string{shim, benchURL}, env: []string{file}},
		{name: shimPassed, argv: []string{shim, "file:///f"}},
	} {
		p.pair = true
		runtime := filepath.Join(w.dir, "runtime")
		if slices.Contains(p.env, file) {
			runtime += "-file"
		}
		if err := os.MkdirAll(runtime, 0o700); err != nil {
			return err
		}
		p.env = append(p.env, "XDG_CACHE_HOME="+filepath.Join(w.dir, "exec"), "XDG_RUNTIME_DIR="+runtime)
		for range 2 { // the first one fetches, or reads the key
			if _, err := w.time(p); err != nil {
				return err
			}
		}
		if p.check, err = unchanged(runtime); err != nil {
			return err
		}
		w.programs = append(w.programs, p)
	}
	return nil
}

// unchanged makes sure that a tool got the proxy that was there already: a
// fetched one, and one of another store, would be written into its file.
func unchanged(runtime string) (func([]byte) error, error) {
	files := func() (list []os.FileInfo, err error) {
		paths, err := filepath.Glob(filepath.Join(runtime, "x509-credential-helper", "proxy", "*.pem"))
		for _, path := range paths {
			info, err := os.Stat(path)
			if err != nil {
				return nil, err
			}
			list = append(list, info)
		}
		return list, err
	}
	before, err := files()
	return func([]byte) error {
		now, err := files()
		if err == nil && !slices.EqualFunc(before, now, os.SameFile) {
			err = errors.New("the proxy was not the one in the cache")
		}
		return err
	}, err
}

// alone names the runs of the tool without what stands before it.
func alone(name string) string { return "true, before " + name }

// overhead says what is added to a tool: the median of the differences to the
// tool alone, which ran just before.
func (r *report) overhead() string {
	var b strings.Builder
	const head = "\n| before a tool | adds, median of pairs, ms | 90 % below ms | target | |\n|---|---:|---:|---|---|\n"
	for _, name := range overheads {
		added := pairs(r.results[name], r.results[alone(name)])
		if len(added) == 0 {
			continue
		}
		if b.Len() == 0 {
			b.WriteString(head)
		}
		median := quantile(added, 0.5)
		fmt.Fprintf(&b, "| `%s` | %s | %s | ≤ %s ms | %s |\n", name, ms(median), ms(quantile(added, 0.9)), ms(overheadLimit), verdict(median <= overheadLimit))
	}
	return b.String()
}

// pairs are the differences of what was measured one after the other.
func pairs(with, without []time.Duration) []time.Duration {
	var list []time.Duration
	for i := range min(len(with), len(without)) {
		list = append(list, with[i]-without[i])
	}
	return list
}
