// Package lab starts the servers that a grid really runs, from Debian's
// packages, for integration tests: myproxy-server as repository, online CA or
// with strict policies; xrootd with GSI, TLS and HTTP, and with VOMS;
// voms-server with its database; gnome-keyring-daemon on a D-Bus of its own; a
// Slurm cluster, as root, in namespaces of its own.
// MyProxyOptions.Policy replaces any line of a myproxy-server's configuration,
// and Lock, Unlock and Remove do what its administrator does.
// It needs no systemd, root for Slurm only, listens on loopback only (voms-server in a
// network namespace of its own), and keeps everything in throw-away directories.
//
// What it guarantees: a server is ready when its Start function returns; it is
// ended by its process id, and its directory removed, when the test ends, and
// the test fails if a process or a listening port is left; should the test
// binary itself be killed, the servers end with it.
//
// A machine without the packages skips the test with one line that names them,
// unless X509CH_LAB=require, with which it fails: continuous integration must
// not go green by skipping. What needs root skips for everybody else.
//
//	func TestLogon(t *testing.T) {
//		mp := lab.StartMyProxy(t, lab.MyProxyOptions{TLSMax: tls.VersionTLS12})
//		alice := mp.CA.User("Alice")
//		mp.Store("alice", "correct horse", alice)
//		... a client of mp.Addr that trusts mp.TrustDir ...
//		if n := mp.Connections(); n != 1 {
//			t.Errorf("the client connected %d times", n)
//		}
//	}
package lab
