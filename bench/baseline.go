// SPDX-License-Identifier: MIT

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/bench/ledger"
	"wqfan/bench/scenario"
	"wqfan/fserr"
	"wqfan/healthmon"
	"wqfan/kmsg"
)

// edited is a source whose events are made what the driver takes them for.
type edited struct {
	fserr.Source
	edit func(e *fserr.Event)
}

func (s edited) Read(ctx context.Context, events []fserr.Event) (int, error) {
	n, err := s.Source.Read(ctx, events)
	for i := range events[:n] {
		s.edit(&events[i])
	}
	return n, err
}

// openHealthmon attaches a health monitor to the XFS mounted at dir, and takes
// its first event.
func openHealthmon(c scenario.Cell, dir string) (*channel, error) {
	m, err := healthmon.Open(dir, healthmon.Config{BufferSize: c.Reader.Buffer})
	if err != nil {
		return nil, err
	}
	first := make([]fserr.Event, 1)
	err = errors.Join(m.SetReadDeadline(time.Now().Add(time.Second)), func() error { _, err := m.Read(context.Background(), first); return err }(), m.SetReadDeadline(time.Time{}))
	if err != nil || first[0].Record.Type != uint32(healthmon.Running) {
		return nil, errors.Join(fmt.Errorf("health monitor of %s: the first event is %v, not Running: %w", dir, first[0], err), m.Close())
	}
	others := uint64(1) // Running
	edit := func(e *fserr.Event) {
		e.Has &^= fserr.HasRecord // the channel's own, not the filesystem's
		if e.Kind != fserr.Error {
			others++
		}
	}
	return &channel{
		Source: edited{m, edit}, reads: m.Reads, woken: m.Woken, sequenced: true, fill: func() error { return nil },
		statsFrom: "fdinfo of the health monitor, without its own events that were read",
		stats: func() (ledger.Channel, error) {
			s, err := m.Stats()
			return ledger.Channel{Records: s.Queued - min(s.Queued, others), Dropped: s.Lost, Late: true}, err
		},
	}, nil
}

// openLog opens the kernel's log. Two counters of the kernel's say what it must
// hold of the errors of [flood.Trigger]: ext4's, of its errors, and the numbers
// of the lines.
func openLog(c scenario.Cell) (*channel, error) {
	device, err := blockDevice(c.FS)
	if err != nil {
		return nil, err
	}
	before, err := ext4Errors(device)
	if err != nil {
		return nil, err
	}
	l, err := kmsg.Open(kmsg.Config{Thread: c.Reader.Realtime})
	if err != nil {
		return nil, err
	}
	first := l.Next()
	var gone uint64 // lines that were overwritten, or are about no error
	edit := func(e *fserr.Event) {
		line := e.Is(fserr.HasRecord)
		e.Has &^= fserr.HasRecord
		if n, ok := flood.TriggerNumber(e.Record.Bytes); ok && line && e.Kind == fserr.Error {
			e.Pos, e.Has = int64(n), e.Has|fserr.HasRange
			return
		}
		switch {
		case e.Kind == fserr.Lost && !line:
			gone += e.Count
			return
		case e.Kind == fserr.Error:
			e.Kind = fserr.Other
		}
		gone++
	}
	return &channel{
		Source: edited{l, edit}, reads: l.Reads, woken: l.Woken, sequenced: true, fill: func() error { return nil },
		statsFrom: "the numbers of the log's lines, less those overwritten and of others, and ext4's errors_count",
		stats: func() (ledger.Channel, error) {
			after, err := ext4Errors(device)
			if err != nil {
				return ledger.Channel{}, err
			}
			end, err := kmsg.Open(kmsg.Config{})
			if err != nil {
				return ledger.Channel{}, err
			}
			defer end.Close()
			lines := end.Next() - first
			kept := lines - min(lines, gone)
			return ledger.Channel{Records: kept, Dropped: after - before - min(after-before, kept), Direct: true, Late: true}, nil
		},
	}, nil
}

// ext4Errors returns how many errors the mounted ext4 filesystem of a block
// device has noted in its superblock, once that says all of them: it is told by
// a work item.
func ext4Errors(device string) (uint64, error) {
	name := ext4File(device, "errors_count")
	for last := uint64(0); ; {
		b, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
		if err != nil || n == last {
			return n, err
		}
		last = n
		time.Sleep(quiet)
	}
}

func ext4File(device, name string) string {
	return filepath.Join("/sys/fs/ext4", filepath.Base(device), name)
}

// printing makes the ext4 filesystem mounted at dir ready for [flood.Trigger]. It
// is mounted anew, so that it owes the log nothing from before, and writes all
// its lines where that is asked for. The console, which is slower than anything
// else, stays quiet. Both are so until undo is called, also with an error.
func printing(c scenario.Cell, dir string) (undo func(), err error) {
	var restore []func()
	undo = func() {
		for _, f := range restore {
			f()
		}
	}
	set := func(name, value string) error {
		old, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		restore = append(restore, func() { _ = os.WriteFile(name, old, 0) })
		return os.WriteFile(name, []byte(value), 0)
	}
	device, err := blockDevice(c.FS)
	if err != nil {
		return undo, err
	}
	if err := unix.Unmount(dir, 0); err != nil {
		return undo, fmt.Errorf("unmount %s: %w", dir, err)
	}
	if err := unix.Mount(device, dir, "ext4", 0, "errors=continue"); err != nil {
		return undo, fmt.Errorf("mount %s again: %w", device, err)
	}
	if c.Arm.Freely {
		if err := set(ext4File(device, "err_ratelimit_interval_ms"), "0"); err != nil {
			return undo, err
		}
	}
	return undo, set("/proc/sys/kernel/printk", "1")
}

// flooding makes the cell's errors. Those of the injector have their stamps in
// its log.
func flooding(ctx context.Context, c scenario.Cell, targets []*os.File) (flood.Report, []flood.Stamp, error) {
	if c.Flood.Trigger {
		device, err := blockDevice(c.FS)
		if err != nil {
			return flood.Report{}, nil, err
		}
		return flood.Trigger(ctx, c.Flood, filepath.Base(device))
	}
	rep, err := flood.Inject(ctx, c.Flood, targets...)
	return rep, nil, err
}
