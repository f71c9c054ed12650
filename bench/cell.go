// SPDX-License-Identifier: MIT

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/bench/ledger"
	"wqfan/bench/result"
	"wqfan/bench/scenario"
	"wqfan/fserr"
)

// quiet is how long, in guest time, a channel must have had no news after the
// flood before the reader believes that none will come.
const quiet = 50 * time.Millisecond

// batch is how many events a reader takes at a time.
const batch = 1024

// receipt is when the news of some errors reached user space.
type receipt struct {
	seq   uint64 // first error, by sequence number
	count uint64 // errors from seq on
	recv  int64  // CLOCK_MONOTONIC ns
	ino   uint64 // of the first error, 0 where it names none
}

// reader drains one channel into a ledger.
type reader struct {
	ch       *channel
	ledger   ledger.Ledger
	receipts []receipt
	signals  []result.Signal // when and how the reader was told of losses, CLOCK_MONOTONIC ns
	counted  uint64          // errors read so far, where the channel does not number them
	waiting  chan struct{}   // closed when a read has found the channel empty
	ended    atomic.Bool
}

func newReader(ch *channel, c scenario.Cell) *reader {
	return &reader{
		ch: ch,
		ledger: ledger.Ledger{
			Threads: uint64(max(c.Flood.Threads, 1)),
			// Each CPU has workers of its own.
			Unordered: c.Arm.Deferred && c.CPUs > 1,
		},
		receipts: make([]receipt, 0, c.Flood.Count), waiting: make(chan struct{}),
	}
}

// run reads until the flood has ended and the channel has been quiet, or until
// ctx ends.
func (r *reader) run(ctx context.Context) error {
	events := make([]fserr.Event, batch)
	if err := r.settle(ctx, events); err != nil {
		return err
	}
	for {
		// The flood may end while Read waits without a bound: finish then sets
		// the deadline from outside.
		if r.ended.Load() {
			if err := r.ch.SetReadDeadline(time.Now().Add(quiet)); err != nil {
				return err
			}
		}
		n, err := r.ch.Read(ctx, events)
		r.ledger.Observe(events[:n], r.ch.sequenced)
		for i := range events[:n] {
			switch e := &events[i]; {
			case e.Kind == fserr.Error:
				r.receive(e)
			case e.Kind == fserr.Lost && len(r.signals) < result.MaxSignals:
				r.signals = append(r.signals, result.Signal{At: e.Recv, Count: e.Count})
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && r.ended.Load():
			return nil
		default:
			return err
		}
	}
}

// settle reads what is there before the flood, and says so when that is all: a
// live reader that still starts up would make the first errors look late.
func (r *reader) settle(ctx context.Context, events []fserr.Event) error {
	defer close(r.waiting)
	if r.ended.Load() {
		return nil
	}
	for {
		if err := r.ch.SetReadDeadline(time.Now().Add(quiet)); err != nil {
			return err
		}
		n, err := r.ch.Read(ctx, events)
		r.ledger.Observe(events[:n], r.ch.sequenced)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return r.ch.SetReadDeadline(time.Time{})
		}
		if err != nil {
			return err
		}
	}
}

func (r *reader) receive(e *fserr.Event) {
	rc := receipt{seq: r.counted, count: e.Errors(), recv: e.Recv}
	if e.Is(fserr.HasInode) {
		rc.ino = e.Ino
	}
	if r.ch.sequenced && e.Is(fserr.HasRange) {
		rc.seq = uint64(e.Pos)
	}
	r.receipts = append(r.receipts, rc)
	r.counted += rc.count
}

// finish tells a running reader that the flood is over.
func (r *reader) finish() error {
	r.ended.Store(true)
	return r.ch.SetReadDeadline(time.Now().Add(quiet))
}

// measure runs one cell on the filesystem mounted at mount. Its error is also
// in the cell, with every number taken before it.
func measure(ctx context.Context, c scenario.Cell, mount string, unit string) (result.Cell, error) {
	out := describe(c)
	err := flooded(ctx, c, mount, unit, &out)
	if err != nil {
		out.Err = err.Error()
	}
	return out, err
}

func flooded(ctx context.Context, c scenario.Cell, mount string, unit string, out *result.Cell) error {
	targets, err := openTargets(mount, c.Targets)
	if err != nil {
		return fmt.Errorf("open the flood's targets: %w", err)
	}
	defer closeAll(targets)
	ch, err := openChannel(c, mount)
	if err != nil {
		return err
	}
	defer ch.Close()
	if err := ch.fill(); err != nil {
		return fmt.Errorf("fill the queue: %w", err)
	}

	r := newReader(ch, c)
	read := make(chan error, 1)
	start := func() {
		go func() {
			if c.Reader.Realtime {
				// Not unlocked: the thread ends with the goroutine, and its priority with it.
				runtime.LockOSThread()
				if err := realtime(); err != nil {
					close(r.waiting)
					read <- err
					return
				}
			}
			read <- r.run(ctx)
		}()
	}
	if c.Reader.Live {
		start()
		<-r.waiting
		time.Sleep(quiet) // until it sleeps in the kernel again
	}
	// The collector's work belongs to no cell: it is done before the flood, and
	// not during it.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	rep, floodErr := flood.Inject(ctx, c.Flood, targets...)
	out.Flood = result.Flood{Attempted: rep.Attempted, Accepted: rep.Accepted, Refused: rep.Refused,
		Elapsed: rep.Elapsed.Nanoseconds(), LateMax: rep.LateMax.Nanoseconds()}
	if rep.Elapsed > 0 {
		out.Flood.Rate = float64(rep.Attempted) / rep.Elapsed.Seconds()
	}
	if err := r.finish(); err != nil {
		return err
	}
	if !c.Reader.Live {
		start()
	}
	if err := <-read; err != nil {
		return fmt.Errorf("read %s: %w", c.Arm.Name, err)
	}
	if floodErr != nil {
		return floodErr
	}
	if rep.IRQClobbered > 0 {
		return fmt.Errorf("%d of %d reports made with interrupts off came back with them on: the kernel lacks the patch \"watch_queue: allow posting with interrupts disabled\"", rep.IRQClobbered, rep.Attempted)
	}
	if !rep.Drained {
		return fmt.Errorf("fserror's worker still held reports when the flood ended: %d were accepted", rep.Accepted)
	}
	stamps, err := flood.Log()
	if err != nil {
		return err
	}
	if uint64(len(stamps)) != rep.Attempted {
		return fmt.Errorf("the injector's log has %d entries for %d errors", len(stamps), rep.Attempted)
	}
	if err := r.account(ledger.Injected{Attempted: rep.Attempted, Refused: rep.Refused}, stamps, out); err != nil {
		return err
	}
	if c.Reader.Live && out.Account.Lost() > 0 {
		out.Timeline = timeline(stamps, r.receipts, r.signals, ch.sequenced)
	}
	inodes, err := inodesOf(targets)
	if err != nil {
		return err
	}
	return r.times(c, stamps, inodes, unit, out)
}

// account closes the ledger and writes both sides of it into the cell.
func (r *reader) account(in ledger.Injected, stamps []flood.Stamp, out *result.Cell) error {
	l := &r.ledger
	out.Reader = result.Reader{
		Records: l.Records, Counted: l.Counted, Workers: uint64(l.Workers), Others: l.Others, Reads: r.ch.reads(),
		LossEvents: l.LossEvents, LossCount: l.LossCount, LossExact: l.LossExact, Placed: l.Placed(),
		LossAfter: -1, LossDelay: -1, FirstLost: -1,
	}
	if l.LossEvents > 0 {
		out.Reader.LossAfter = l.LossAfter
	}
	st, err := r.ch.stats()
	if err != nil {
		out.Kernel.Source = err.Error()
		return err
	}
	out.Kernel = result.Counters{Source: r.ch.statsFrom, Known: true,
		Posted: st.Records, Merged: st.Merged, Filtered: st.Filtered, Dropped: st.Dropped}

	if missing, _, first, ok := l.Missing(in.Attempted); ok && missing > 0 {
		out.Reader.Gaps, out.Reader.FirstLost = missing, int64(first)
		if l.LossEvents > 0 && first < uint64(len(stamps)) {
			out.Reader.LossDelay = l.LossRecv - stamps[first].Called
		}
	}
	out.Account, err = l.Close(in, st)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	return nil
}

// ErrIdentity says that a run could not account for every error.
var ErrIdentity = errors.New("the accounting identity is broken")

// times fills the cell's histograms from the injector's log and the receipts.
//
// What a report cost is taken where nobody reads: a live reader may preempt the
// reporter before fserror_report() returns, and then its run would be inside,
// on the channel that wakes it there and on no other. A flood that is flat out
// has no times that errors are due at.
func (r *reader) times(c scenario.Cell, stamps []flood.Stamp, inodes []uint64, unit string, out *result.Cell) error {
	cost, lateness, news := newTiming("report-cost"), newTiming("lateness"), newTiming("intended-to-read")
	open := c.Flood.Schedule != flood.Flat
	for _, s := range stamps {
		if s.Called == 0 {
			continue
		}
		if !c.Reader.Live {
			cost.record(s.Returned - s.Called)
		}
		if open {
			lateness.record(s.Called - s.Intended)
		}
	}
	if c.Reader.Live && open {
		why := r.rank(c, inodes)
		if why != "" {
			out.Warnings = append(out.Warnings, why)
		}
		news.order = make([]int64, 0, r.counted)
		for _, rc := range r.receipts {
			for i := range rc.count {
				if rc.seq+i < uint64(len(stamps)) {
					news.record(rc.recv - stamps[rc.seq+i].Intended)
				}
			}
		}
	}
	for _, t := range []*timing{cost, lateness, news} {
		h, err := t.result(unit)
		if err != nil {
			return err
		}
		if h.N > 0 {
			out.Hists = append(out.Hists, h)
		}
		if gap := c.Flood.Interval.Nanoseconds(); t == lateness && c.Scenario == scenario.Latency && h.P99 > gap {
			out.Warnings = append(out.Warnings, fmt.Sprintf("invalid: the injector was late by %d at p99, more than the mean gap of %d: the guest stalled", h.P99, gap))
		}
		if t.negative > 0 {
			return fmt.Errorf("%d of %d values of %s are negative: errors and receipts do not match, or the clock went back", t.negative, h.N, t.name)
		}
	}
	return nil
}

// rank finds out which errors the receipts of a channel without sequence
// numbers are about, keeps only those it can be sure of, and says what it left
// out.
//
// One worker delivers in the order of the reports: the n-th error counted is
// the n-th reported. Several overtake each other. Then the inode that a record
// names tells which of its neighbours in rank it is, but not what else its count
// stands for. Losses and refusals leave no rank to go by.
func (r *reader) rank(c scenario.Cell, inodes []uint64) string {
	if r.ch.sequenced {
		return ""
	}
	all := len(r.receipts)
	switch {
	case r.counted != c.Flood.Count:
		r.receipts = nil
		return "no latency: with losses or refusals an error without a sequence number cannot be told from the next"
	case r.ledger.Workers <= 1:
		return ""
	case !c.Flood.PerInode:
		r.receipts = nil
		return fmt.Sprintf("no latency: %d workers delivered out of order, and nothing says which error is which", r.ledger.Workers)
	}
	n := uint64(len(inodes))
	kept := r.receipts[:0]
	for _, rc := range r.receipts {
		i := slices.Index(inodes, rc.ino)
		if i < 0 {
			continue
		}
		// The error of this inode that is nearest in rank.
		near := rc.seq - rc.seq%n + uint64(i)
		if near > rc.seq+n/2 && near >= n {
			near -= n
		} else if near+n/2 < rc.seq {
			near += n
		}
		rc.seq, rc.count = near, 1
		kept = append(kept, rc)
	}
	r.receipts = kept
	return fmt.Sprintf("latency of the %d errors told in detail only: %d workers delivered out of order (%d records)", len(kept), r.ledger.Workers, all)
}

// timing collects one duration, in ns of guest time.
type timing struct {
	name     string
	hist     *hdrhistogram.Histogram
	negative int
	order    []int64 // the values as they came, where that matters
}

// maxTime bounds a histogram: an hour of guest time.
const maxTime = int64(time.Hour)

func newTiming(name string) *timing {
	return &timing{name: name, hist: hdrhistogram.New(1, maxTime, 3)}
}

func (t *timing) record(v int64) {
	if v < 0 {
		t.negative++
		v = 0
	}
	// Beyond the bound a value is recorded as the bound: never dropped.
	v = min(v, maxTime)
	_ = t.hist.RecordValue(v)
	if t.order != nil {
		t.order = append(t.order, v)
	}
}

// windows is how many parts a measurement is cut into to see whether it was
// steady.
const windows = 25

func (t *timing) result(unit string) (result.Hist, error) {
	h, err := result.NewHist(t.name, unit, t.hist)
	if n := len(t.order); n >= windows {
		for i := range windows {
			part := slices.Clone(t.order[i*n/windows : (i+1)*n/windows])
			slices.Sort(part)
			h.Windows = append(h.Windows, part[len(part)/2])
		}
	}
	return h, err
}

// realtime makes the calling thread one that nothing ordinary holds up: not the
// threads of the Go runtime either, whose sleeps and wake-ups would otherwise
// be most of what two runs differ in.
func realtime() error {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 50}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return fmt.Errorf("make the reader SCHED_FIFO: %w", os.NewSyscallError("sched_setattr", err))
	}
	return nil
}

// inodesOf returns the inode numbers of files.
func inodesOf(files []*os.File) ([]uint64, error) {
	inodes := make([]uint64, len(files))
	for i, f := range files {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return nil, fmt.Errorf("stat %s: %w", f.Name(), err)
		}
		inodes[i] = st.Ino
	}
	return inodes, nil
}

// describe starts the record of a cell with what was asked for.
func describe(c scenario.Cell) result.Cell {
	scope, schedule := "fs", c.Flood.Schedule
	if c.Flood.PerInode {
		scope = "inode"
	}
	if schedule == "" {
		schedule = flood.Flat
	}
	return result.Cell{
		ID: c.ID(), Scenario: c.Scenario, Variant: string(c.Kernel), Arm: c.Arm.Name, FS: c.FS, CPUs: c.CPUs, Point: c.Point,
		Params: result.Params{
			Errors: c.Flood.Count, Schedule: string(schedule), Interval: c.Flood.Interval.Nanoseconds(),
			Burst: c.Flood.Burst, Gap: c.Flood.Gap.Nanoseconds(), Seed: c.Flood.Seed,
			Class: c.Flood.Class.String(), Errno: c.Flood.Errno.String(), Scope: scope,
			Targets: c.Targets, Threads: max(c.Flood.Threads, 1), CPUs: c.Flood.CPUs, Context: c.Flood.Context,
			Queue: c.Queue, Filler: c.Filler, Reader: c.Reader.String(),
		},
	}
}
