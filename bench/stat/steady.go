// SPDX-License-Identifier: MIT

package stat

import (
	"fmt"
	"math"
	"slices"
)

// Steady says from when on a series stayed at one level.
type Steady struct {
	From int // first of the values that belong to the last level; 0 where there is but one
	Of   int // values of the series
}

// Reached says whether at least half of the series is at its last level. When
// not, the series has no steady state, and a number of all of it describes none.
func (s Steady) Reached() bool { return 2*s.From <= s.Of }

func (s Steady) String() string {
	switch {
	case s.From == 0:
		return "steady"
	case s.Reached():
		return fmt.Sprintf("warm-up: the first %d of %d windows", s.From, s.Of)
	}
	return "no steady state"
}

const (
	shortest  = 3    // values of a segment: fewer are a spike, which a median ignores
	alike     = 0.01 // levels that differ by less are one, as are those within the scatter
	precision = 1e-3 // of an HDR histogram with three digits
)

// SteadyState finds the changes of level in a series, the medians of
// consecutive windows of a measurement, and from when on it stayed where it
// ended. What it asks of a steady state follows Barrett et al. (Virtual Machine
// Warmup Blows Hot and Cold, 2017), but spikes are borne instead of removed.
func SteadyState(series []float64) Steady {
	s := Steady{Of: len(series)}
	starts := changePoints(series)
	same := max(alike*math.Abs(medianOf(series)), scatter(series))
	last := medianOf(series[starts[len(starts)-1]:])
	end := len(series)
	for _, start := range slices.Backward(starts) {
		if level := medianOf(series[start:end]); math.Abs(level-last) > same {
			break
		}
		s.From, end = start, start
	}
	return s
}

// changePoints cuts a series into segments of constant level, and returns where
// each begins. It is optimal partitioning (Jackson et al., 2005): of all ways to
// cut, the one with the least sum of a cost for each segment and a price for
// each cut. The cost is the absolute deviation from the segment's median, which
// no single value decides, in units of the scatter from one value to the next.
func changePoints(series []float64) []int {
	n := len(series)
	if n < 2*shortest {
		return []int{0}
	}
	scale := max(scatter(series), precision*math.Abs(medianOf(series)), math.SmallestNonzeroFloat64)
	// A cut is found where there is none in one of 50 series of noise.
	price := 5 * math.Log(float64(n))

	best, from := make([]float64, n+1), make([]int, n+1) // of the first i values
	for i := 1; i <= n; i++ {
		best[i] = math.Inf(1)
		for j := 0; j <= i-shortest; j++ {
			if j > 0 && j < shortest {
				continue
			}
			cost := 0.0
			level := medianOf(series[j:i])
			for _, v := range series[j:i] {
				cost += 2 * math.Abs(v-level) / scale
			}
			if j > 0 {
				cost += price + best[j]
			}
			if cost < best[i] {
				best[i], from[i] = cost, j
			}
		}
	}
	var starts []int
	for i := n; i > 0; i = from[i] {
		starts = append(starts, from[i])
	}
	slices.Reverse(starts)
	return starts
}

func medianOf(xs []float64) float64 { return MedianOf(xs).Value }

// scatter is the mean absolute deviation of normal values that step from one to
// the next as those of the series do.
func scatter(series []float64) float64 {
	var steps []float64
	for i := 1; i < len(series); i++ {
		steps = append(steps, math.Abs(series[i]-series[i-1]))
	}
	return 0.836 * medianOf(steps)
}
