// Package consumer starts tools that know nothing but a proxy file: gfal-copy,
// xrdcp, voms-proxy-info, curl.
//
// What it guarantees: no tool is started without a proxy file that was opened,
// parsed and found valid just before; the tool's environment names that file and
// nothing that would be preferred to it; name look-up, exit status, process id,
// resource limits and the signals that were ignored are those of env(1).
//
//	if _, err := consumer.Check(proxy.File, minLifetime, time.Now()); err != nil { … }
//	err := consumer.Start(argv, consumer.Environ(start, proxy)) // returns only if it failed
package consumer
