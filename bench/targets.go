// SPDX-License-Identifier: MIT

package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/bench/ledger"
	"wqfan/bench/result"
	"wqfan/bench/scenario"
	"wqfan/fserr"
)

// How often a single error is made, and a burst that fills the queue.
const rounds, bursts = 200, 20

// yardsticks measures what DESIGN's targets are about, with nobody waiting: what
// one report costs and then the read(2) of its record, what a pipe takes for a
// record of the same size, and what each record costs in a read(2) of a full
// ring. The account is of all errors made on the way.
//
// Unless the cell asks for it the channel is not in the poller of Go's runtime.
// That would be called back by each post, and woken by one that finds its thread
// asleep: up to 1,700 instructions of the reader's own choice, or none, as that
// thread happened to be.
func yardsticks(ctx context.Context, c scenario.Cell, t Task, out *result.Cell) error {
	mounts := []string{t.Mounts[c.FS]}
	if err := remount(c.FS, mounts[0]); err != nil {
		return err
	}
	targets, err := openTargets(mounts, c.Targets)
	if err != nil {
		return err
	}
	defer closeAll(targets)
	if c.Arm.Channel == scenario.Nothing {
		return unheard(ctx, c, t, targets, out)
	}
	ch, err := openChannel(c, mounts, nil)
	if err != nil {
		return err
	}
	defer ch.Close()
	raw, err := ch.conn.SyscallConn()
	if err != nil {
		return err
	}

	report, read, both := newTiming("report"), newTiming("read-one"), newTiming("report+read")
	pipe, full, inBurst := newTiming("pipe-write+read"), newTiming("read-full-ring"), newTiming("report-in-burst")
	buf := make([]byte, 4<<20)
	var l ledger.Ledger
	var in ledger.Injected
	// cost floods, and returns what read(2) then took, and how many bytes it gave.
	cost := func(s flood.Spec) (stamps []flood.Stamp, took int64, size int, err error) {
		rep, err := flood.Inject(ctx, s, targets...)
		if err != nil {
			return nil, 0, 0, err
		}
		if stamps, err = flood.Log(); err != nil {
			return nil, 0, 0, err
		}
		size, took, err = timedRead(raw, buf)
		if err != nil {
			return nil, 0, 0, fmt.Errorf("read %s: %w", c.Arm.Name, err)
		}
		in.Attempted, in.Refused = in.Attempted+rep.Attempted, in.Refused+rep.Refused
		for b := buf[:size]; len(b) > 0; {
			var e fserr.Event
			used, err := ch.decode(b, &e)
			if err != nil {
				return nil, 0, 0, err
			}
			l.Observe([]fserr.Event{e}, false)
			b = b[used:]
		}
		return stamps, took, size, nil
	}
	var size int
	for i := range rounds {
		stamps, took, n, err := cost(single(c, i))
		if err != nil {
			return err
		}
		size = n
		d := stamps[0].Returned - stamps[0].Called
		report.record(d)
		read.record(took)
		both.record(d + took)
	}
	if err := pipeCost(pipe, size); err != nil {
		return err
	}
	for range bursts {
		stamps, took, _, err := cost(whole(c))
		if err != nil {
			return err
		}
		for _, s := range stamps {
			inBurst.record(s.Returned - s.Called)
		}
		if ch.sequenced { // what merges leaves one record
			full.record(took / int64(c.Queue))
		}
	}
	out.Flood = result.Flood{Attempted: in.Attempted, Accepted: in.Attempted - in.Refused, Refused: in.Refused}
	if err := (&reader{ch: ch, cell: c, ledger: l}).account(flood.Report{}, flood.Report{Attempted: in.Attempted, Refused: in.Refused}, nil, out); err != nil {
		return err
	}
	return histograms(t, out, report, inBurst, read, both, pipe, full)
}

// remount makes a filesystem one that nobody has watched yet. What a watch leaves
// behind until the filesystem is unmounted costs each later report 48
// instructions, and no arm is to pay for those that came before it.
func remount(fs, dir string) error {
	device, err := blockDevice(fs)
	if err != nil {
		return err
	}
	if err := unix.Unmount(dir, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	if err := unix.Mount(device, dir, fs, 0, ""); err != nil {
		return fmt.Errorf("mount %s again at %s: %w", device, dir, err)
	}
	return nil
}

// single is the flood of the i-th error alone, which comes at a moment of its
// own between two ticks.
func single(c scenario.Cell, i int) flood.Spec {
	s := c.Flood
	s.Seed += uint64(i)
	return s
}

// whole is the flood that fills the queue.
func whole(c scenario.Cell) flood.Spec {
	s := c.Flood
	s.Count, s.Schedule, s.Interval, s.Seed = c.Queue, flood.Flat, 0, 0
	return s
}

// unheard measures what a report costs that nobody is told of.
func unheard(ctx context.Context, c scenario.Cell, t Task, targets []*os.File, out *result.Cell) error {
	report, inBurst := newTiming("report"), newTiming("report-in-burst")
	cost := func(s flood.Spec, to *timing) error {
		rep, err := flood.Inject(ctx, s, targets...)
		if err != nil {
			return err
		}
		stamps, err := flood.Log()
		if err != nil {
			return err
		}
		for _, s := range stamps {
			to.record(s.Returned - s.Called)
		}
		out.Flood.Attempted, out.Flood.Accepted = out.Flood.Attempted+rep.Attempted, out.Flood.Accepted+rep.Accepted
		return nil
	}
	for i := range rounds {
		if err := cost(single(c, i), report); err != nil {
			return err
		}
	}
	for range bursts {
		if err := cost(whole(c), inBurst); err != nil {
			return err
		}
	}
	return histograms(t, out, report, inBurst)
}

// timedRead is one read(2), without waiting.
func timedRead(raw syscall.RawConn, b []byte) (n int, took int64, err error) {
	cerr := raw.Control(func(fd uintptr) {
		at := now()
		n, err = unix.Read(int(fd), b)
		took = now() - at
	})
	if cerr != nil {
		err = cerr
	}
	return max(n, 0), took, err
}

// pipeCost is what write(2) and read(2) of size bytes take on a pipe.
func pipeCost(t *timing, size int) error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	b := make([]byte, size)
	for range rounds {
		at := now()
		if _, err := unix.Write(fds[1], b); err != nil {
			return os.NewSyscallError("write", err)
		}
		if _, err := unix.Read(fds[0], b); err != nil {
			return os.NewSyscallError("read", err)
		}
		t.record(now() - at)
	}
	return nil
}

// price measures what is paid for notifications that nobody asked for, on any
// kernel: an error that ext4 reports, and the update of a key.
func price(c scenario.Cell, t Task, out *result.Cell) error {
	dev, err := blockDevice(c.FS)
	if err != nil {
		return err
	}
	ext4, key := newTiming("ext4-error"), newTiming("key-update")
	done := make(chan error)
	go func() {
		// Not unlocked. What an error sets to work must not run inside its price.
		runtime.LockOSThread()
		demote, err := promoted()
		if err != nil {
			done <- err
			return
		}
		defer demote()
		if err := placed(scenario.Reader{Realtime: true}); err != nil {
			done <- err
			return
		}
		if err := flood.TriggerExt4(filepath.Base(dev), rounds, ext4.record); err != nil {
			done <- err
			return
		}
		done <- flood.KeyUpdates(rounds, func(int) error { return nil }, key.record)
	}()
	if err := <-done; err != nil {
		return err
	}
	out.Flood.Attempted = rounds
	return histograms(t, out, ext4, key)
}

// histograms adds what was timed to the cell.
func histograms(t Task, out *result.Cell, all ...*timing) error {
	for _, one := range all {
		h, err := one.result(t.Mode.Unit())
		if err != nil {
			return err
		}
		if h.N > 0 {
			out.Hists = append(out.Hists, h)
		}
	}
	return nil
}
