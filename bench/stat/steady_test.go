// SPDX-License-Identifier: MIT

package stat

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The yearly flow of the Nile at Aswan from 1871 to 1970 fell once, after 1898:
// Cobb, The Problem of the Nile (Biometrika, 1978).
var nile = []float64{
	1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180, 799, 958, 1140,
	1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833, 701, 916, 692, 1020, 1050, 969,
	831, 726, 456, 824, 702, 1120, 1100, 832, 764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759,
	781, 865, 845, 944, 984, 897, 822, 1010, 771, 676, 649, 846, 812, 742, 801, 1040, 860, 874, 848, 890,
	744, 749, 838, 1050, 918, 986, 797, 923, 975, 815, 1020, 906, 901, 1170, 912, 746, 919, 718, 714, 740,
}

func TestChangePointsNile(t *testing.T) {
	if got := changePoints(nile); !slices.Equal(got, []int{0, 1898 - 1871 + 1}) {
		t.Errorf("levels begin at %v, want 0 and 28", got)
	}
}

func TestSteadyState(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	// 25 windows, each the level at its place with some noise on top.
	series := func(noise float64, level func(i int) float64) (out []float64) {
		for i := range 25 {
			out = append(out, level(i)*(1+noise*rng.NormFloat64()))
		}
		return out
	}
	step := func(at int, before, after float64) func(int) float64 {
		return func(i int) float64 {
			if i < at {
				return before
			}
			return after
		}
	}
	tests := []struct {
		name   string
		series []float64
		want   string
	}{
		{"flat", series(0, step(0, 0, 9320)), "steady"},
		{"noisy", series(0.05, step(0, 0, 9320)), "steady"},
		{"quantised", series(0, func(i int) float64 { return 9320 + float64(8*(i%2)) }), "steady"},
		{"a spike", series(0.01, func(i int) float64 { return step(0, 0, 9320)(i) * (1 + float64(max(0, 1-max(i-12, 12-i)))*50) }), "steady"},
		{"warm-up", series(0.005, step(6, 14_000, 9320)), "warm-up: the first 6 of 25 windows"},
		{"less than is told apart", series(0, step(6, 9370, 9320)), "steady"},
		{"late change", series(0.005, step(18, 9320, 14_000)), "no steady state"},
		{"ever longer", series(0.01, func(i int) float64 { return 1000 * float64(i+1) }), "no steady state"},
		{"up and back", series(0.005, func(i int) float64 {
			if i >= 8 && i < 15 {
				return 14_000
			}
			return 9320
		}), "no steady state"},
		{"too short to say", []float64{1, 2, 3}, "steady"},
		{"zeros", make([]float64, 25), "steady"},
	}
	for _, tt := range tests {
		if got := SteadyState(tt.series).String(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	if s := SteadyState(nil); s.From != 0 || !s.Reached() {
		t.Errorf("nothing: %+v", s)
	}
}
