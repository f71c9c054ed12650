// SPDX-License-Identifier: MIT

package report

import (
	"testing"

	"wqfan/bench/result"
)

// What a search found is the channel's only where it was the channel that failed.
func TestSearched(t *testing.T) {
	for _, tt := range []struct {
		name         string
		s            result.Search
		passed, lost string
	}{
		{"the channel's limit", result.Search{Over: "rate", Passed: 100, Failed: 110, Trials: []result.Trial{{Asked: 110, Made: 110, Lost: 0.1}, {Asked: 100, Made: 100}}}, "100", "110"},
		{"the injector's limit", result.Search{Over: "rate", Passed: 100, Failed: 110, Trials: []result.Trial{{Asked: 900, Made: 800, Late: true, Lost: 0.1}, {Asked: 110, Made: 110, Late: true}, {Asked: 100, Made: 100}}}, "≥ 100", "800"},
		{"a loss that is allowed", result.Search{Over: "rate", Loss: 0.2, Passed: 100, Failed: 110, Trials: []result.Trial{{Asked: 110, Made: 110, Late: true, Lost: 0.1}}}, "≥ 100", ""},
		{"to the end", result.Search{Over: "burst", Passed: 1000, Trials: []result.Trial{{Asked: 1000, Made: 5}}}, "≥ 1,000", ""},
		{"a burst", result.Search{Over: "burst", Passed: 497, Failed: 516, Trials: []result.Trial{{Asked: 516, Made: 9, Lost: 0.1}}}, "497", "516"},
		{"none", result.Search{Over: "rate", Failed: 10, Trials: []result.Trial{{Asked: 10, Made: 10, Lost: 1}}}, "none", "10"},
	} {
		g := &group{cells: []result.Cell{{Search: &tt.s}}}
		if p, l := passed(g), searched(g, lostAt); p != tt.passed || l != tt.lost {
			t.Errorf("%s: passed %q, lost at %q, want %q, %q", tt.name, p, l, tt.passed, tt.lost)
		}
	}
}

// A channel that took less than nothing took what cannot be told.
func TestRemembered(t *testing.T) {
	for _, tt := range []struct {
		bytes []int64
		want  string
	}{
		{[]int64{4096, 4096, 4096}, "4,100"},
		{[]int64{-107_520, 5376, 20_992}, "not told from 0 [-108,000, 21,000]"},
		{[]int64{0, 0}, "0"},
	} {
		g := &group{}
		for _, b := range tt.bytes {
			g.cells = append(g.cells, result.Cell{Memory: &result.Memory{Queued: b}, Reader: result.Reader{Records: 16}})
		}
		if got := remembered(g, queued); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.bytes, got, tt.want)
		}
	}
	if got := remembered(&group{cells: []result.Cell{{Memory: &result.Memory{Open: 1000, Queued: 600}, Reader: result.Reader{Records: 16}}}}, perRecord); got != "100" {
		t.Errorf("%s for each record, want 100", got)
	}
}
