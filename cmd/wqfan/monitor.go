// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"wqfan/bench/guest"
	"wqfan/monitor"
)

type monitorCmd struct {
	Mount        []string      `arg:"" optional:"" help:"Mount points to watch, now or when something is mounted there; all filesystems on block devices where none is named."`
	Backend      string        `enum:"auto,fan,wq,healthmon" default:"auto" help:"auto, fan (FAN_FS_ERROR), wq (watch_queue, needs the series) or healthmon (the XFS health monitor). auto takes wq where the kernel has it, else fan."`
	JSON         bool          `name:"json" help:"One JSON object per line also on a terminal."`
	Exec         string        `placeholder:"PROGRAM" help:"Run a program for events, with the event as JSON on its standard input."`
	ExecInterval time.Duration `default:"1s" help:"Least time between two runs; events that come faster wait, up to 1024 of them."`
	ExecTimeout  time.Duration `default:"30s" help:"Kill a run that takes longer."`
	Listen       string        `placeholder:"[HOST]:PORT" help:"Serve Prometheus metrics at /metrics; on loopback where no host is named."`
	KeepCaps     bool          `help:"Keep all capabilities, for an --exec that needs them. Otherwise all but CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH are given up."`
}

// Run watches until it is told to end.
func (c *monitorCmd) Run(ctx context.Context) error {
	if c.ExecInterval < 0 || c.ExecTimeout <= 0 {
		return usage(errors.New("--exec-interval and --exec-timeout: not times that a hook can take"))
	}
	if c.Exec != "" {
		if _, err := exec.LookPath(c.Exec); err != nil {
			return usage(fmt.Errorf("--exec: %w", err))
		}
	}
	if c.Listen != "" {
		if _, _, err := net.SplitHostPort(c.Listen); err != nil {
			return usage(fmt.Errorf("--listen: %w", err))
		}
	}
	m := monitor.New(monitor.Options{
		Dirs: c.Mount, Backend: c.Backend,
		Output: os.Stdout, JSON: c.JSON || !term.IsTerminal(int(os.Stdout.Fd())),
		Exec: c.Exec, ExecInterval: c.ExecInterval, ExecTimeout: c.ExecTimeout,
		Listen: c.Listen, Drop: !c.KeepCaps, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	// A hangup asks for another look, it is not the end.
	ctx, stop := signal.NotifyContext(context.WithoutCancel(ctx), os.Interrupt, unix.SIGTERM)
	defer stop()
	signal.Reset(unix.SIGHUP)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, unix.SIGHUP)
	go func() {
		for range hangup {
			m.Reload()
		}
	}()
	if err := m.Run(ctx); err != nil {
		return &guest.Error{Kind: guest.RunnerFailed, Err: err}
	}
	return nil
}
