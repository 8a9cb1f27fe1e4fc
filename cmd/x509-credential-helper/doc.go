// The program x509-credential-helper gives tools X.509 proxies in exchange for
// JSON requests, and people the commands to log in, to look at what is there
// and to run a tool with it.
//
// The verbs of the protocol never meet the command line parser: their standard
// output is exactly one JSON object, for every input. Everything people see is
// on standard error or the terminal, except what they asked to see.
//
//	echo '{}' | x509-credential-helper get
//	x509-credential-helper login atlas
//	x509-credential-helper exec -- xrdcp root://se.example.org//file .
package main
