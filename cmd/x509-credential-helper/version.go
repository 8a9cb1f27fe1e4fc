package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// buildInfo is what the Go tool wrote into the program.
type buildInfo struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the version control system
	Time     string `json:"time,omitempty"`     // of the revision
	Modified bool   `json:"modified"`           // files differed from the revision
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuildInfo() buildInfo {
	b := buildInfo{Name: name, Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// version is the module's version, "(devel)" where the Go tool knew none.
func version() string { return readBuildInfo().Version }

func (p *process) versionCommand() *cli.Command {
	return &cli.Command{
		Name:        "version",
		Usage:       "show which build this is",
		Category:    forPeople,
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "as one JSON object"}},
		Description: "Everything comes from the Go tool: nothing is set at build time.",
		Action: func(c *cli.Context) error {
			if err := atMost(c, 0); err != nil {
				return err
			}
			return p.printVersion(c.Bool("json"))
		},
	}
}

func (p *process) printVersion(asJSON bool) error {
	b := readBuildInfo()
	if asJSON {
		return json.NewEncoder(p.stdout).Encode(b)
	}
	revision := ""
	if b.Revision != "" {
		revision = ", revision " + b.Revision
	}
	if b.Modified {
		revision += " with changes"
	}
	_, err := fmt.Fprintf(p.stdout, "%s %s%s, %s, %s\n", b.Name, b.Version, revision, b.Go, b.Platform)
	return err
}
