// SPDX-License-Identifier: MIT

package report

import (
	"testing"

	"wqfan/bench/result"
	"wqfan/bench/result/resulttest"
	"wqfan/fserr"
)

// The plot marks the rate that the table has: one boot of three that lost is a loss.
func TestNoDropRate(t *testing.T) {
	at := func(interval int64, lost ...uint64) *group {
		g := &group{arm: "wq-base"}
		for _, n := range lost {
			g.cells = append(g.cells, lossCell(resulttest.Boot(1), "wq-base", interval, 1, fserr.Account{Injected: 1000, Detailed: 1000 - n, Signalled: n}))
		}
		return g
	}
	series := []*group{at(100_000, 0, 0, 0), at(10_000, 0, 0, 2), at(1000, 30, 30, 30)}
	bars := loadBars{stack{series, func(g *group) int {
		for i := range series {
			if series[i] == g {
				return i
			}
		}
		return -1
	}}}
	if got := rateUpTo(series, (*group).lossless); got != "10,000" {
		t.Fatalf("the table has no loss up to %s", got)
	}
	if none, some := bars.upTo((*group).lossless), bars.upTo((*group).partial); none != 0 || some != 1 {
		t.Errorf("NDR after bar %d, want 0; PDR after bar %d, want 1", none, some)
	}
	series[0].cells[1].Warnings = []string{result.Late + " by 5 at p99"}
	if none := bars.upTo((*group).lossless); none != -1 {
		t.Errorf("NDR after bar %d, whose injector was late", none)
	}
}
