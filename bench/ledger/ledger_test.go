// SPDX-License-Identifier: MIT

package ledger

import (
	"strings"
	"testing"

	"wqfan/fserr"
)

func seq(n ...int64) (ev []fserr.Event) {
	for _, s := range n {
		if s < 0 {
			ev = append(ev, fserr.Event{Kind: fserr.Lost, Recv: 77})
			continue
		}
		ev = append(ev, fserr.Event{Kind: fserr.Error, Has: fserr.HasRange, Pos: s})
	}
	return ev
}

func counted(n ...uint64) (ev []fserr.Event) {
	for _, c := range n {
		ev = append(ev, fserr.Event{Kind: fserr.Error, Has: fserr.HasCount, Count: c})
	}
	return ev
}

const lost = -1

// inTime says when errors are reported that are 13 ns apart: the signals of seq
// are read after the sixth.
func inTime(i uint64) int64 { return int64(i) * 13 }

func TestClose(t *testing.T) {
	overflow := fserr.Event{Kind: fserr.Lost}
	exact := fserr.Event{Kind: fserr.Lost, Has: fserr.HasCount, Count: 7}
	tests := []struct {
		name   string
		events []fserr.Event
		in     Injected
		ch     Channel
		want   fserr.Account
		err    string // part of the error, "" for none
	}{
		{"all delivered", seq(0, 1, 2), Injected{Attempted: 3}, Channel{Records: 3},
			fserr.Account{Injected: 3, Detailed: 3}, ""},
		{"coalesced", counted(1, 9), Injected{Attempted: 10}, Channel{Records: 2, Merged: 8},
			fserr.Account{Injected: 10, Detailed: 2, Coalesced: 8}, ""},
		{"refused", counted(8), Injected{Attempted: 10, Refused: 2}, Channel{Records: 1, Merged: 7},
			fserr.Account{Injected: 10, Refused: 2, Detailed: 1, Coalesced: 7}, ""},
		{"refusals do not reach a direct channel", seq(0, 1, 2), Injected{Attempted: 3, Refused: 2}, Channel{Records: 3, Direct: true},
			fserr.Account{Injected: 3, Detailed: 3}, ""},
		{"ring full, signalled at the end", seq(0, 1, lost), Injected{Attempted: 10}, Channel{Records: 2, Dropped: 8},
			fserr.Account{Injected: 10, Detailed: 2, Signalled: 8}, ""},
		{"ring full, no signal", seq(0, 1), Injected{Attempted: 10}, Channel{Records: 2, Dropped: 8},
			fserr.Account{Injected: 10, Detailed: 2, Silent: 8}, ""},
		{"signal, then a silent tail", seq(0, lost, 4, 5), Injected{Attempted: 8, Called: inTime}, Channel{Records: 3, Dropped: 5},
			fserr.Account{Injected: 8, Detailed: 3, Signalled: 3, Silent: 2}, ""},
		{"the same from several workers", seq(0, lost, 5, 4), Injected{Attempted: 8, Called: inTime}, Channel{Records: 3, Dropped: 5},
			fserr.Account{Injected: 8, Detailed: 3, Signalled: 3, Silent: 2}, ""},
		{"one signal for several bouts, read after the last", seq(0, lost, 4, 5), Injected{Attempted: 8}, Channel{Records: 3, Dropped: 5},
			fserr.Account{Injected: 8, Detailed: 3, Signalled: 5}, ""},
		{"late record fills a gap", seq(0, 3, 1, lost, 2, 4), Injected{Attempted: 5}, Channel{Records: 5},
			fserr.Account{Injected: 5, Detailed: 5}, ""},
		{"a later signal tells of an earlier gap", seq(0, 1, 10, 11, 12, lost, 20), Injected{Attempted: 21}, Channel{Records: 6, Dropped: 15},
			fserr.Account{Injected: 21, Detailed: 6, Signalled: 15}, ""},
		{"a refused report is missing, and no loss", seq(0, 2), Injected{Attempted: 3, Refused: 1}, Channel{Records: 2},
			fserr.Account{Injected: 3, Refused: 1, Detailed: 2}, ""},
		{"a filtered one too", seq(0, 2), Injected{Attempted: 3}, Channel{Records: 2, Filtered: 1, Direct: true},
			fserr.Account{Injected: 3, Detailed: 2, Filtered: 1}, ""},
		{"overflow without sequence", append(counted(1), overflow), Injected{Attempted: 10}, Channel{Records: 1, Dropped: 9},
			fserr.Account{Injected: 10, Detailed: 1, Signalled: 9}, ""},
		{"exact count", append(seq(0, 1, 2), exact), Injected{Attempted: 10}, Channel{Records: 3, Dropped: 7},
			fserr.Account{Injected: 10, Detailed: 3, Signalled: 7}, ""},

		{"exact count ahead of older records", append([]fserr.Event{exact}, seq(0, 1, 2)...), Injected{Attempted: 10}, Channel{Records: 3, Dropped: 7},
			fserr.Account{Injected: 10, Detailed: 3, Signalled: 7}, ""},
		{"exact count that covers what another ledger has", append(seq(0, 1, 2), exact), Injected{Attempted: 5}, Channel{Records: 3, Dropped: 2, Else: 5},
			fserr.Account{Injected: 5, Detailed: 3, Signalled: 2}, ""},

		{"exact count of a channel that tells of the last losses later", append(seq(0, 1), exact), Injected{Attempted: 10}, Channel{Records: 2, Dropped: 8, Late: true},
			fserr.Account{Injected: 10, Detailed: 2, Signalled: 7, Silent: 1}, ""},
		{"and it counts more than were lost", append(seq(0, 1, 2, 3), exact), Injected{Attempted: 10}, Channel{Records: 4, Dropped: 6, Late: true},
			fserr.Account{Injected: 10, Detailed: 4, Signalled: 6}, "loss records count 7"},
		{"exact count that is wrong", append(seq(0, 1), exact), Injected{Attempted: 10}, Channel{Records: 2, Dropped: 8},
			fserr.Account{Injected: 10, Detailed: 2, Signalled: 7, Silent: 1}, "loss records count 7"},
		{"a record vanished between kernel and reader", seq(0, 1), Injected{Attempted: 3}, Channel{Records: 3},
			fserr.Account{Injected: 3, Detailed: 2}, "3 records, 2 were read"},
		{"a count is short", counted(5), Injected{Attempted: 10}, Channel{Records: 1, Merged: 9},
			fserr.Account{Injected: 10, Detailed: 1, Coalesced: 4}, "5 errors are unexplained"},
		{"the kernel's drops are not all", seq(0, 1, lost), Injected{Attempted: 10}, Channel{Records: 2, Dropped: 7},
			fserr.Account{Injected: 10, Detailed: 2, Signalled: 7}, "8 errors are missing"},
		{"delivered twice", seq(0, 0, 1), Injected{Attempted: 2}, Channel{Records: 3},
			fserr.Account{Injected: 2, Detailed: 3}, "read twice"},
		{"nothing read, nothing explained", nil, Injected{Attempted: 4}, Channel{},
			fserr.Account{Injected: 4}, "4 errors are unexplained"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var l Ledger
			l.Observe(tt.events, true)
			got, err := l.Close(tt.in, tt.ch)
			if got != tt.want {
				t.Errorf("account:\n got %v\nwant %v", got, tt.want)
			}
			switch {
			case tt.err == "" && err != nil:
				t.Errorf("error: %v", err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("error %v, want one with %q", err, tt.err)
			}
		})
	}
}

// What is told of, but not where it is missing, is known of every channel whose
// records have an order: also of one that counts.
func TestElsewhere(t *testing.T) {
	counts := fserr.Event{Kind: fserr.Lost, Has: fserr.HasCount, Count: 5, Recv: 77}
	for _, tt := range []struct {
		name      string
		l         Ledger
		events    []fserr.Event
		in        Injected
		ch        Channel
		elsewhere uint64
	}{
		{"in its place", Ledger{}, seq(0, 1, lost, 7), Injected{Attempted: 8}, Channel{Records: 3, Dropped: 5}, 0},
		{"a second bout", Ledger{}, seq(0, lost, 4, 7), Injected{Attempted: 8}, Channel{Records: 3, Dropped: 5}, 2},
		{"a second bout, and what came after the signal", Ledger{}, seq(0, lost, 3, 5), Injected{Attempted: 8, Called: inTime}, Channel{Records: 3, Dropped: 5}, 1},
		{"what a signal tells of that comes later", Ledger{}, seq(0, 6, 7, lost), Injected{Attempted: 8}, Channel{Records: 3, Dropped: 5}, 5},
		{"counted, ahead of older records", Ledger{}, append([]fserr.Event{counts}, seq(0, 1, 2)...), Injected{Attempted: 8}, Channel{Records: 3, Dropped: 5}, 5},
		{"counted, in its place", Ledger{}, append(seq(0, 1, 2), counts), Injected{Attempted: 8}, Channel{Records: 3, Dropped: 5}, 0},
		{"refused", Ledger{}, seq(0, lost, 4, 7), Injected{Attempted: 8, Refused: 2}, Channel{Records: 3, Dropped: 3}, 0},
		{"several workers", Ledger{Unordered: true}, seq(0, lost, 7, 4), Injected{Attempted: 8}, Channel{Records: 3, Dropped: 5}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.l.Observe(tt.events, true)
			if _, err := tt.l.Close(tt.in, tt.ch); err != nil || tt.l.Elsewhere != tt.elsewhere {
				t.Errorf("%d told elsewhere, %v; want %d", tt.l.Elsewhere, err, tt.elsewhere)
			}
		})
	}
}

// A reader of one file's errors is told of every third, and of nobody else's.
func TestOwn(t *testing.T) {
	of := func(ino uint64, pos int64) fserr.Event {
		return fserr.Event{Kind: fserr.Error, Has: fserr.HasRange | fserr.HasInode, Ino: ino, Pos: pos}
	}
	for _, tt := range []struct {
		events []fserr.Event
		err    string
	}{
		{[]fserr.Event{of(7, 0), of(7, 3), of(7, 6)}, ""},
		{[]fserr.Event{of(7, 0), of(8, 1), of(7, 3), of(7, 6)}, "1 errors were read that are none of inode 7"},
		{[]fserr.Event{of(7, 0), {Kind: fserr.Error}, of(7, 6)}, "1 errors were read that are none of inode 7"},
	} {
		l := Ledger{Own: 7, Stride: 3}
		l.Observe(tt.events, true)
		_, err := l.Close(Injected{Attempted: 3}, Channel{Records: 3})
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%v: error %v, want one with %q", tt.events, err, tt.err)
		}
	}
}

// What came of the filesystem's own records is counted beside the errors.
func TestRecords(t *testing.T) {
	ev := seq(0, 1, 2)
	ev[0].Has |= fserr.HasRecord
	ev[1].Has |= fserr.HasBroken
	var l Ledger
	l.Observe(append(ev, fserr.Event{Kind: fserr.Fragment}), true)
	if l.Records != 3 || l.Whole != 1 || l.Broken != 1 || l.Fragments != 1 {
		t.Errorf("%+v", l)
	}
}

func TestFirstSignal(t *testing.T) {
	var l Ledger
	l.Observe(seq(0, 1, lost, 9, lost), true)
	if l.LossEvents != 2 || l.LossAfter != 2 || l.LossRecv != 77 || l.LossExact {
		t.Errorf("got %+v", l)
	}
	missing, untold, first, ok := l.Missing(12)
	if missing != 9 || untold != 0 || first != 2 || !ok {
		t.Errorf("Missing: %d, %d untold, from %d, %v", missing, untold, first, ok)
	}
}

// Two threads report side by side: the order between them is no gap, and a
// signal tells of what each of them lost around it.
func TestThreads(t *testing.T) {
	l := Ledger{Threads: 2}
	// Thread 0 has the even errors, thread 1 the odd ones.
	l.Observe(seq(0, 2, 1, 4, lost, 12, 7, 9, 11, 15), true)
	missing, untold, first, ok := l.Missing(17)
	// Told: 6, 8, 10 of thread 0 and 3, 5 of thread 1. Untold: 13 of thread 1
	// between 11 and 15, and 14, 16 of thread 0 after 12.
	if missing != 8 || untold != 3 || first != 3 || !ok {
		t.Errorf("Missing: %d, %d untold, from %d, %v", missing, untold, first, ok)
	}
}

// Workers that overtake each other leave no order to place a loss in.
func TestUnordered(t *testing.T) {
	l := Ledger{Unordered: true}
	l.Observe(seq(0, 5, lost, 2), true)
	a, err := l.Close(Injected{Attempted: 8}, Channel{Records: 3, Dropped: 5})
	if want := (fserr.Account{Injected: 8, Detailed: 3, Signalled: 5}); err != nil || a != want || l.Placed() {
		t.Errorf("%v, %v, placed %v", a, err, l.Placed())
	}
}

func BenchmarkObserve(b *testing.B) {
	ev := seq(0)
	var l Ledger
	for i := 0; b.Loop(); i++ {
		ev[0].Pos = int64(i)
		l.Observe(ev, true)
	}
}
