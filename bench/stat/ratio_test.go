// SPDX-License-Identifier: MIT

package stat

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func histOf(t *testing.T, values ...int64) *hdrhistogram.Histogram {
	t.Helper()
	h := hdrhistogram.New(1, 3_600_000_000_000, 3)
	for _, v := range values {
		if err := h.RecordValue(v); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func numbers(vs ...float64) (boots []Boot) {
	for _, v := range vs {
		boots = append(boots, Number(v))
	}
	return boots
}

// The scatter of the bootstrap's medians of the mouse data: Efron and
// Tibshirani, An Introduction to the Bootstrap (1993), table 2.2, B = ∞.
func TestResampleMouse(t *testing.T) {
	b := AtQuantile(histOf(t, 94, 197, 16, 38, 99, 141, 23), 0.5)
	if b.Value != 94 {
		t.Fatalf("median %v, want 94", b.Value)
	}
	src := rand.NewPCG(1, 2)
	const n = 200_000
	var sum, squares float64
	for range n {
		v := b.resample(src)
		sum += v
		squares += v * v
	}
	if sd := math.Sqrt(squares/n - sum/n*sum/n); math.Abs(sd-37.83) > 0.2 {
		t.Errorf("standard error %.2f, want 37.83", sd)
	}
}

func TestAtQuantile(t *testing.T) {
	h := histOf(t, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
	for q, want := range map[float64]float64{0: 10, 0.1: 10, 0.5: 50, 0.51: 60, 0.99: 100, 1: 100} {
		if got := AtQuantile(h, q).Value; got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}

func TestRatio(t *testing.T) {
	tests := []struct {
		name     string
		old, new []Boot
		want     Interval
	}{
		{"equal", numbers(7, 7, 7), numbers(7, 7, 7), Interval{1, 1, 1}},
		{"five per cent", numbers(100, 100), numbers(105, 105), Interval{1.05, 1.05, 1.05}},
		{"nothing of something", numbers(4, 4), numbers(0, 0), Interval{0, 0, 0}},
		{"one boot", numbers(4), numbers(6), Interval{1.5, 1.5, 1.5}},
	}
	for _, tt := range tests {
		if got := Ratio(tt.old, tt.new); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	a, b := numbers(90, 100, 110, 95), numbers(92, 108, 99, 140)
	if Ratio(a, b) != Ratio(a, b) {
		t.Error("the same boots give two intervals")
	}
}

// The interval holds the true ratio about as often as it says, with both levels
// of scatter, few boots and a skewed distribution.
func TestRatioCoverage(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	boots := func(n int, level float64) (out []Boot) {
		for range n {
			m := level * math.Exp(0.05*rng.NormFloat64())
			var values []int64
			for range 100 {
				values = append(values, int64(m*math.Exp(0.2*rng.NormFloat64())))
			}
			out = append(out, AtQuantile(histOf(t, values...), 0.5))
		}
		return out
	}
	const trials = 100
	held := 0
	for range trials {
		if r := Ratio(boots(10, 100_000), boots(10, 110_000)); r.Lo <= 1.1 && 1.1 <= r.Hi {
			held++
		}
	}
	if got := float64(held) / trials; got < 0.92 {
		t.Errorf("the interval held the ratio in %.3f of the trials, want %.2f", got, Level)
	}
}

// What is left out at each end, for t of the tables: 2.776, 2.262 and 2.093 for
// 4, 9 and 19 degrees of freedom.
func TestTail(t *testing.T) {
	for n, want := range map[int]float64{1: 0, 5: 0.00096, 10: 0.00856, 20: 0.01588} {
		if got := tail(n); math.Abs(got-want) > 0.00002 {
			t.Errorf("%d boots: %.5f, want %.5f", n, got, want)
		}
	}
}

func TestFloor(t *testing.T) {
	tests := []struct {
		boots []Boot
		want  float64
	}{
		{numbers(), math.Inf(1)},
		{numbers(5), math.Inf(1)},
		{numbers(5, 5, 5, 5), 0},
		{numbers(0, 0), 0},
		{numbers(0, 2), math.Inf(1)},
		{numbers(100, 110), 0.1},
		{numbers(1, 1, 1, 3), 1}, // however they are halved: 1, 1 against 1, 3
	}
	for _, tt := range tests {
		if got := Floor(tt.boots); math.Abs(got-tt.want) > 1e-9 && got != tt.want {
			t.Errorf("%v: %v, want %v", tt.boots, got, tt.want)
		}
	}
}
