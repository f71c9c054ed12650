// SPDX-License-Identifier: MIT

package report

import (
	"slices"
	"testing"

	"gonum.org/v1/plot/plotter"

	"wqfan/bench/result"
	"wqfan/bench/result/resulttest"
	"wqfan/fserr"
)

// The flood that is shown is one that fanotify had too, and then the one of
// which most channels lost.
func TestFloods(t *testing.T) {
	boot := resulttest.Boot(1)
	cell := func(scenario, point, arm string, lost uint64) result.Cell {
		c := lossCell(boot, arm, 1000, 1, fserr.Account{Injected: 100, Detailed: 100 - lost, Signalled: lost})
		c.ID, c.Scenario, c.Point = scenario+point+arm, scenario, point
		if lost > 0 {
			c.Timeline = timelineOf(c)
		}
		return c
	}
	d := newData(&result.Run{Boots: []result.Boot{boot}, Cells: []result.Cell{
		cell("chain", "blob", "wq", 90), cell("chain", "blob", "wq-parts", 90), cell("chain", "blob", "wq-base", 90),
		cell(loss, "slow", "fan", 0), cell(loss, "slow", "wq-base", 50), cell(loss, "slow", "wq", 0),
		cell(loss, "fast", "fan", 0), cell(loss, "fast", "wq-base", 20), cell(loss, "fast", "wq", 20),
	}})
	here := places(withTimeline(d))
	if len(here) != 1 {
		t.Fatal(here)
	}
	all := floods(d, here[0])
	if len(all) != 3 {
		t.Errorf("%d floods, want 3", len(all))
	}
	got := slices.MaxFunc(all, compareFloods)
	if got[0].point != "fast" || !slices.Equal(armsOf(got), []string{"fan", "wq-base", "wq"}) {
		t.Errorf("%s on %q", got[0].point, armsOf(got))
	}
}

// A queue of notes is no number of errors where an error takes several.
func TestCapacity(t *testing.T) {
	g := &group{queue: queue{size: 512}, cells: make([]result.Cell, 1)}
	if got := g.capacity(); got != 512 {
		t.Errorf("%g errors of a note each", got)
	}
	g.cells[0].Params.Blob = 4096
	if got := g.capacity(); got != 0 {
		t.Errorf("%g errors of several notes", got)
	}
}

// What a channel without sequence numbers lost is known where it is nothing.
func TestCourse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cell  result.Cell
		lost  []float64
		depth []float64
	}{
		{"lossless", result.Cell{}, []float64{0, 0}, []float64{6, 0}},
		{"lost, unknown which", result.Cell{Account: fserr.Account{Signalled: 1}}, nil, []float64{6, 0}},
		{"lost, known which", result.Cell{Account: fserr.Account{Signalled: 4}, Timeline: &result.Timeline{Lost: []uint64{4, 4}}}, []float64{4, 4}, []float64{2, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			line := &result.Timeline{At: []int64{1, 2}, Reported: []uint64{10, 10}, Read: []uint64{4, 10}}
			if tt.cell.Timeline != nil {
				line.Lost = tt.cell.Timeline.Lost
			}
			tt.cell.Timeline = line
			c := courseOf(&group{cells: []result.Cell{tt.cell}, place: place{mode: result.ICount}})
			ys := func(xys plotter.XYs) (out []float64) {
				for _, xy := range xys {
					out = append(out, xy.Y)
				}
				return out
			}
			if got := ys(c.lost); !slices.Equal(got, tt.lost) {
				t.Errorf("lost %v, want %v", got, tt.lost)
			}
			if got := ys(c.queued); !slices.Equal(got, tt.depth) {
				t.Errorf("queued %v, want %v", got, tt.depth)
			}
		})
	}
}
