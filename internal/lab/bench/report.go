package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// order is the order of the report.
var order = []string{nothing, emptyGo, capabilities, warmGet, kernelGet, crowdedGet, dockerGet, secretLookup, vomsInfo, showFile, gridInfo, vomsInfoAll, coldGet, myproxyLogon, refreshGet, portalAlone,
	ourLogon, ourP256, ourInfo, myproxyInfo, ourPut, myproxyInit, ourRoots, myproxyTrst,
	execKeyring, execKernel, execFile, execKeep, shimKeyring, shimFile, shimPassed}

// target is a promise about one median: at most ratio times the median of
// another program, or at most a time. A ratio of 0 promises nothing and is only
// shown.
type target struct {
	what, than string
	ratio      float64
	limit      time.Duration
}

var targets = []target{
	{warmGet, dockerGet, 0.4, 0},
	{warmGet, secretLookup, 0.5, 0},
	{warmGet, vomsInfo, 0, 0},
	{kernelGet, dockerGet, 0.2, 0},
	{crowdedGet, warmGet, 1.2, 0},
	{coldGet, myproxyLogon, 0.3, 0},
	{ourLogon, myproxyLogon, 0.3, 0},
	{ourP256, myproxyLogon, 0.15, 0},
	{ourInfo, myproxyInfo, 0.3, 0},
	{ourPut, myproxyInit, 0, 0},
	{ourRoots, myproxyTrst, 0, 0},
	{showFile, gridInfo, 1, 0},
	{showFile, vomsInfoAll, 0.2, 0},
	{capabilities, "", 0, 2500 * time.Microsecond},
	{capabilities, emptyGo, 0, 0},
}

const sizeLimit = 9_000_000

type report struct {
	rounds   int
	results  map[string][]time.Duration
	versions []string
	size     int64 // of our program, 0: not measured
	herds    []herd
}

func (r *report) table() string {
	var b strings.Builder
	b.WriteString("| program | median ms | min ms | 90 % below ms |\n|---|---:|---:|---:|\n")
	for _, name := range order {
		if all := r.results[name]; len(all) > 0 {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, ms(quantile(all, 0.5)), ms(quantile(all, 0)), ms(quantile(all, 0.9)))
		}
	}
	return b.String()
}

func (r *report) verdicts() string {
	if r.size == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n| measure | value | target | |\n|---|---:|---:|---|\n")
	for _, t := range targets {
		if len(r.results[t.what]) == 0 || t.than != "" && len(r.results[t.than]) == 0 {
			continue // not measured, see -only
		}
		ours := quantile(r.results[t.what], 0.5)
		if t.than == "" {
			fmt.Fprintf(&b, "| `%s` | %s ms | ≤ %s ms | %s |\n", t.what, ms(ours), ms(t.limit), verdict(ours <= t.limit))
			continue
		}
		ratio := float64(ours) / float64(quantile(r.results[t.than], 0.5))
		if t.ratio == 0 {
			fmt.Fprintf(&b, "| `%s` / `%s` | %.2f | | |\n", t.what, t.than, ratio)
			continue
		}
		fmt.Fprintf(&b, "| `%s` / `%s` | %.2f | ≤ %.2g | %s |\n", t.what, t.than, ratio, t.ratio, verdict(ratio <= t.ratio))
	}
	fmt.Fprintf(&b, "| size of the binary | %.2f MB | ≤ %.0f MB | %s |\n",
		float64(r.size)/1e6, float64(sizeLimit)/1e6, verdict(r.size <= sizeLimit))
	return b.String()
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "**missed**"
}

func (r *report) markdown() string {
	return fmt.Sprintf(`# Performance

Written by %s; the tables are measured and not edited. It runs whole processes, from their start to their
end, against the same real servers on loopback: Debian's `+"`gnome-keyring-daemon`, `myproxy-server`"+`. Every
round runs each program once, in an order of its own; the table is over %d rounds. Ours is a copy, as installing it makes one:
from the very file that the linker has written each start takes nearly a millisecond more. All keyring programs
hold the same proxy; `+"`FILE`"+` is a proxy of a proxy with VOMS attributes.

Measured with %s on %d cores, load %s; %s.

%s%s%s%s%s
A thousand processes are measured with the embedded server, which can be told to be slow. Each of them reads the data key from the
keyring, which serves one after the other: that is what the store `+"`keyring`"+` costs there. With `+"`key_ttl`"+` most find it in the
kernel. Without a keyring each takes some 4.7 ms of processor time, most of it to start: on two cores a thousand need
more than two seconds. Whoever has waited gives the lock on before it answers.

Most of what is ours of a refresh is the keyring, which is asked seven times: for the session, the client secret, the
session once more when the portal has answered, the key that would seal a rescued token, to keep a mark and then the new token,
both read back, and for the data key. Without
`+"`ca_file`"+` it takes some 20 ms of processor time more to read the system's CAs.

A tool behind `+"`exec`"+` costs what a cached `+"`get`"+` does, the file, its check, and one more `+"`execve`"+`; with
`+"`--keep-fresh`"+` also a process that stays.

Generating the RSA key is nearly the whole cost of a fetched credential and varies by a factor of ten
from one run to the next, which is why medians are shown.

Where the time of a cached `+"`get`"+` goes, looked at once with time stamps in the program: about two fifths is the start of the process (the kernel's page faults and the
Go runtime; the empty Go program shows the floor), and of the rest three quarters are the round trips
on D-Bus: five to connect, two to greet the service and to read whether the collection is locked, seven of the keyring library.
Configuration, opening the sealed entry, parsing the chain and the answer together take less than two
milliseconds.

With `+"`key_ttl`"+` set, the data key comes from the kernel's keyring in four system calls, and what is left is
the start of the process and those two milliseconds. A start has 440 page faults, the empty Go program's 170; the variables of 113 packages
take 0.8 ms, none of them more than 0.1; a tenth of its time is listening to signals,
for which package os/signal starts three threads; `+"`capabilities`"+` does without. Not worth their code,
measured: a larger first stack, no garbage collector, a single processor, less inlining; commands without
text/template, which would take 1.1 MB off the binary and nothing off the time.
An entry is opened by its name, so others beside it cost nothing.
`, "`make bench`", r.rounds, runtime.Version(), runtime.NumCPU(), load(), strings.Join(r.versions, ", "), r.table(), r.verdicts(), r.overhead(), r.parts()+r.portalShare(), herdTable(r.herds))
}

// quantile needs a sample; without one it is 0.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }

func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(data))[0]
}

// versions names the release and the packages that were measured.
func versions() []string {
	list := []string{"an unknown release"}
	if data, err := os.ReadFile("/etc/os-release"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
				list[0] = strings.Trim(name, "\"\n")
			}
		}
	}
	for _, pkg := range []string{"gnome-keyring", "golang-docker-credential-helpers", "libsecret-tools", "voms-clients", "globus-proxy-utils", "myproxy", "myproxy-server"} {
		if out, err := exec.Command("dpkg-query", "-W", "-f", "${Package} ${Version}", pkg).Output(); err == nil {
			list = append(list, string(out))
		}
	}
	return list
}
