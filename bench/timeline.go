// SPDX-License-Identifier: MIT

package bench

import (
	"cmp"
	"slices"

	"wqfan/bench/flood"
	"wqfan/bench/result"
)

// timelinePoints is how many instants a timeline has: enough for a plot, few
// enough for run.json.
const timelinePoints = 120

// timeline says how far the reader was behind while errors came, and when it
// was told of losses. Errors that were neither read nor are still queued in the
// end are lost; which they are is known only where records have sequence
// numbers.
func timeline(stamps []flood.Stamp, receipts []receipt, signals []result.Signal, sequenced bool) *result.Timeline {
	called := make([]int64, 0, len(stamps))
	for _, s := range stamps {
		if s.Called != 0 {
			called = append(called, s.Called)
		}
	}
	if len(called) == 0 {
		return nil
	}
	// Threads report side by side: the log is in the order of their numbers.
	slices.Sort(called)
	receipts = slices.SortedStableFunc(slices.Values(receipts), func(a, b receipt) int { return cmp.Compare(a.recv, b.recv) })

	first, last := called[0], called[len(called)-1]
	got := make([]bool, len(stamps))
	for _, r := range receipts {
		last = max(last, r.recv)
		for seq := r.seq; sequenced && seq < min(r.seq+r.count, uint64(len(got))); seq++ {
			got[seq] = true
		}
	}
	for _, s := range signals {
		last = max(last, s.At)
	}
	var lost []int64
	for i, s := range stamps {
		if sequenced && s.Called != 0 && !got[i] {
			lost = append(lost, s.Called)
		}
	}
	slices.Sort(lost)

	t := &result.Timeline{}
	var read uint64
	for i := range int64(timelinePoints) {
		now := first + (last-first)*(i+1)/timelinePoints
		for len(receipts) > 0 && receipts[0].recv <= now {
			read += receipts[0].count
			receipts = receipts[1:]
		}
		t.At = append(t.At, now-first)
		t.Reported = append(t.Reported, upTo(called, now))
		t.Read = append(t.Read, read)
		if sequenced {
			t.Lost = append(t.Lost, upTo(lost, now))
		}
	}
	for _, s := range signals {
		t.Signals = append(t.Signals, result.Signal{At: max(0, s.At-first), Count: s.Count})
	}
	return t
}

// upTo returns how many of the sorted times are not after now.
func upTo(times []int64, now int64) uint64 {
	n, _ := slices.BinarySearch(times, now+1)
	return uint64(n)
}
