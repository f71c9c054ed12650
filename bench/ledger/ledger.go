// SPDX-License-Identifier: MIT

// Package ledger accounts for every error. It is told what was injected, what
// the kernel says it queued and dropped, and what the reader got, and finds
// each error's fate. A loss is what the kernel counted as lost, never what is
// left over by subtraction: what is left over is unexplained.
package ledger

import (
	"errors"
	"fmt"

	"wqfan/fserr"
)

// Injected is the source's side of the account, in errors.
type Injected struct {
	Attempted uint64
	Refused   uint64 // by fserror, before the channel saw them
}

// Channel is the kernel's side of the account.
type Channel struct {
	Records  uint64 // error records put into the queue
	Merged   uint64 // errors added to the count of a queued record
	Filtered uint64 // errors kept out at the reader's wish
	Dropped  uint64 // errors lost
	// Direct says that the channel is fed before fserror can refuse a report,
	// so that refusals are no loss to it.
	Direct bool
}

// Ledger follows one reader of one channel. The zero value is ready.
//
// Where the errors carry sequence numbers (Event.Pos of injected errors, see
// bench/flood) each loss is placed before or after the signals of loss around
// it; otherwise a signal covers all losses of the run, which is what a channel
// that queues its signal at the first drop guarantees.
type Ledger struct {
	Records    uint64 // error records read
	Counted    uint64 // sum of their counts
	Workers    int    // different tasks that the error records name
	Others     uint64 // events that are no errors
	Removed    uint64 // watches that ended
	LossEvents uint64 // signals of loss
	LossCount  uint64 // what they counted
	LossExact  bool   // every signal carried a count
	LossAfter  int64  // events read before the first signal; valid if LossEvents > 0
	LossRecv   int64  // when the first signal was read, CLOCK_MONOTONIC ns; valid if LossEvents > 0

	pids    map[int32]bool
	events  uint64
	next    uint64 // first sequence number not accounted for
	gaps    []gap
	ordered bool // sequence numbers were seen
	dup     uint64
	told    bool // a signal came after the record before next
}

// gap is a range of sequence numbers that have not been read.
type gap struct {
	first, end uint64 // [first, end)
	told       bool   // a signal of loss came at or after it
}

// Observe enters events in the order in which they were read. Sequenced says
// that Pos of each error is its sequence number from 0.
func (l *Ledger) Observe(events []fserr.Event, sequenced bool) {
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case fserr.Error:
			l.Records++
			l.Counted += e.Errors()
			if e.Is(fserr.HasPID) {
				l.worker(e.PID)
			}
			if sequenced && e.Is(fserr.HasRange) {
				l.sequence(uint64(e.Pos))
			}
		case fserr.Lost:
			if l.LossEvents == 0 {
				l.LossAfter, l.LossRecv, l.LossExact = int64(l.events), e.Recv, true
			}
			l.LossEvents++
			if e.Is(fserr.HasCount) {
				l.LossCount += e.Count
			} else {
				l.LossExact = false
			}
			l.told = true
			for i := range l.gaps {
				l.gaps[i].told = true
			}
		case fserr.Removed:
			l.Removed++
		default:
			l.Others++
		}
		l.events++
	}
}

func (l *Ledger) worker(pid int32) {
	if l.pids == nil {
		l.pids = make(map[int32]bool)
	}
	if !l.pids[pid] {
		l.pids[pid] = true
		l.Workers++
	}
}

func (l *Ledger) sequence(seq uint64) {
	l.ordered = true
	if seq >= l.next {
		if seq > l.next {
			l.gaps = append(l.gaps, gap{l.next, seq, l.told})
		}
		l.next, l.told = seq+1, false
		return
	}
	// Late: several CPUs post side by side. It fills part of a gap.
	for i := len(l.gaps) - 1; i >= 0; i-- {
		g := &l.gaps[i]
		if seq < g.first || seq >= g.end {
			continue
		}
		rest := gap{seq + 1, g.end, g.told}
		if g.end = seq; g.first == g.end {
			l.gaps = append(l.gaps[:i], l.gaps[i+1:]...)
		}
		if rest.first < rest.end {
			l.gaps = append(l.gaps, rest)
		}
		return
	}
	l.dup++
}

// Missing returns how many of n sequenced errors were not read, and the first
// of them; ok is false where nothing carried a sequence number.
func (l *Ledger) Missing(n uint64) (missing, first uint64, ok bool) {
	first = n
	for _, g := range l.gaps {
		missing += g.end - g.first
		first = min(first, g.first)
	}
	if n > l.next {
		missing += n - l.next
		first = min(first, l.next)
	}
	return missing, first, l.ordered
}

// Close draws the balance. The error names each place where the two sides of
// the kernel boundary disagree, or the remainder that nothing explains.
func (l *Ledger) Close(in Injected, ch Channel) (fserr.Account, error) {
	a := fserr.Account{Injected: in.Attempted, Filtered: ch.Filtered, Detailed: l.Records}
	if !ch.Direct {
		a.Refused = in.Refused
	}
	a.Coalesced = l.Counted - l.Records
	a.Signalled, a.Silent = l.split(in, ch)

	var errs []error
	mismatch := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if l.Records != ch.Records {
		mismatch("the kernel queued %d records, %d were read", ch.Records, l.Records)
	}
	if a.Coalesced != ch.Merged {
		mismatch("the kernel merged %d errors, the counts read hold %d", ch.Merged, a.Coalesced)
	}
	if l.LossEvents > 0 && l.LossExact && l.LossCount != ch.Dropped {
		mismatch("the kernel dropped %d errors, the loss records count %d", ch.Dropped, l.LossCount)
	}
	if l.dup > 0 {
		mismatch("%d errors were read twice", l.dup)
	}
	if missing, _, ok := l.Missing(in.Attempted - a.Refused); ok && ch.Filtered == 0 && missing != ch.Dropped {
		mismatch("by sequence number %d errors are missing, the kernel dropped %d", missing, ch.Dropped)
	}
	if r := a.Unexplained(); r != 0 {
		mismatch("%d errors are unexplained: %v", r, a)
	}
	return a, errors.Join(errs...)
}

// split divides the kernel's drops into those that a signal told of and the rest.
func (l *Ledger) split(in Injected, ch Channel) (signalled, silent uint64) {
	if l.LossEvents == 0 {
		return 0, ch.Dropped
	}
	if !l.ordered {
		return ch.Dropped, 0
	}
	for _, g := range l.gaps {
		if !g.told {
			silent += g.end - g.first
		}
	}
	if n := in.Attempted; !l.told && n > l.next {
		silent += n - l.next
	}
	silent = min(silent, ch.Dropped)
	return ch.Dropped - silent, silent
}
