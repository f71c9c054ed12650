// SPDX-License-Identifier: MIT

package bench

import (
	"slices"
	"strings"
	"testing"
	"time"

	"wqfan/bench/flood"
	"wqfan/bench/result"
	"wqfan/bench/scenario"
)

// A cell whose injector was later than it may be says that it is invalid, in
// every open loop.
func TestLateInjector(t *testing.T) {
	const late = int64(3 * time.Millisecond)
	for _, tt := range []struct {
		name    string
		spec    flood.Spec
		invalid bool
	}{
		{"poisson", flood.Spec{Schedule: flood.Poisson, Interval: 2 * time.Millisecond}, true},
		{"poisson, in time", flood.Spec{Schedule: flood.Poisson, Interval: 4 * time.Millisecond}, false},
		{"fixed", flood.Spec{Schedule: flood.Fixed, Interval: 10 * time.Microsecond}, true},
		{"bursts", flood.Spec{Schedule: flood.Fixed, Interval: 10 * time.Microsecond, Burst: 10, Gap: 2 * time.Millisecond}, true},
		{"bursts, in time", flood.Spec{Schedule: flood.Fixed, Interval: 10 * time.Microsecond, Burst: 10, Gap: 4 * time.Millisecond}, false},
		{"closed loop", flood.Spec{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.spec.Schedule == "" {
				tt.spec.Schedule = flood.Flat
			}
			c := scenario.Cell{Flood: tt.spec}
			var out result.Cell
			stamps := []flood.Stamp{{Intended: 1, Called: 1 + late, Returned: 2 + late}}
			if err := (&reader{cell: c}).times(c, stamps, nil, "ns", &out); err != nil {
				t.Fatal(err)
			}
			if got := len(out.Warnings) == 1 && strings.HasPrefix(out.Warnings[0], result.Late+" by 3"); got != tt.invalid {
				t.Errorf("warnings %q", out.Warnings)
			}
		})
	}
}

func TestResolution(t *testing.T) {
	for _, tt := range []struct {
		diffs []int64
		want  int64
	}{
		{[]int64{558, 559, 561, 558, 700}, 1},
		{[]int64{0, 0, 4_000_000, 0}, 4_000_000},
		{[]int64{100, 200, 100, 400}, 100},
		{[]int64{558, 558}, 558},
	} {
		if got := resolution(slices.Clone(tt.diffs)); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.diffs, got, tt.want)
		}
	}
}

func TestNextLook(t *testing.T) {
	for _, tt := range []struct{ last, now, want int64 }{
		{0, 1003, 1023},
		{1023, 1023, 1043},
		{1023, 1030, 1043},
		{1023, 1042, 1043},
		{1023, 1043, 1063},
		{1023, 1100, 1103},
	} {
		if got := nextLook(tt.last, tt.now, 20); got != tt.want {
			t.Errorf("after %d, at %d: %d, want %d", tt.last, tt.now, got, tt.want)
		}
	}
}
