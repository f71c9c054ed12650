// SPDX-License-Identifier: MIT

package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
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
	seq                    uint64 // first error, by sequence number
	count                  uint64 // errors from seq on
	recv                   int64  // CLOCK_MONOTONIC ns
	ino                    uint64 // of the first error, 0 where it names none
	posted, woken, decoded int64  // on the same clock; 0 where unknown
}

// reader drains one channel into a ledger.
type reader struct {
	ch       *channel
	cell     scenario.Cell
	ledger   ledger.Ledger
	noise    *ledger.Ledger // of the errors that came before the flood's, if there are any
	receipts []receipt
	signals  []result.Signal // losses as they were told, At on CLOCK_MONOTONIC
	counted  uint64          // errors read so far, where the channel does not number them
	garbled  uint64          // records of the filesystem's that are not what was injected
	waiting  chan struct{}   // closed when a read has found the channel empty
	thread   int             // that it runs on, for one that blocks
	ended    atomic.Bool
}

func newReader(ch *channel, c scenario.Cell) *reader {
	r := &reader{
		ch: ch, cell: c,
		ledger: ledger.Ledger{
			Threads: uint64(max(c.Flood.Threads, 1)),
			// Each CPU has workers of its own.
			Unordered: c.Arm.Deferred && c.CPUs > 1,
		},
		receipts: make([]receipt, 0, c.Flood.Count), waiting: make(chan struct{}),
	}
	if c.Noise > 0 {
		r.noise = &ledger.Ledger{Threads: r.ledger.Threads, Unordered: r.ledger.Unordered}
	}
	return r
}

// start lets the reader run, and says on the channel how it ended.
func (r *reader) start(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() {
		// Not unlocked: the thread ends with the goroutine, and what was made of it.
		if r.cell.Reader.Realtime || r.cell.Reader.CPU != "" {
			runtime.LockOSThread()
			r.thread = unix.Gettid()
		}
		if err := placed(r.cell.Reader); err != nil {
			close(r.waiting)
			done <- err
			return
		}
		done <- r.run(ctx)
	}()
	return done
}

// run reads until the flood has ended and the channel has been quiet, or until
// ctx ends.
func (r *reader) run(ctx context.Context) error {
	events := make([]fserr.Event, batch)
	if r.cell.Reader.Each > 0 {
		events = events[:1]
	}
	if err := r.settle(ctx, events); err != nil {
		return err
	}
	how := r.cell.Reader
	var look int64 // when the reader looks, if it does so now and then
	var done int64 // when it is done with the errors that it took, if it takes some time for each
	for stalled := how.Stall == 0; ; {
		// Not asked again below: a Read that began before the end may have had no
		// time at all, and a broken chain needs some until it is given up.
		ended := r.ended.Load()
		switch {
		case ended:
			// The flood may end while Read waits without a bound: finish then sets
			// the deadline from outside.
			if err := r.ch.SetReadDeadline(time.Now().Add(quiet)); err != nil {
				return err
			}
		case how.Every > 0:
			look = nextLook(look, now(), how.Every.Nanoseconds())
			sleepUntil(look)
			if err := r.ch.SetReadDeadline(time.Unix(1, 0)); err != nil { // what is there, and no more
				return err
			}
		}
		n, err := r.ch.Read(ctx, events)
		r.observe(events[:n])
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			if ended {
				return nil
			}
		default:
			return err
		}
		if how.Work > 0 && n > 0 {
			sleep(how.Work * time.Duration(n))
		}
		if how.Each > 0 && n > 0 && events[0].Kind == fserr.Error {
			// What a read takes is part of the time: whoever is next was there already.
			done = max(done, events[0].Time) + how.Each.Nanoseconds()
			sleepUntil(done)
		}
		if !stalled && 2*r.counted >= r.cell.Flood.Count {
			stalled = true
			sleep(how.Stall)
		}
	}
}

// settle reads what is there before the flood, and says so when that is all: a
// live reader that still starts up would make the first errors look late.
func (r *reader) settle(ctx context.Context, events []fserr.Event) (err error) {
	defer close(r.waiting)
	if r.ended.Load() {
		return nil
	}
	if r.cell.Reader.Blocking {
		defer func() { err = cmp.Or(err, r.block(true)) }()
	}
	for {
		if err := r.ch.SetReadDeadline(time.Now().Add(quiet)); err != nil {
			return err
		}
		n, err := r.ch.Read(ctx, events)
		r.observe(events[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return r.ch.SetReadDeadline(time.Time{})
		}
		if err != nil {
			return err
		}
	}
}

// block lets read(2) of the channel wait, or lets it no longer.
func (r *reader) block(wait bool) error {
	raw, err := r.ch.conn.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) { err = unix.SetNonblock(int(fd), !wait) })
	return cmp.Or(cerr, os.NewSyscallError("fcntl", err))
}

// observe enters a batch into the ledgers. What a loss is about, it does not
// say: it is told to both.
func (r *reader) observe(events []fserr.Event) {
	var woken, decoded int64
	if r.cell.Reader.Realtime {
		woken, decoded = r.ch.woken(), now()
	}
	for i := range events {
		e := &events[i]
		quarry := e.Kind == fserr.Error && !(r.noise != nil && e.Class == scenario.NoiseClass)
		if r.noise != nil && (e.Kind == fserr.Lost || e.Kind == fserr.Error && !quarry) {
			r.noise.Observe(events[i:i+1], r.ch.sequenced)
		}
		if e.Kind != fserr.Error || quarry {
			r.ledger.Observe(events[i:i+1], r.ch.sequenced)
		}
		switch {
		case quarry:
			r.receive(e, woken, decoded)
		case e.Kind == fserr.Lost && len(r.signals) < result.MaxSignals:
			r.signals = append(r.signals, result.Signal{At: e.Recv, Count: e.Count})
		}
	}
}

func (r *reader) receive(e *fserr.Event, woken, decoded int64) {
	rc := receipt{seq: r.counted, count: e.Errors(), recv: e.Recv, woken: woken, decoded: decoded}
	if e.Is(fserr.HasTime) {
		rc.posted = e.Time
	}
	if e.Is(fserr.HasInode) {
		rc.ino = e.Ino
	}
	if r.ch.sequenced && e.Is(fserr.HasRange) {
		rc.seq = uint64(e.Pos)
	}
	if e.Is(fserr.HasRecord) && !flood.IsBlob(e.Record.Bytes, rc.seq, r.cell.Flood.Blob) {
		r.garbled++
	}
	r.receipts = append(r.receipts, rc)
	r.counted += rc.count
}

// finish tells a running reader that the flood is over.
func (r *reader) finish() error {
	r.ended.Store(true)
	if r.cell.Reader.Blocking && r.cell.Reader.Live {
		if err := r.block(false); err != nil {
			return err
		}
		// The runtime's own signal makes the kernel begin the read(2) anew, which
		// then doesn't wait.
		if err := unix.Tgkill(os.Getpid(), r.thread, unix.SIGURG); err != nil {
			return os.NewSyscallError("tgkill", err)
		}
	}
	return r.ch.SetReadDeadline(time.Now().Add(quiet))
}

// measure runs one cell. Its error is also in the cell, with every number taken
// before it.
func measure(ctx context.Context, c scenario.Cell, t Task) (result.Cell, error) {
	out := describe(c)
	var err error
	switch {
	case c.Scenario == scenario.Targets && !c.Reader.Live:
		err = yardsticks(ctx, c, t, &out)
	case c.Scenario == scenario.Price:
		err = price(c, t, &out)
	case c.Scenario == scenario.Decode:
		err = decoding(ctx, c, t, &out)
	case c.Search.Over != "":
		err = search(ctx, c, t, &out)
	default:
		err = flooded(ctx, c, t, &out)
	}
	if err != nil {
		out.Err = err.Error()
	}
	return out, err
}

// flooded opens the cell's channels, floods their filesystems and accounts for
// every error. The record is of the first channel; the others have to close
// their accounts, too.
func flooded(ctx context.Context, c scenario.Cell, t Task, out *result.Cell) error {
	mounts, watched, unmount, err := mount(c, t)
	if err != nil {
		return err
	}
	defer unmount()
	if c.Flood.Trigger {
		undo, err := printing(c, mounts[0])
		defer undo()
		if err != nil {
			return err
		}
	}
	targets, err := openTargets(mounts, c.Targets)
	if err != nil {
		return fmt.Errorf("open the flood's targets: %w", err)
	}
	defer closeAll(targets)
	inodes, err := inodesOf(targets)
	if err != nil {
		return err
	}

	var mem memory
	if err := mem.begin(ctx, c, targets); err != nil {
		return err
	}
	if err := mem.take(c); err != nil {
		return err
	}
	readers, err := openReaders(c, watched, targets, inodes)
	defer func() {
		for _, r := range readers {
			r.ch.Close()
		}
	}()
	if err != nil {
		return err
	}
	if err := mem.take(c); err != nil {
		return err
	}
	var running []<-chan error
	if c.Reader.Realtime {
		demote, err := promoted()
		if err != nil {
			return err
		}
		defer demote()
	}
	if c.Reader.Live {
		for _, r := range readers {
			running = append(running, r.start(ctx))
			<-r.waiting
		}
		time.Sleep(quiet) // until they sleep in the kernel again
	}
	// The collector's work belongs to no cell: it is done before the flood, and
	// not during it.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var noise flood.Report
	if c.Noise > 0 {
		s := c.Flood
		s.Count, s.Class, s.Log = c.Noise, scenario.NoiseClass, false
		if noise, err = flood.Inject(ctx, s, targets...); err != nil {
			return err
		}
	}
	rep, stamps, floodErr := flooding(ctx, c, targets)
	out.Flood = result.Flood{Attempted: rep.Attempted, Accepted: rep.Accepted, Refused: rep.Refused,
		Elapsed: rep.Elapsed.Nanoseconds(), LateMax: rep.LateMax.Nanoseconds()}
	if rep.Elapsed > 0 {
		out.Flood.Rate = float64(rep.Attempted) / rep.Elapsed.Seconds()
	}
	if err := mem.take(c); err != nil {
		return err
	}
	for _, r := range readers {
		if err := r.finish(); err != nil {
			return err
		}
		if !c.Reader.Live {
			running = append(running, r.start(ctx))
		}
	}
	for _, read := range running {
		if err := <-read; err != nil {
			return fmt.Errorf("read %s: %w", c.Arm.Name, err)
		}
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
	if !c.Flood.Trigger {
		if stamps, err = flood.Log(); err != nil {
			return err
		}
	}
	if uint64(len(stamps)) != rep.Attempted {
		return fmt.Errorf("the injector's log has %d entries for %d errors", len(stamps), rep.Attempted)
	}
	if len(readers) == 0 { // the price of a report that nobody hears
		return (&reader{cell: c}).times(c, stamps, nil, t.Mode.Unit(), out)
	}
	for i, r := range readers {
		of := out
		if i > 0 {
			of = &result.Cell{}
		}
		if err := r.account(noise, rep, stamps, of); err != nil {
			return fmt.Errorf("channel %d of %d: %w", i+1, len(readers), err)
		}
	}
	r := readers[0]
	if c.Reader.Live && (c.Course || out.Account.Lost() > 0) && r.noise == nil {
		out.Timeline = timeline(stamps, r.receipts, r.signals, r.ch.sequenced)
	}
	out.Memory = mem.result(len(readers), uint64(len(stamps)))
	return r.times(c, stamps, inodes, t.Mode.Unit(), out)
}

// openReaders opens as many channels as watch side by side, and fills them.
func openReaders(c scenario.Cell, watched []string, targets []*os.File, inodes []uint64) (readers []*reader, err error) {
	if c.Arm.Channel == scenario.Nothing {
		return nil, nil
	}
	var own *os.File
	if c.Own {
		own, watched = targets[0], nil
	}
	for range max(c.Watchers, 1) {
		ch, err := openChannel(c, watched, own)
		if err != nil {
			return readers, err
		}
		r := newReader(ch, c)
		if c.Own {
			r.ledger.Own, r.ledger.Stride = inodes[0], uint64(len(targets))
		}
		readers = append(readers, r)
		if err := ch.fill(); err != nil {
			return readers, fmt.Errorf("fill the queue: %w", err)
		}
	}
	return readers, nil
}

// account closes the ledgers and writes both sides of them into the cell.
func (r *reader) account(noise, rep flood.Report, stamps []flood.Stamp, out *result.Cell) error {
	l := &r.ledger
	out.Reader = result.Reader{
		Records: l.Records, Counted: l.Counted, Whole: l.Whole, Broken: l.Broken, Fragments: l.Fragments,
		Workers: uint64(l.Workers), Others: l.Others, Reads: r.ch.reads(),
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
	out.Reader.HighWater = st.High
	out.Kernel = result.Counters{Source: r.ch.statsFrom, Known: true,
		Posted: st.Records, Merged: st.Merged, Filtered: st.Filtered, Dropped: st.Dropped, Parts: st.Parts}

	stride := max(l.Stride, 1)
	in := ledger.Injected{Attempted: rep.Attempted, Refused: rep.Refused, Called: func(i uint64) int64 { return stamps[i*stride].Called }}
	switch {
	case r.cell.Idle:
		in = ledger.Injected{}
	case r.cell.Own:
		in.Attempted, in.Refused = (rep.Attempted+stride-1)/stride, 0
	}
	var errs []error
	if r.noise != nil {
		// The kernel counts both classes together. Which errors of the first
		// are missing their numbers tell; the second must explain the rest.
		first := ledger.Injected{Attempted: noise.Attempted, Refused: noise.Refused}
		missing, _, _, ok := r.noise.Missing(noise.Attempted)
		if !ok {
			missing = noise.Attempted
		}
		of := ledger.Channel{Records: r.noise.Records, Filtered: st.Filtered, Dropped: missing - min(missing, st.Filtered), Direct: st.Direct}
		of.Else = st.Dropped - min(st.Dropped, of.Dropped)
		st.Records, st.Filtered, st.Dropped, st.Else = st.Records-min(st.Records, of.Records), 0, of.Else, of.Dropped
		a, err := r.noise.Close(first, of)
		out.Noise, errs = &a, append(errs, err)
	}
	if missing, _, first, ok := l.Missing(in.Attempted); ok && missing > 0 {
		out.Reader.Gaps, out.Reader.FirstLost = missing, int64(first)
		if l.LossEvents > 0 && first < uint64(len(stamps)) && r.noise == nil {
			out.Reader.LossDelay = l.LossRecv - stamps[first].Called
		}
	}
	out.Account, err = l.Close(in, st)
	out.Reader.Elsewhere = l.Elsewhere
	if r.garbled > 0 {
		errs = append(errs, fmt.Errorf("%d records of the filesystem's are not what was injected", r.garbled))
	}
	if err := errors.Join(append(errs, err)...); err != nil {
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
	cost, lateness, news := newTiming("report-cost"), newTiming("lateness"), newTiming(result.IntendedToRead)
	if c.Flood.Trigger {
		cost.name = "trigger-cost" // of a system call, and of all that ext4 does
	}
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
	all := []*timing{cost, lateness, news}
	if c.Reader.Live && open {
		why := r.rank(c, inodes, stamps)
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
		if c.Reader.Realtime {
			all = append(all, r.stages(stamps)...)
		}
	}
	for _, t := range all {
		h, err := t.result(unit)
		if err != nil {
			return err
		}
		if h.N > 0 {
			out.Hists = append(out.Hists, h)
		}
		if bound := c.Flood.Bound().Nanoseconds(); t == lateness && h.P99 > bound {
			out.Warnings = append(out.Warnings, fmt.Sprintf("%s by %d at p99, more than the bound of %d: the errors did not come when they were due", result.Late, h.P99, bound))
		}
		if t.negative > 0 {
			return fmt.Errorf("%d of %d values of %s are negative: errors and receipts do not match, or the clock went back", t.negative, h.N, t.name)
		}
	}
	return nil
}

// stages says where the time goes between a report and its decoded record, for
// errors that were waited for and came alone. fanotify does not say when it
// queued one. With several CPUs an error may be on its way when the reader wakes
// up for the one before.
func (r *reader) stages(stamps []flood.Stamp) []*timing {
	post, wake, direct := newTiming("report-to-post"), newTiming("post-to-wake"), newTiming("report-to-wake")
	read, decode, whole := newTiming("wake-to-read"), newTiming("read-to-decoded"), newTiming("report-to-read")
	for _, rc := range r.receipts {
		if rc.count != 1 || rc.seq >= uint64(len(stamps)) || rc.woken < max(stamps[rc.seq].Called, rc.posted) {
			continue
		}
		if rc.posted != 0 {
			post.record(rc.posted - stamps[rc.seq].Called)
			wake.record(rc.woken - rc.posted)
		} else {
			direct.record(rc.woken - stamps[rc.seq].Called)
		}
		whole.record(rc.recv - stamps[rc.seq].Called)
		read.record(rc.recv - rc.woken)
		decode.record(rc.decoded - rc.recv)
	}
	return []*timing{whole, post, wake, direct, read, decode}
}

// rank finds out which errors the receipts of a channel without sequence
// numbers are about, keeps only those it can be sure of, and says what it left
// out.
//
// One worker delivers in the order of the reports: the n-th error counted is
// the n-th reported. Several overtake each other. Then the inode that a record
// names tells which of its neighbours in rank it is, but not what else its count
// stands for. Losses and refusals leave no rank to go by.
func (r *reader) rank(c scenario.Cell, inodes []uint64, stamps []flood.Stamp) string {
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
		// The error of this inode that is nearest in rank, and was reported
		// before it was read.
		near := rc.seq - rc.seq%n + uint64(i)
		if near > rc.seq+n/2 && near >= n {
			near -= n
		} else if near+n/2 < rc.seq {
			near += n
		}
		for near >= n && (near >= uint64(len(stamps)) || stamps[near].Called > rc.recv) {
			near -= n
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

// placed makes the calling thread what the cell asks of its reader: bound to a
// CPU, and one that nothing ordinary holds up: not the threads of the Go runtime
// either, whose sleeps and wake-ups would otherwise be most of what two runs
// differ in.
func placed(r scenario.Reader) error {
	if r.CPU != "" {
		n, err := strconv.Atoi(r.CPU)
		if err != nil {
			return fmt.Errorf("the reader's CPU: %w", err)
		}
		var set unix.CPUSet
		set.Set(n)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("bind the reader to CPU %d: %w", n, os.NewSyscallError("sched_setaffinity", err))
		}
	}
	if !r.Realtime {
		return nil
	}
	return realtime(0)
}

// realtime makes a thread SCHED_FIFO, but none that it makes, or the calling one
// for 0.
func realtime(tid int) error {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 50, Flags: unix.SCHED_FLAG_RESET_ON_FORK}
	if err := unix.SchedSetAttr(tid, &attr, 0); err != nil {
		return fmt.Errorf("make a thread SCHED_FIFO: %w", os.NewSyscallError("sched_setattr", err))
	}
	return nil
}

// promoted makes the Go runtime's monitor a reader's equal until the returned
// function is called. It holds a goroutine in its system call while it looks
// whether to take away its P (setBlockOnExitSyscall in runtime/proc.go). A
// reader that preempts it there on its CPU spins in sched_yield(2), which lets
// none of a lower priority run, until the kernel throttles it after 0.95 s.
func promoted() (demote func(), err error) {
	tid, err := monitorThread()
	if err != nil {
		return nil, err
	}
	if err := realtime(tid); err != nil {
		return nil, err
	}
	return func() {
		// Fails only for a thread that is no more: the monitor does not end.
		_ = unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0)
	}, nil
}

// monitorThread finds the thread that runs sysmon: runtime.main starts it before
// any other.
func monitorThread() (int, error) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	first := 0
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err == nil && tid != os.Getpid() && (first == 0 || tid < first) {
			first = tid
		}
	}
	if first == 0 {
		return 0, fmt.Errorf("/proc/self/task has no thread but the first: %w", unix.ESRCH)
	}
	return first, nil
}

// nextLook is when to look again: so long after the last time as is said,
// whatever that look took. Looks that it took longer than are not made up for.
func nextLook(last, now, every int64) int64 {
	if last == 0 {
		return now + every
	}
	missed := max(0, now-last) / every
	return last + (missed+1)*every
}

// sleepUntil is sleep with an end on CLOCK_MONOTONIC, in ns.
func sleepUntil(ns int64) {
	ts := unix.NsecToTimespec(ns)
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
	}
}

// sleep stops the calling thread, and no scheduler but the kernel's wakes it.
func sleep(d time.Duration) {
	ts := unix.NsecToTimespec(d.Nanoseconds())
	for unix.Nanosleep(&ts, &ts) == unix.EINTR {
	}
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
	scope := "fs"
	if c.Flood.PerInode {
		scope = "inode"
	}
	out := result.Cell{
		ID: c.ID(), Scenario: c.Scenario, Variant: string(c.Kernel), Arm: c.Arm.Name, FS: c.FS, CPUs: c.CPUs, Point: c.Point,
		Params: result.Params{
			Errors: c.Flood.Count, Schedule: string(c.Flood.Schedule), Interval: c.Flood.Interval.Nanoseconds(),
			Burst: c.Flood.Burst, Gap: c.Flood.Gap.Nanoseconds(), Seed: c.Flood.Seed,
			Class: c.Flood.Class.String(), Errno: c.Flood.Errno.String(), Scope: scope,
			Targets: c.Targets, Threads: max(c.Flood.Threads, 1), CPUs: c.Flood.CPUs, Context: c.Flood.Context,
			Queue: c.Queue, Filler: c.Filler, Mounts: c.Mounts, Watchers: c.Watchers, Blob: c.Flood.Blob,
			Noise: c.Noise, Reserve: c.Reserve, Every: c.Reader.Every.Nanoseconds(), Each: c.Reader.Each.Nanoseconds(), Reader: c.Reader.String(),
		},
	}
	switch cmp.Or(c.Like, c.Arm.Channel) {
	case scenario.HealthMonitor:
		out.Warnings = append(out.Warnings, "errors of file ranges: of metadata fserror tells the health monitor nothing")
	case scenario.KernelLog:
		out.Params.Source = "ext4's trigger_fs_error"
		out.Warnings = append(out.Warnings, "errors made through ext4's trigger_fs_error, each with a system call: what the injector reports is not in the log; the console was quiet")
	}
	return out
}
