// SPDX-License-Identifier: MIT

// Command wqfan measures how the kernel tells user space about filesystem
// errors: through fanotify, and through watch_queue with the series in
// kernel-patches. The same static binary is the tool on the host and the init
// of the guests that it boots.
//
// Exit statuses: 0 ok, 1 a test or a cell failed, 2 usage, 3 the accounting
// identity is broken, 4 the guest panicked or died, 5 the guest hung, 6 the
// runner failed, 130 interrupted. Of wqfan compare: 0 the same or better, 1 a
// regression, 2 not comparable or not decided.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"wqfan/bench"
	"wqfan/bench/campaign"
	"wqfan/bench/guest"
	"wqfan/bench/repro"
)

// cli is what can be asked of wqfan.
type cli struct {
	Run       runCmd       `cmd:"" help:"Boot guests, flood the channels, account for every error, write a report."`
	Report    reportCmd    `cmd:"" help:"Make the report, the plots and bench.txt of a run again, offline."`
	Compare   compareCmd   `cmd:"" help:"Hold the boots of one kernel against those of another: what is worse, what is better, what is noise."`
	Bisect    bisectCmd    `cmd:"" help:"Find the patch that moved a metric: build, boot and compare kernels with more and fewer patches."`
	Merge     mergeCmd     `cmd:"" help:"Join the records of the parts of a run into the record that one machine would have written."`
	Export    exportCmd    `cmd:"" help:"Write a run as KTAP, as KCIDB's JSON, or as metrics for Prometheus."`
	Size      sizeCmd      `cmd:"" help:"How large a queue must be for a burst, and whether that is so."`
	Scenarios scenariosCmd `cmd:"" help:"Show the scenarios, the arms and the cells of the matrix."`
	Repro     reproCmd     `cmd:"" help:"Reproduce overflow behaviours by name."`
	Doctor    doctorCmd    `cmd:"" help:"Say what this machine can do, what is missing, and what supplies it."`
	Kernel    kernelCmd    `cmd:"" help:"Build, list and remove the kernels that the guests boot."`
	Monitor   monitorCmd   `cmd:"" help:"Tell of filesystem errors as they happen: in the terminal, as JSON, to a program, to Prometheus."`
}

func main() {
	repro.Hold()
	if guest.IsInit() {
		guest.Main(map[string]guest.Handler{campaign.Handler: inGuest, repro.Handler: repro.InGuest})
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	// The first signal ends what is going on in good order, the second at once.
	context.AfterFunc(ctx, stop)
	// A reader of our output that goes away is no reason to leave a run undone.
	signal.Ignore(unix.SIGPIPE)

	var c cli
	k := kong.Parse(&c, kong.Name("wqfan"), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Description("Filesystem errors through fanotify and watch_queue, measured side by side."),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Exit(func(status int) {
			if status != 0 {
				status = guest.ExitUsage
			}
			os.Exit(status)
		}))
	err := k.Run()
	if stdout.err != nil && (err == nil || errors.Is(err, stdout.err)) {
		err = &guest.Error{Kind: guest.RunnerFailed, Err: stdout.err}
	}
	if err != nil {
		fail(err)
	}
}

// stdout is where answers go.
var stdout = &answer{w: os.Stdout}

// answer keeps the first error of what is written through it: an answer that is
// cut short is none. That its reader has gone away is no error.
type answer struct {
	w   io.Writer
	err error
}

func (a *answer) Write(p []byte) (int, error) {
	n, err := a.w.Write(p)
	if errors.Is(err, unix.EPIPE) {
		return len(p), nil
	}
	if a.err == nil {
		a.err = err
	}
	return n, err
}

// usage marks an error of what was asked for.
func usage(err error) error { return usageError{err} }

type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// fail says what went wrong, with what the guest said around it, and ends with
// the status that stands for it.
func fail(err error) {
	fmt.Fprintf(os.Stderr, "wqfan: %s\n", harmless(err.Error()))
	var g *guest.Error
	if errors.As(err, &g) && len(g.Context) > 0 {
		fmt.Fprintln(os.Stderr, g.Detail())
	}
	if errors.As(err, new(usageError)) {
		os.Exit(guest.ExitUsage)
	}
	os.Exit(guest.ExitStatus(err))
}

// harmless is s without what a terminal obeys: an error may quote a record that
// came from elsewhere.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// inGuest is the driver as the guest's init runs it.
func inGuest(ctx context.Context, payload json.RawMessage, out *guest.Output) error {
	var task bench.Task
	if err := json.Unmarshal(payload, &task); err != nil {
		return fmt.Errorf("the task: %w", err)
	}
	err := bench.Run(ctx, task, func(r bench.Record) error { return out.Record(r) }, func(text string) { out.Progress(text) })
	if errors.Is(err, bench.ErrIdentity) {
		return fmt.Errorf("%w: %w", guest.IdentityBroken, err)
	}
	return err
}
