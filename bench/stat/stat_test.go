// SPDX-License-Identifier: MIT

package stat

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func TestMedianOf(t *testing.T) {
	seq := func(n int) (xs []float64) {
		for i := range n {
			xs = append(xs, float64(n-i)) // not sorted
		}
		return xs
	}
	tests := []struct {
		n          int
		value      float64
		lo, hi     float64
		noInterval bool
	}{
		{0, 0, 0, 0, true},
		{1, 1, 1, 1, true},
		{2, 1, 1, 2, true},
		{5, 3, 1, 5, true},
		// Ranks of the 95 % interval from tables of the sign test.
		{6, 3, 1, 6, false},
		{8, 4, 1, 8, false},
		{9, 5, 2, 8, false},
		{10, 5, 2, 9, false},
		{20, 10, 6, 15, false},
		{30, 15, 10, 21, false},
	}
	for _, tt := range tests {
		in := seq(tt.n)
		before := slices.Clone(in)
		m := MedianOf(in)
		if m.N != tt.n || m.Value != tt.value || m.Lo != tt.lo || m.Hi != tt.hi || (m.Warning != "") != tt.noInterval {
			t.Errorf("%d repetitions: %+v, want %+v", tt.n, m, tt)
		}
		if !slices.Equal(in, before) {
			t.Error("MedianOf sorted its caller's slice")
		}
	}
	if w := MedianOf(seq(3)).Warning; w != "3 of the 6 repetitions that a 95 % interval needs" {
		t.Error(w)
	}
}

// The interval holds the true median at least as often as it says.
func TestMedianCoverage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{6, 10, 25} {
		const trials = 4000
		held := 0
		for range trials {
			xs := make([]float64, n)
			for i := range xs {
				xs[i] = rng.ExpFloat64() // skewed on purpose
			}
			if m := MedianOf(xs); m.Lo <= math.Ln2 && math.Ln2 <= m.Hi {
				held++
			}
		}
		if got := float64(held) / trials; got < Level-0.01 {
			t.Errorf("%d repetitions: the interval held the median in %.3f of the trials", n, got)
		}
	}
}

func TestSpectrum(t *testing.T) {
	if Spectrum(nil) != nil || Spectrum(hdrhistogram.New(1, 1000, 3)) != nil {
		t.Error("a spectrum of nothing")
	}
	h := hdrhistogram.New(1, 1_000_000, 3)
	for v := range int64(1000) {
		if err := h.RecordValue(v); err != nil {
			t.Fatal(err)
		}
	}
	s := Spectrum(h)
	for i := 1; i < len(s); i++ {
		if s[i].Tail <= s[i-1].Tail || s[i].Value < s[i-1].Value {
			t.Errorf("point %d does not rise: %v after %v", i, s[i], s[i-1])
		}
	}
	if first, last := s[0], s[len(s)-1]; first != (Quantile{1, 0}) || last != (Quantile{1000, h.Max()}) {
		t.Errorf("from %v to %v", first, last)
	}
	for _, q := range s {
		if want := 1000 * (1 - 1/q.Tail); math.Abs(float64(q.Value)-want) > 2 {
			t.Errorf("1/(1-p) = %.3g: %d, want about %.0f", q.Tail, q.Value, want)
		}
	}

	one := hdrhistogram.New(1, 1000, 3)
	_ = one.RecordValue(0)
	if s := Spectrum(one); len(s) != 1 || s[0] != (Quantile{1, 0}) {
		t.Errorf("one value: %v", s)
	}
}
