// SPDX-License-Identifier: MIT

package report

import (
	"testing"

	"wqfan/bench/result"
)

// Warnings that differ in a number are one footnote, and marks rise.
func TestFootnotes(t *testing.T) {
	d := &data{}
	if got := d.note("late in 3 of 10 boots", "coarse", "late in 10 of 10 boots", "1,200 lost"); got != "[1] [2] [3]" {
		t.Errorf("marks %s", got)
	}
	if got := d.note("20 lost", "coarse", "late in 1 of 4 boots"); got != "[1] [2] [3]" {
		t.Errorf("marks %s", got)
	}
	for _, arm := range []string{"fan", "wq", "fan"} {
		d.footnote(func(f footnote) bool { return f.head == "short" }, footnote{"short", []string{arm + " 9 %"}})
	}
	want := []string{"late in 1 to 10 of 4 to 10 boots", "coarse", "20 to 1,200 lost", "short: fan 9 %; wq 9 %"}
	for i, n := range d.notes {
		if n.String() != want[i] {
			t.Errorf("[%d] %s, want %s", i+1, n, want[i])
		}
	}
}

// A late injector counts against a cell only where somebody reads meanwhile.
func TestOnTime(t *testing.T) {
	late := []string{result.Late + " by 5 at p99"}
	cell := func(reader string, warnings []string) result.Cell {
		return result.Cell{Params: result.Params{Reader: reader}, Warnings: warnings}
	}
	gs := []*group{
		{arm: "unread", cells: []result.Cell{cell(unread, late), cell(unread, nil)}},
		{arm: "some", cells: []result.Cell{cell("live", late), cell("live", nil)}},
		{arm: "all", cells: []result.Cell{cell("live", late)}},
	}
	out, left := onTime(gs)
	if len(out) != 2 || len(out[0].cells) != 2 || len(out[1].cells) != 1 || len(left) != 2 {
		t.Errorf("kept %d groups, left out %d cells", len(out), len(left))
	}
	if len(gs[1].cells) != 2 {
		t.Error("the group itself was changed")
	}
}

// costly returns a group of boots that each measured one cost.
func costly(t *testing.T, costs ...int64) *group {
	t.Helper()
	g := &group{}
	for _, v := range costs {
		h := hist(t, v, v, v)
		g.cells = append(g.cells, result.Cell{Params: result.Params{Reader: unread}, Hists: []result.Hist{{Name: reportCost, N: 3, P50: h.ValueAtPercentile(50), Data: h}}})
	}
	return g
}

// A ratio is decided by its interval and by what the boots of one channel differ
// among themselves; of one boot, by what is known of the mode.
func TestContrast(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fan, wq []int64
		want    int
		says    string
	}{
		{"two modes around it", []int64{519, 519, 519, 519, 519, 519, 523, 635, 635, 635}, []int64{582, 582, 582, 582, 582, 582, 582, 582, 582, 582}, 0, "~1.050"},
		{"beyond both modes", []int64{514, 514, 514, 514, 514, 514, 630, 630, 630, 630}, []int64{1040, 1040, 1040, 1040, 1040, 1040, 1040, 1040, 1040, 1040}, 1, "1.856"},
		{"without scatter", []int64{519, 519, 519}, []int64{407, 407, 407}, -1, "0.784"},
		{"one boot", []int64{500}, []int64{510}, 1, "1.020"},
		{"one boot, alike", []int64{500}, []int64{504}, 0, "~1.008"},
	} {
		c := against(costly(t, tt.fan...), costly(t, tt.wq...), reportCost)
		if c.sign() != tt.want || c.String() != tt.says {
			t.Errorf("%s: %d, %v, want %d, %s", tt.name, c.sign(), c, tt.want, tt.says)
		}
	}
}

// A median of boots is the value of one, and has its interval where that is not
// the same.
func TestCompact(t *testing.T) {
	for _, tt := range []struct {
		costs []int64
		want  string
	}{
		{[]int64{519}, "519"},
		{[]int64{519, 519, 519}, "519"},
		{[]int64{519, 519, 519, 519, 523, 636, 636, 636, 636, 636}, "523 [519, 636]"},
		{[]int64{415, 415, 415, 419, 419, 739, 783, 799, 831, 831}, "419 [415, 831]"},
	} {
		if got := compact(costly(t, tt.costs...).p50(reportCost)); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.costs, got, tt.want)
		}
	}
}
