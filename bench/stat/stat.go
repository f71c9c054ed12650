// SPDX-License-Identifier: MIT

// Package stat is the arithmetic between what was recorded and what is
// claimed. Where there is too little data for a statement it says so instead
// of making one.
package stat

import (
	"fmt"
	"math"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Level is the confidence of the intervals.
const Level = 0.95

// Median is the median of repetitions, with the interval that holds the true
// median with at least [Level] confidence, whatever the distribution. Of an even
// number it is the lower of the two in the middle: where repetitions fall into
// two modes, what lies between those is no value that was ever measured.
type Median struct {
	N      int
	Value  float64
	Lo, Hi float64 // the interval; the extremes where Warning says that it is none
	// Warning is not empty where the repetitions are too few for an interval.
	Warning string
}

// MedianOf returns the median of repetitions and its interval by order
// statistics: the number of repetitions below the true median is binomial with
// p = 1/2, so the k-th smallest and the k-th largest enclose it with a
// probability that depends on their number alone. Under six repetitions even
// the extremes do not reach 95 %.
func MedianOf(repetitions []float64) Median {
	xs := slices.Clone(repetitions)
	slices.Sort(xs)
	n := len(xs)
	if n == 0 {
		return Median{Warning: "no repetition"}
	}
	m := Median{N: n, Value: xs[(n-1)/2], Lo: xs[0], Hi: xs[n-1]}

	outside := math.Pow(0.5, float64(n)) // P(at most k-1 below the median), k = 1
	if 1-2*outside < Level {
		m.Warning = fmt.Sprintf("%d of the 6 repetitions that a %.0f %% interval needs", n, Level*100)
		return m
	}
	term := outside
	for k := 1; k <= n/2; k++ {
		m.Lo, m.Hi = xs[k-1], xs[n-k]
		term *= float64(n-k+1) / float64(k)
		if outside += term; 1-2*outside < Level {
			break
		}
	}
	return m
}

// Quantile is one point of a percentile spectrum.
type Quantile struct {
	Tail  float64 // 1/(1-p): 2 for the median, 100 for p99
	Value int64
}

// Spectrum returns the percentiles of h as HDR plots show them: closer and
// closer to the maximum, as far as there are values to tell percentiles apart.
// The last is the maximum, which is the 1/(1-p) = n percentile. It is empty
// where h is.
func Spectrum(h *hdrhistogram.Histogram) []Quantile {
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	const perDecade = 20
	n := float64(h.TotalCount())
	var out []Quantile
	for i := 0; ; i++ {
		tail := math.Pow(10, float64(i)/perDecade)
		if tail >= n {
			break
		}
		out = append(out, Quantile{tail, h.ValueAtPercentile(100 * (1 - 1/tail))})
	}
	return append(out, Quantile{n, h.Max()})
}
