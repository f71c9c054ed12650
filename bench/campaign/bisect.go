// SPDX-License-Identifier: MIT

package campaign

import (
	"errors"
	"fmt"
	"math"

	"wqfan/bench/result"
	"wqfan/bench/stat"
)

// ErrUnmoved says that no metric differs between the two ends of a bisection.
var ErrUnmoved = errors.New("no metric differs between the two kernels")

// Bisection looks for the first patch of a series with which a metric is
// another than before.
type Bisection struct {
	Good, Bad int    // numbers of patches applied, Good < Bad
	Metric    string // "p50 report-cost"; "" takes the one that moved most
	// Measure boots the kernel with the first n patches.
	Measure func(n int) (*result.Run, error)
	// Step is told what each kernel gave, held against the good one.
	Step func(n int, m stat.Metric)
}

// Run returns the number of the patch, from 1, and the metric that it moved. It
// measures the two ends, then about log2 of the patches between them. A patch
// that moves the metric back and forth between the ends is not found, and of
// several that move it one is.
func (b Bisection) Run() (int, stat.Metric, error) {
	good, err := b.Measure(b.Good)
	if err != nil {
		return 0, stat.Metric{}, err
	}
	against := func(n int) (*stat.Comparison, error) {
		run, err := b.Measure(n)
		if err != nil {
			return nil, err
		}
		c, err := stat.Compare([]*result.Run{good}, []*result.Run{run}, 0)
		if err != nil {
			return nil, fmt.Errorf("%d patches against %d: %w", n, b.Good, err)
		}
		return c, nil
	}
	whole, err := against(b.Bad)
	if err != nil {
		return 0, stat.Metric{}, err
	}
	moved, ok := b.most(whole)
	if !ok {
		return 0, stat.Metric{}, fmt.Errorf("%w, with %d and with %d patches", ErrUnmoved, b.Good, b.Bad)
	}
	b.Step(b.Bad, moved)
	lo, hi := b.Good, b.Bad
	for hi-lo > 1 {
		mid := lo + (hi-lo)/2
		c, err := against(mid)
		if err != nil {
			return 0, stat.Metric{}, fmt.Errorf("narrowed down to patches %d to %d: %w", lo+1, hi, err)
		}
		for _, m := range c.Metrics {
			if m.Cell != moved.Cell || m.Name != moved.Name {
				continue
			}
			b.Step(mid, m)
			if m.Verdict == moved.Verdict {
				moved, hi = m, mid
			} else {
				lo = mid
			}
			break
		}
	}
	return hi, moved, nil
}

// most is the metric that moved most; one that got worse goes before any that
// got better.
func (b Bisection) most(c *stat.Comparison) (most stat.Metric, ok bool) {
	for _, verdict := range []stat.Verdict{stat.Worse, stat.Better} {
		far := -1.0
		for _, m := range c.Metrics {
			effect := math.Inf(1) // from nothing, or to it
			if m.Ratio != nil && m.Ratio.Value > 0 {
				effect = math.Abs(math.Log(m.Ratio.Value))
			}
			if m.Verdict == verdict && (b.Metric == "" || b.Metric == m.Name) && effect > far {
				most, far, ok = m, effect, true
			}
		}
		if ok {
			break
		}
	}
	return most, ok
}
