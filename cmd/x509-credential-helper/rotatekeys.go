package main

import (
	"github.com/urfave/cli/v2"
)

func (p *process) rotateKeysCommand() *cli.Command {
	return &cli.Command{
		Name:     "rotate-keys",
		Usage:    "seal the cached proxies under new keys",
		Category: forPeople,
		Description: `The keys under which proxies are sealed, in the keyring and in the kernel, are
replaced, and what is in the cache is sealed anew. A copy of an old key does not
open what is kept from now on. Pass phrases are not changed.`,
		Action: func(c *cli.Context) error {
			if err := atMost(c, 0); err != nil {
				return err
			}
			if err := p.newHelper("rotate-keys").RotateKeys(c.Context); err != nil {
				return err
			}
			_, err := p.stdout.WriteString("Whatever is sealed in the cache is sealed under new keys now; the old ones are gone.\n")
			return err
		},
	}
}
