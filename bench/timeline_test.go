// SPDX-License-Identifier: MIT

package bench

import (
	"slices"
	"testing"

	"wqfan/bench/flood"
	"wqfan/bench/result"
)

// Ten errors, one each 100 units; the reader takes the first four at 450 and the
// last two at 1200, and is told at 1200 that there was a loss.
func TestTimeline(t *testing.T) {
	stamps := make([]flood.Stamp, 10)
	for i := range stamps {
		stamps[i].Called = 5000 + 100*int64(i)
	}
	receipts := []receipt{{seq: 8, count: 1, recv: 6200}, {seq: 9, count: 1, recv: 6200}}
	for i := range uint64(4) {
		receipts = append(receipts, receipt{seq: i, count: 1, recv: 5450})
	}
	signals := []result.Signal{{At: 6200, Count: 4}}

	for _, sequenced := range []bool{true, false} {
		tl := timeline(stamps, receipts, signals, sequenced)
		if len(tl.At) != timelinePoints || tl.At[timelinePoints-1] != 1200 {
			t.Fatalf("%d instants up to %d", len(tl.At), tl.At[len(tl.At)-1])
		}
		for i, at := range tl.At {
			reported := min(10, uint64(at/100)+1)
			var read, lost uint64
			if at >= 450 {
				read = 4
			}
			if at >= 1200 {
				read = 6
			}
			if reported > 4 {
				lost = min(4, reported-4)
			}
			if tl.Reported[i] != reported || tl.Read[i] != read || sequenced && tl.Lost[i] != lost {
				t.Errorf("at %d: %d reported, %d read, lost %v; want %d, %d, %d", at, tl.Reported[i], tl.Read[i], tl.Lost, reported, read, lost)
			}
		}
		if (tl.Lost != nil) != sequenced {
			t.Errorf("sequenced %v, and losses are placed: %v", sequenced, tl.Lost != nil)
		}
		if want := []result.Signal{{At: 1200, Count: 4}}; !slices.Equal(tl.Signals, want) {
			t.Errorf("signals %v, want %v", tl.Signals, want)
		}
	}
	if timeline(make([]flood.Stamp, 3), nil, nil, true) != nil {
		t.Error("a timeline of no error")
	}
}
