// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"wqfan/bench/model"
	"wqfan/bench/result"
	"wqfan/bench/result/resulttest"
	"wqfan/fserr"
)

// A loss that queue theory predicts agrees; one that it does not is marked.
func TestSizes(t *testing.T) {
	boot := resulttest.Boot(1)
	cells := func(change float64) (out []result.Cell) {
		for _, k := range []uint64{64, 128, 256, 512} {
			const n = 20_000
			loss, _ := model.Periodic(1./50_000, 20_000_000, int(k), 1)
			lost := uint64(math.Round(min(1, loss*change) * n))
			c := result.Cell{ID: fmt.Sprintf("sizing/queue=%d", k), Scenario: sizing, Arm: "wq-base", FS: "ext4", CPUs: 1, Boot: boot.ID, Point: fmt.Sprintf("queue=%d gap=50us every=20ms", k)}
			c.Params = result.Params{Errors: n, Schedule: "poisson", Interval: 50_000, Every: 20_000_000, Queue: k, Reader: "live"}
			c.Account = fserr.Account{Injected: n, Detailed: n - lost, Signalled: lost}
			out = append(out, c)

			loss = model.MD1K(100./105, int(k)/4+1)
			lost = uint64(math.Round(loss * change * n))
			c.ID, c.Point = fmt.Sprintf("sizing/each queue=%d", k/4), fmt.Sprintf("queue=%d gap=105us each=100us", k/4)
			c.Params = result.Params{Errors: n, Schedule: "poisson", Interval: 105_000, Each: 100_000, Queue: k / 4, Reader: "live"}
			c.Account = fserr.Account{Injected: n, Detailed: n - lost, Signalled: lost}
			out = append(out, c)
		}
		return out
	}
	right := record(t, []result.Boot{boot}, cells(1), nil)
	if md := write(t, right); strings.Count(md, "| yes ") != 8 || strings.Contains(md, "**no**") || !strings.Contains(md, "| 100 µs for each ") {
		t.Error(md)
	}
	if _, ok := tree(t, right)[plotDir+"/size-icount.png"]; !ok {
		t.Error("no plot")
	}
	if md := write(t, record(t, []result.Boot{boot}, cells(0.5), nil)); !strings.Contains(md, "**no**") {
		t.Error("half of the predicted loss agrees")
	}
}

// Where most boots lost nothing the others' losses are seen all the same.
func TestLostShare(t *testing.T) {
	lost := func(n uint64) result.Cell {
		return result.Cell{Account: fserr.Account{Injected: 1000, Detailed: 1000 - n, Signalled: n}}
	}
	g := &group{cells: []result.Cell{lost(0), lost(0), lost(0), lost(8)}}
	if got := g.lostShare(); got != 0.002 {
		t.Errorf("%g of the errors of four boots, want 0.002", got)
	}
}
