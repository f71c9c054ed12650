// SPDX-License-Identifier: MIT

package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// queued is how many events wait for a sink at most.
const queued = 1024

// sink is a bounded queue in front of something slow.
type sink struct {
	events  chan *taken
	dropped atomic.Uint64 // events that found the queue full
	count   func()        // called for each of them
}

func newSink(count func()) *sink { return &sink{events: make(chan *taken, queued), count: count} }

// offer passes an event on if there is room. There is one caller at a time for
// each channel that is read, and none of them waits.
func (s *sink) offer(t *taken) {
	if len(s.events) < cap(s.events) {
		select {
		case s.events <- t.keep():
			return
		default:
		}
	}
	s.dropped.Add(1)
	s.count()
}

// output writes events as lines. When the file is full, events are counted as
// unwritten, and it tries again with the next one.
type output struct {
	*sink
	w         io.Writer
	json      bool
	paths     *resolver
	log       *slog.Logger
	unwritten func() // called for each event that could not be written
	broken    bool   // the last write failed, perhaps in the middle of a line
}

// run writes until the queue is closed, and how many events are missing before
// the next one that it can write. It returns an error when nobody will ever read
// what it writes.
func (o *output) run() error {
	var failed, told uint64
	for t := range o.events {
		if n := o.dropped.Load() + failed; n != told {
			missing := n - told
			written, err := o.write(Event{Time: time.Now(), Kind: "dropped", Backend: t.by, Count: &missing})
			if err != nil {
				return err
			}
			if written {
				told = n
			}
		}
		written, err := o.write(describe(t, o.paths))
		if err != nil {
			return err
		}
		if !written {
			failed++
			o.unwritten()
		}
	}
	if n := o.dropped.Load() + failed; n != told {
		o.log.Error("events were not written", "count", n-told)
	}
	return nil
}

func (o *output) write(e Event) (written bool, err error) {
	var line []byte
	if o.broken {
		line = append(line, '\n')
	}
	if o.json {
		line = append(line, e.JSON()...)
	} else {
		line = append(append(line, e.String()...), '\n')
	}
	_, err = o.w.Write(line)
	switch {
	case errors.Is(err, unix.EPIPE):
		return false, fmt.Errorf("write an event: %w", err)
	case err != nil && !o.broken:
		o.log.Error("events cannot be written; they are counted, and it is tried again", "error", err)
	case err == nil && o.broken:
		o.log.Info("events can be written again")
	}
	o.broken = err != nil
	return !o.broken, nil
}

// hook runs a program for events, one after the other, at most one in each
// interval.
type hook struct {
	*sink
	program  string
	interval time.Duration
	limit    time.Duration // on the time of one run
	paths    *resolver
	log      *slog.Logger
	result   func(string)
}

// run runs the program until the queue is closed or ctx ends.
func (h *hook) run(ctx context.Context) {
	var told uint64
	for t := range h.events {
		e := describe(t, h.paths)
		n := h.dropped.Load()
		e.Skipped, told = n-told, n
		next := time.After(h.interval)
		if err := h.call(ctx, e); err != nil {
			h.result("failed")
			h.log.Warn("the hook failed", "program", h.program, "error", err)
		} else {
			h.result("ok")
		}
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

// call runs the program once, in a process group of its own, all of which ends
// with it.
func (h *hook) call(ctx context.Context, e Event) error {
	ctx, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.program)
	cmd.Stdin = bytes.NewReader(e.JSON())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out head
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() == context.DeadlineExceeded {
		err = fmt.Errorf("took longer than %v", h.limit)
	}
	if err != nil && len(out) > 0 {
		err = fmt.Errorf("%w: %q", err, []byte(out))
	}
	return err
}

// quoted is how many bytes of what a hook writes are told when it fails.
const quoted = 200

// head is the beginning of what is written to it: a hook may write more than
// there is memory.
type head []byte

func (h *head) Write(p []byte) (int, error) {
	*h = append(*h, p[:min(len(p), quoted-len(*h))]...)
	return len(p), nil
}
