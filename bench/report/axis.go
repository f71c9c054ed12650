// SPDX-License-Identifier: MIT

package report

import (
	"math"
	"slices"

	"gonum.org/v1/plot"
)

// logAxis makes a logarithmic axis over values, all of which are above zero.
// Its bounds are round and never equal, which LogScale needs.
func logAxis(a *plot.Axis, values []float64) {
	lo, hi := 1.0, 10.0
	if len(values) > 0 {
		lo, hi = floor125(slices.Min(values)/1.05), ceil125(slices.Max(values)*1.05)
	}
	if hi < lo*5 {
		lo, hi = floor125(lo*0.9), ceil125(hi*1.1)
	}
	a.Scale = plot.LogScale{}
	a.Min, a.Max = lo, hi
	a.Tick.Marker = plot.TickerFunc(logTicks)
}

// logTicks labels decades, and their twos and fives where there are few
// decades. Gonum's own leaves an axis within one decade without labels.
func logTicks(lo, hi float64) []plot.Tick {
	if !(lo > 0 && hi > lo) || math.IsInf(hi, 1) {
		return nil // not a range that has decades
	}
	fine := hi/lo < 1000
	var out []plot.Tick
	for exp := math.Floor(math.Log10(lo)); exp <= math.Log10(hi)+1; exp++ {
		for digit := 1.0; digit < 10; digit++ {
			t := plot.Tick{Value: digit * math.Pow(10, exp)}
			if t.Value < lo*0.9999 || t.Value > hi*1.0001 {
				continue
			}
			if digit == 1 || fine && (digit == 2 || digit == 5) {
				t.Label = short(t.Value)
			}
			out = append(out, t)
		}
	}
	return out
}

func floor125(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for _, d := range []float64{5, 2} {
		if d*decade <= v {
			return d * decade
		}
	}
	return decade
}

func ceil125(v float64) float64 {
	f := floor125(v)
	for f < v*0.9999 {
		f = floor125(f * 2.6) // 1 → 2 → 5 → 10
	}
	return f
}

// shareAxis is 0 to 100 %, with room for markers below and text above.
func shareAxis(a *plot.Axis, below, above float64) {
	a.Min, a.Max = -below, 100+above
	var ticks plot.ConstantTicks
	for v := 0.0; v <= 100; v += 25 {
		ticks = append(ticks, plot.Tick{Value: v, Label: short(v) + " %"})
	}
	a.Tick.Marker = ticks
}

// tailAxis is 1/(1-p) up to n values, labelled with p. It goes on a little, so
// that no label stands at its end, beside the first of the next panel.
func tailAxis(a *plot.Axis, n float64) {
	a.Scale = plot.LogScale{}
	a.Min, a.Max = 1, 1.6*max(10, n)
	ticks := plot.ConstantTicks{{Value: 2, Label: "50 %"}}
	digits := []string{"90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"}
	for i, d := range digits {
		v := math.Pow(10, float64(i+1))
		if v > a.Max*1.0001 {
			break
		}
		ticks = append(ticks, plot.Tick{Value: v, Label: d})
	}
	a.Tick.Marker = ticks
}

// category is an axis of n labelled places at 0, 1, 2, …
func categoryAxis(a *plot.Axis, labels []string) {
	a.Min, a.Max = -0.6, float64(len(labels))-0.4
	var ticks plot.ConstantTicks
	for i, l := range labels {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: l})
	}
	a.Tick.Marker = ticks
	a.Tick.Length = 0
}

// thinned is labels side by side, without those for which there is no room.
func thinned(labels []string) []string {
	labels = slices.Clone(labels)
	for i := range labels {
		if !roomFor(i, len(labels)) {
			labels[i] = ""
		}
	}
	return labels
}

// roomFor says that there is room for the text of place i of n: for all of a few,
// else for every second, the last among them.
func roomFor(i, n int) bool { return n <= 8 || (n-1-i)%2 == 0 }

// countAxis is linear from 0 to most and a little, with round labels.
func countAxis(a *plot.Axis, most float64) {
	step := ceil125(most / 4)
	a.Min, a.Max = 0, most*1.08
	var ticks plot.ConstantTicks
	for v := 0.0; v <= a.Max; v += step {
		ticks = append(ticks, plot.Tick{Value: v, Label: short(v)})
	}
	a.Tick.Marker = ticks
}
