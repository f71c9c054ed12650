// SPDX-License-Identifier: MIT

package stat

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/HdrHistogram/hdrhistogram-go"
	"gonum.org/v1/gonum/stat/distuv"
)

// Boot is what one boot says of a metric: a number, or a quantile of the many
// values that it measured.
type Boot struct {
	Value float64

	n    int64   // values behind a quantile, 0 behind a number
	rank int64   // of the quantile among them, from 1
	upTo []int64 // how many values are in this bar of the histogram or below it
	at   []float64
}

// Number is a metric that a boot measures once.
func Number(v float64) Boot { return Boot{Value: v} }

// AtQuantile is the quantile q, from 0 to 1, of what is in h, which is not
// empty. It keeps nothing of h.
func AtQuantile(h *hdrhistogram.Histogram, q float64) Boot {
	b := Boot{n: h.TotalCount()}
	b.rank = max(1, int64(math.Ceil(q*float64(b.n))))
	var sum int64
	for _, bar := range h.Distribution() {
		if bar.Count > 0 {
			sum += bar.Count
			b.upTo, b.at = append(b.upTo, sum), append(b.at, float64(bar.To))
		}
	}
	b.Value = b.ranked(b.rank)
	return b
}

// ranked is the value that k values do not exceed.
func (b *Boot) ranked(k int64) float64 {
	i := sort.Search(len(b.upTo), func(i int) bool { return b.upTo[i] >= k })
	return b.at[min(i, len(b.at)-1)]
}

// resample draws the metric of another boot that measured n values out of the
// same distribution. Of n ranks drawn with replacement the k-th smallest is n
// times the k-th order statistic of n uniforms, which is Beta(k, n+1-k): one
// draw stands for n.
func (b *Boot) resample(src rand.Source) float64 {
	if b.n == 0 {
		return b.Value
	}
	u := distuv.Beta{Alpha: float64(b.rank), Beta: float64(b.n + 1 - b.rank), Src: src}.Rand()
	return b.ranked(int64(math.Ceil(u * float64(b.n))))
}

// Interval is an estimate and what holds the truth with [Level] confidence.
type Interval struct {
	Value float64 `json:"value"`
	Lo    float64 `json:"lo"`
	Hi    float64 `json:"hi"`
}

func (i Interval) String() string { return fmt.Sprintf("%.4f [%.4f, %.4f]", i.Value, i.Lo, i.Hi) }

// Of a bootstrap: for ten boots, the tails beyond the interval hold eight
// replicas each.
const (
	replicas = 1000
	seed     = 20210210
)

// Ratio is the mean of the boots of one kernel over that of another, none of
// which is empty, old not all zero. Its interval is a hierarchical bootstrap:
// boots are drawn with replacement, and within each boot its values, so that
// both the scatter from boot to boot and that within a boot are in it
// (Kalibera and Jones, Rigorous Benchmarking in Reasonable Time, 2013). Nothing
// is left out as an outlier. The same boots give the same interval.
func Ratio(old, new []Boot) Interval {
	src := rand.NewPCG(seed, 1)
	rng := rand.New(src)
	mean := func(boots []Boot) float64 {
		sum := 0.0
		for range boots {
			sum += boots[rng.IntN(len(boots))].resample(src)
		}
		return sum / float64(len(boots))
	}
	ratios := make([]float64, replicas)
	for i := range ratios {
		// Where boots with zeros alone were drawn the ratio is +Inf or, of zeros
		// on both sides, nothing is said against 1.
		a, b := mean(old), mean(new)
		if ratios[i] = b / a; a == 0 && b == 0 {
			ratios[i] = 1
		}
	}
	slices.Sort(ratios)
	k := int(tail(min(len(old), len(new))) * replicas)
	return Interval{meanOf(new) / meanOf(old), ratios[k], ratios[replicas-1-k]}
}

// tail is the part of the replicas to leave out on each side. The percentiles
// of a bootstrap are too narrow for few repetitions: it knows neither that the
// n-1 of a variance is no n nor Student's t. Hesterberg's expanded percentiles
// make up for both (What Teachers Should Know About the Bootstrap, 2015).
func tail(n int) float64 {
	if n < 2 {
		return 0
	}
	df := float64(n - 1)
	t := distuv.StudentsT{Sigma: 1, Nu: df}.Quantile(1 - (1-Level)/2)
	return distuv.UnitNormal.CDF(-math.Sqrt(float64(n)/df) * t)
}

func meanOf(boots []Boot) float64 {
	sum := 0.0
	for i := range boots {
		sum += boots[i].Value
	}
	return sum / float64(len(boots))
}

// Floor is the noise floor of a metric: the part by which two halves of the
// boots of one kernel differ, 99 times in 100 if they are taken at random. An
// effect below it is none that these boots could show. Two boots or three give
// a floor that is hardly one, and one boot gives none: +Inf.
func Floor(boots []Boot) float64 {
	half := len(boots) / 2
	if half == 0 {
		return math.Inf(1)
	}
	rng := rand.New(rand.NewPCG(seed, 2))
	shuffled := slices.Clone(boots)
	diffs := make([]float64, replicas)
	for i := range diffs {
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		a, b := meanOf(shuffled[:half]), meanOf(shuffled[half:2*half])
		if diffs[i] = max(a, b)/min(a, b) - 1; a == b {
			diffs[i] = 0
		}
	}
	slices.Sort(diffs)
	return diffs[replicas*99/100]
}
