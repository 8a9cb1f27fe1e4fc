package consumer

import (
	"context"
	"os"
	"os/signal"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// endTime bounds the wait for what runs beside a tool that has ended. All of it
// ends at once, except while a server has a refresh token in hand: that may take
// the 20 s of helper's hold, and cut off it would cost the user a login.
const endTime = 25 * time.Second

// Run starts a tool as a child and returns when it has ended, with *Exited, or
// *StartError if it did not start. Until then, or until somebody asks the tool to
// end, keep runs beside it. Signals go to the tool, which has our terminal, our
// process group and our standard files.
func Run(ctx context.Context, argv, env []string, keep func(ctx context.Context)) error {
	signals := make(chan os.Signal, 16)
	listen(signals)
	defer signal.Stop(signals)
	if err := ctx.Err(); err != nil {
		return err // a signal came while there was no tool yet
	}
	child, err := spawn(argv, env)
	if err != nil {
		return err
	}
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	kept := safego.Go(func() error { keep(keeping); return nil })
	ended := safego.Go(func() error { return wait(child) })
	for {
		select {
		case s := <-signals:
			if ends(s) {
				stop() // nothing it asks for now would come in time
			}
			if !terminalSends(s, child) {
				_ = child.Signal(s) // it may have ended just now
			}
		case err := <-ended:
			stop()
			select {
			case <-kept:
			case <-time.After(endTime):
			}
			return err
		}
	}
}
