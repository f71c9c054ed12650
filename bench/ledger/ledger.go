// SPDX-License-Identifier: MIT

// Package ledger accounts for every error. It is told what was injected, what
// the kernel says it queued and dropped, and what the reader got, and finds
// each error's fate. A loss is what the kernel counted as lost, never what is
// left over by subtraction: what is left over is unexplained.
package ledger

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"wqfan/fserr"
)

// Injected is the source's side of the account, in errors.
type Injected struct {
	Attempted uint64
	Refused   uint64 // by fserror, before the channel saw them
	// Called says when error i was reported, CLOCK_MONOTONIC ns. Nil says that
	// all were before anything was read.
	Called func(i uint64) int64
}

// Channel is the kernel's side of the account.
type Channel struct {
	Records  uint64 // error records put into the queue
	Merged   uint64 // errors added to the count of a queued record
	Filtered uint64 // errors kept out at the reader's wish
	Dropped  uint64 // errors lost
	Parts    uint64 // parts of records lost, of errors that are not
	High     uint64 // the most places ever taken at once, where the kernel says
	// Else is the errors lost that another ledger accounts for: those of another
	// class on the same watch.
	Else uint64
	// Direct says that the channel is fed before fserror can refuse a report,
	// so that refusals are no loss to it.
	Direct bool
	// Late says that the channel tells of a loss with what comes next: the last
	// ones may not have been told of yet.
	Late bool
}

// Ledger follows one reader of one channel. Its zero value is ready for one
// reporting thread.
//
// A lost error was signalled if a signal of loss was read after it had been
// reported, and lost silently otherwise: whatever came before the last signal
// is what the reader was told of. Signals that count tell of as many as they
// count. Errors without a sequence number (Event.Pos of injected errors, see
// bench/flood) and without a count leave the channel's guarantee: fanotify
// queues its signal at the first drop, watch_queue marks the newest note of a
// full ring, and neither forgets before it is read.
//
// Errors that carry sequence numbers are placed, too: one that is missing
// between two records of the same reporting thread is told of where it is
// missing if a signal was read between the two, and else elsewhere.
type Ledger struct {
	// Threads is how many threads report: error i is thread i modulo Threads's.
	Threads uint64
	// Unordered says that the order of the records is not that of the reports:
	// several workers stand between. Then losses cannot be placed.
	Unordered bool
	// Own is the inode whose errors the reader may be told of, and nobody's
	// else; 0 is all. Of the errors that are injected it has every Stride-th.
	Own    uint64
	Stride uint64 // 0: 1

	Records    uint64 // error records read
	Counted    uint64 // sum of their counts
	Workers    int    // different tasks that the error records name
	Whole      uint64 // of them, with the filesystem's own record
	Broken     uint64 // of them, with a part of that
	Fragments  uint64 // parts of records whose errors were lost
	Others     uint64 // events that are no errors
	Removed    uint64 // watches that ended
	LossEvents uint64 // signals of loss
	LossCount  uint64 // what they counted
	LossExact  bool   // every signal carried a count
	Elsewhere  uint64 // lost errors that a signal told of, but not where they are missing; Close finds them
	LossAfter  int64  // events read before the first signal; valid if LossEvents > 0
	LossRecv   int64  // when the first signal was read, CLOCK_MONOTONIC ns; valid if LossEvents > 0
	LastLoss   int64  // when the last signal was read, likewise

	pids    map[int32]bool
	events  uint64
	ordered bool // sequence numbers were seen
	dup     uint64
	foreign uint64 // errors of others
	streams []stream
}

// stream is the errors of one reporting thread, in its own numbering: its i-th
// error has sequence number i*Threads plus the thread's.
type stream struct {
	next uint64 // first error not accounted for
	told bool   // a signal came after the record before next
	gaps []gap
}

// gap is a range of a thread's errors that have not been read.
type gap struct {
	first, end uint64 // [first, end)
	told       bool   // a signal of loss lies between the records around it
}

// Observe enters events in the order in which they were read. Sequenced says
// that Pos of each error is its sequence number from 0.
func (l *Ledger) Observe(events []fserr.Event, sequenced bool) {
	if l.streams == nil {
		l.Threads, l.Stride = max(l.Threads, 1), max(l.Stride, 1)
		l.streams = make([]stream, l.Threads)
	}
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case fserr.Error:
			l.Records++
			l.Counted += e.Errors()
			if e.Is(fserr.HasPID) {
				l.worker(e.PID)
			}
			switch {
			case e.Is(fserr.HasRecord):
				l.Whole++
			case e.Is(fserr.HasBroken):
				l.Broken++
			}
			if l.Own != 0 && !(e.Is(fserr.HasInode) && e.Ino == l.Own) {
				l.foreign++
				break
			}
			if sequenced && e.Is(fserr.HasRange) {
				l.ordered = true
				seq := uint64(e.Pos) / l.Stride
				if !l.streams[seq%l.Threads].read(seq / l.Threads) {
					l.dup++
				}
			}
		case fserr.Lost:
			if l.LossEvents == 0 {
				l.LossAfter, l.LossRecv, l.LossExact = int64(l.events), e.Recv, true
			}
			l.LossEvents++
			l.LastLoss = e.Recv
			if e.Is(fserr.HasCount) {
				l.LossCount += e.Count
			} else {
				l.LossExact = false
			}
			for i := range l.streams {
				l.streams[i].told = true
			}
		case fserr.Removed:
			l.Removed++
		case fserr.Fragment:
			l.Fragments++
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

// read enters the thread's error n and reports whether it is new.
func (s *stream) read(n uint64) bool {
	if n >= s.next {
		if n > s.next {
			s.gaps = append(s.gaps, gap{s.next, n, s.told})
		}
		s.next, s.told = n+1, false
		return true
	}
	// Late: one worker has overtaken another. It fills part of a gap.
	for i := len(s.gaps) - 1; i >= 0; i-- {
		g := &s.gaps[i]
		if n < g.first || n >= g.end {
			continue
		}
		rest := gap{n + 1, g.end, g.told}
		if g.end = n; g.first == g.end {
			s.gaps = append(s.gaps[:i], s.gaps[i+1:]...)
		}
		if rest.first < rest.end {
			s.gaps = append(s.gaps, rest)
		}
		return true
	}
	return false
}

// Missing returns how many of n sequenced errors were not read, how many of
// those no signal told of in their place, and the first of them; ok is false
// where nothing carried a sequence number.
func (l *Ledger) Missing(n uint64) (missing, untold, first uint64, ok bool) {
	first = n
	for seq, told := range l.lacking(n) {
		missing++
		if !told {
			untold++
		}
		first = min(first, seq)
	}
	return missing, untold, first, l.ordered
}

// lacking yields each of n errors that was not read, and whether a signal of
// loss lies between the records around it.
func (l *Ledger) lacking(n uint64) iter.Seq2[uint64, bool] {
	return func(yield func(uint64, bool) bool) {
		for i, s := range l.streams {
			gaps := s.gaps
			// Thread i has the errors i, i+Threads, … below n.
			if own := (n + l.Threads - 1 - uint64(i)) / l.Threads; own > s.next {
				gaps = append(slices.Clip(gaps), gap{s.next, own, s.told})
			}
			for _, g := range gaps {
				for e := g.first; e < g.end; e++ {
					if !yield(e*l.Threads+uint64(i), g.told) {
						return
					}
				}
			}
		}
	}
}

// Close draws the balance. The error names each place where the two sides of
// the kernel boundary disagree, or the remainder that nothing explains.
func (l *Ledger) Close(in Injected, ch Channel) (fserr.Account, error) {
	a := fserr.Account{Injected: in.Attempted, Filtered: ch.Filtered, Detailed: l.Records}
	if !ch.Direct {
		a.Refused = in.Refused
	}
	a.Coalesced = l.Counted - l.Records
	a.Signalled, a.Silent, l.Elsewhere = l.split(in, ch)

	var errs []error
	mismatch := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if l.Records != ch.Records {
		mismatch("the kernel queued %d records, %d were read", ch.Records, l.Records)
	}
	if a.Coalesced != ch.Merged {
		mismatch("the kernel merged %d errors, the counts read hold %d", ch.Merged, a.Coalesced)
	}
	if n := ch.Dropped + ch.Else; l.LossEvents > 0 && l.LossExact && l.LossCount != n && !(ch.Late && l.LossCount < n) {
		mismatch("the kernel dropped %d errors, the loss records count %d", ch.Dropped+ch.Else, l.LossCount)
	}
	if l.foreign > 0 {
		mismatch("%d errors were read that are none of inode %d", l.foreign, l.Own)
	}
	if l.dup > 0 {
		mismatch("%d errors were read twice", l.dup)
	}
	if missing, _, _, ok := l.Missing(in.Attempted); ok && missing != ch.Dropped+ch.Filtered+a.Refused {
		mismatch("by sequence number %d errors are missing; the kernel dropped %d, filtered %d, and %d were refused", missing, ch.Dropped, ch.Filtered, a.Refused)
	}
	if r := a.Unexplained(); r != 0 {
		mismatch("%d errors are unexplained: %v", r, a)
	}
	return a, errors.Join(errs...)
}

// Placed says that each loss was held against the signals around it, or against
// their counts.
func (l *Ledger) Placed() bool { return l.LossExact || l.ordered && !l.Unordered }

// split divides the kernel's drops into those that a signal told of and the
// rest, and says how many of the former it told of elsewhere. What was refused
// or filtered is missing too, and untold by right.
func (l *Ledger) split(in Injected, ch Channel) (signalled, silent, elsewhere uint64) {
	if l.LossEvents == 0 {
		return 0, ch.Dropped, 0
	}
	var displaced, late uint64
	if l.ordered {
		for seq, told := range l.lacking(in.Attempted) {
			if told && !l.Unordered {
				continue
			}
			displaced++
			if in.Called != nil && in.Called(seq) > l.LastLoss {
				late++
			}
		}
		excused := ch.Filtered
		if !ch.Direct {
			excused += in.Refused
		}
		displaced = min(displaced-min(displaced, excused), ch.Dropped)
	}
	if silent = min(late, displaced); l.LossExact {
		// Counts need no time; Close holds them against the kernel's.
		untold := ch.Dropped + ch.Else - min(l.LossCount, ch.Dropped+ch.Else)
		silent = min(untold, ch.Dropped)
	}
	if !l.Unordered {
		elsewhere = displaced - min(displaced, silent)
	}
	return ch.Dropped - silent, silent, elsewhere
}
