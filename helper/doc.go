// Package helper is the protocol and the decision behind it: a caller asks for
// a proxy in JSON; the helper answers from a sealed cache or lets one backend
// fetch a new one; whatever came back is verified before anyone sees it.
//
// The way of a request is the order of the files: read.go and request.go parse
// and check, choose.go picks the profile by name or URL, get.go looks into the
// cache, fetch.go lets one process at a time ask the backend, verify.go judges
// what it returned, answer.go says it.
//
//	h := &helper.Helper{Config: config, Backends: backends, Cache: c, …}
//	os.Exit(h.Serve(ctx, "get", os.Stdin, os.Stdout))
//
// A backend whose users log in with a browser keeps a session as its first
// secret: interactive.go has what it implements, session.go keeps it, hold.go sees
// to it that its replacement is not cut off.
//
// Serve writes exactly one JSON object for every input, in one write. Go
// programs may call Get, Store, Erase and List with typed requests instead;
// their errors are *Error.
//
// Nothing here knows X.509, D-Bus or sockets: those are gsi, cache and the
// backends.
package helper
