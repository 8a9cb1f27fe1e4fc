package main

import (
	"path/filepath"
	"strings"
)

// mpName is a program that this one stands in for when it is started by its
// name, through a link. Its options mean what they mean there.
type mpName struct {
	name    string
	command string // of ours; "" is the first word, as with MyProxyClient's script
	// ask is how the program asks for the pass phrase: there are scripts for
	// expect(1) that wait for it. "" is our own question.
	ask string
}

// cAsk and cAskNew are the questions of the C programs.
const (
	cAsk    = "Enter MyProxy pass phrase:"
	cAskNew = "Enter new MyProxy pass phrase:"
	cAskOld = "Enter (current) MyProxy pass phrase:"
	cAgain  = "Verifying - "
)

// mpClientName is the script of MyProxyClient.
const mpClientName = "myproxyclient"

// mpNames are the programs of Debian's package myproxy, and MyProxyClient's.
var mpNames = []mpName{
	{"myproxy-logon", "logon", cAsk},
	{"myproxy-get-delegation", "logon", cAsk},
	{"myproxy-init", "put", cAsk},
	{"myproxy-store", "store", ""}, // it never asks
	{"myproxy-retrieve", "retrieve", cAsk},
	{"myproxy-info", "info", ""},
	{"myproxy-destroy", "destroy", ""},
	{"myproxy-change-pass-phrase", "change-passphrase", cAsk},
	{"myproxy-get-trustroots", "trustroots", ""},
	{mpClientName, "", ""},
}

// mpNamed finds the program of that name.
func mpNamed(called string) *mpName {
	if !strings.HasPrefix(called, "myproxy") { // the usual case, settled at once
		return nil
	}
	for i := range mpNames {
		if mpNames[i].name == called {
			return &mpNames[i]
		}
	}
	return nil
}

// standsForC says whether we were called by the name of a C program.
func (p *process) standsForC() bool { return p.called != nil && p.called.name != mpClientName }

// typed is what somebody typed for a myproxy command, and what explains it.
func (p *process) typed(command string) (line, help string) {
	switch {
	case p.called == nil:
		return "myproxy " + command, name + " help myproxy " + command
	case p.called.command == "":
		return p.called.name + " " + command, p.called.name + " " + command + " -h"
	}
	return p.called.name, p.called.name + " -h"
}

// theirUsage says what is wrong with a command line by the name that was typed.
func (p *process) theirUsage(command string, e *usageError) *usageError {
	line, help := p.typed(command)
	return &usageError{
		text: strings.Replace(e.text, "myproxy "+command+":", line+":", 1),
		hint: strings.Replace(e.hint, name+" help myproxy "+command, help, 1),
	}
}

// calledAs finds out by which name this program was started: that of the file,
// or the first word, for systems without links. It returns the words after it.
func calledAs(argv []string) (*mpName, []string) {
	if len(argv) == 0 {
		return nil, nil
	}
	if n := mpNamed(strings.TrimSuffix(filepath.Base(argv[0]), ".exe")); n != nil {
		return n, argv[1:]
	}
	if len(argv) > 1 {
		if n := mpNamed(argv[1]); n != nil {
			return n, argv[2:]
		}
	}
	return nil, argv[1:]
}
