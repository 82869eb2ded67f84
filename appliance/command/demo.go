package command

import (
	"errors"
	"flag"
	"log/slog"

	"larkspur/appliance/demo"
)

func runDemo(c *call) error {
	verbose, listen := false, ""
	args, err := c.flags(func(f *flag.FlagSet) {
		f.BoolVar(&verbose, "v", false, "log what happens")
		f.StringVar(&listen, "listen", "", "address of the guide (127.0.0.1:8400)")
	})
	if err != nil {
		return err
	}
	if len(args) > 0 {
		return usagef("it takes no arguments")
	}
	logTo(c.stderr, slog.LevelError, verbose) // the page tells the story
	d, err := demo.Open(demo.Config{Out: c.stdout, Listen: listen})
	if err != nil {
		return err
	}
	return errors.Join(d.Run(c.ctx), d.Close())
}
