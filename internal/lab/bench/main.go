// The command bench measures whole processes against real servers: ours beside
// the programs that people use today. Every round runs each program once, in
// an order of its own, so that a busy machine is busy for all of them.
//
//	go run ./internal/lab/bench -binary build/x509-credential-helper -rounds 40 -out docs/performance.md
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

func main() {
	binary := flag.String("binary", "", "our program; without it only the others are measured")
	rounds := flag.Int("rounds", 40, "how often each program runs")
	out := flag.String("out", "", "file for the report in Markdown; without it only the table is printed")
	herds := flag.Bool("herds", true, "measure a thousand processes at once, too")
	only := flag.String("only", "", "measure only programs whose name contains this, for a table on standard output")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &session{ctx: ctx}
	err := s.run(func() error { return bench(s, options{*binary, *rounds, *herds, *only, *out}) })
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are those of the command line.
type options struct {
	binary string
	rounds int
	herds  bool
	only   string
	out    string
}

func bench(t *session, o options) error {
	lab.Require(t, lab.MyProxyServer, lab.MyProxyClient, lab.SecretService, lab.GridTools, lab.Peers, lab.VOMSFake)
	var err error
	if o.binary, err = t.install(o.binary); err != nil {
		return err
	}
	w, err := newWorld(t, o.binary)
	if err != nil {
		return err
	}
	w.programs = slices.DeleteFunc(w.programs, func(p program) bool { return !strings.Contains(p.name, o.only) })
	results, err := w.measure(o.rounds, os.Stderr)
	if err != nil {
		return err
	}
	report := &report{rounds: o.rounds, results: results, versions: versions()}
	if o.binary != "" {
		info, err := os.Stat(o.binary)
		if err != nil {
			return err
		}
		report.size = info.Size()
		if o.herds {
			if report.herds, err = measureHerds(t, o.binary); err != nil {
				return err
			}
		}
	}
	fmt.Print(report.table())
	fmt.Print(report.verdicts())
	fmt.Print(report.overhead())
	fmt.Print(report.parts() + report.portalShare())
	fmt.Print(herdTable(report.herds))
	if o.out == "" {
		return nil
	}
	return os.WriteFile(o.out, []byte(report.markdown()), 0o644)
}

// session is the lab's idea of a test: it fails by a panic and cleans up at
// the end, also where that is Ctrl-C.
type session struct {
	ctx      context.Context
	cleanups []func()
	failed   bool
}

type failure string

func (s *session) run(f func() error) (err error) {
	defer func() {
		for len(s.cleanups) > 0 {
			last := s.cleanups[len(s.cleanups)-1]
			s.cleanups = s.cleanups[:len(s.cleanups)-1]
			last()
		}
		if s.failed && err == nil {
			err = fmt.Errorf("the lab did not end in order")
		}
	}()
	defer func() {
		if v := recover(); v != nil {
			text, ok := v.(failure)
			if !ok {
				panic(v)
			}
			err = fmt.Errorf("%s", string(text))
		}
	}()
	return f()
}

func (s *session) Helper()          {}
func (s *session) Name() string     { return "bench" }
func (s *session) Failed() bool     { return s.failed }
func (s *session) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *session) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (s *session) Errorf(format string, args ...any) {
	s.failed = true
	s.Logf(format, args...)
}

func (s *session) Fatalf(format string, args ...any) {
	s.failed = true
	panic(failure(fmt.Sprintf(format, args...)))
}

func (s *session) Skipf(format string, args ...any) { s.Fatalf(format, args...) }

// dir makes a directory that lives as long as the session, in memory if there
// is one: a disk's mood is no part of the measurement.
func (s *session) dir() (string, error) {
	parent := ""
	if _, err := os.Stat("/dev/shm"); err == nil {
		parent = "/dev/shm"
	}
	dir, err := os.MkdirTemp(parent, "x509ch-bench-")
	if err == nil {
		s.Cleanup(func() { os.RemoveAll(dir) })
	}
	return dir, err
}

// install copies our program, beside it: that is what people run. The linker
// writes its file through a memory map, and from that one a start takes nearly
// a millisecond more (measured).
func (s *session) install(binary string) (string, error) {
	if binary == "" {
		return "", nil
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(filepath.Dir(binary), "bench-")
	if err != nil {
		return "", err
	}
	s.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, filepath.Base(binary))
	return path, os.WriteFile(path, data, 0o755)
}

// progress shows that something happens; measuring takes a minute.
func progress(w io.Writer, round, rounds int) {
	if round%10 == 0 || round == rounds {
		fmt.Fprintf(w, "round %d of %d\n", round, rounds)
	}
}

func write(dir, name string, data []byte) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, data, 0o600)
}
