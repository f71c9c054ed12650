// SPDX-License-Identifier: MIT

// Package model says how large a queue must be, by queue theory. Rates are in
// records per unit of time, times in the same unit, whatever it is; loss is the
// share of the records that find the queue full.
package model

import (
	"math"
	"slices"
	"sort"
)

// Unreachable is the size that no queue has: the load is more than the reader
// can ever take.
const Unreachable = math.MaxInt

// maxSize is the largest queue that there is: the series' fs.watch_queue_max_notes
// goes no further.
const maxSize = 1 << 20

// BurstSize returns the size of a queue that loses no more than a share of such
// a burst as [Burst] is about. Where a queue is shorter than the burst makes it
// at its longest, it loses the difference: it fills once, and until then nothing
// is lost.
func BurstSize(n int, within, stall, rate, loss float64) int {
	return max(0, Burst(n, within, stall, rate)-Spare(n, loss))
}

// Spare is how many of n records may be lost where a share may be. The share is
// what was typed: 0.29 of 100 are 29, whatever binary fractions make of it.
func Spare(n int, loss float64) int { return int(math.Floor(loss*float64(n) + 1e-9)) }

// Burst returns the size that loses nothing of n records that come evenly
// within a time, against a reader that stands still for stall from the first of
// them on and then drains at a rate. It assumes no more than those bounds: that
// the reader never stands still for longer, and is never slower.
//
// While the reader stands still all that comes is queued; after that the queue
// grows only where records come faster than they are drained (network calculus:
// the largest vertical distance of arrivals and service).
func Burst(n int, within, stall, rate float64) int {
	switch {
	case n <= 0:
		return 0
	case within <= stall:
		return n
	case float64(n)/within > rate:
		return int(math.Ceil(float64(n) - rate*(within-stall)))
	}
	return int(math.Ceil(float64(n) / within * stall))
}

// Periodic returns the loss of Poisson arrivals at a rate against a reader that
// empties a queue of size k at once, each period:
//
//	E[(X-k)+] / E[X], X Poisson with mean rate × period
//
// StdErr is the standard error of the share that is lost over so many periods,
// which are independent.
func Periodic(rate, period float64, k int, periods float64) (loss, stdErr float64) {
	mean := rate * period
	if mean <= 0 {
		return 0, 0
	}
	spread := 40 * math.Sqrt(mean) // beyond it nothing is left of X
	if float64(k) < mean-spread {
		return 1 - float64(k)/mean, 1 / math.Sqrt(mean*max(1, periods)) // the queue always overflows
	}
	var over, over2 float64 // E[Y], E[Y²] of Y = (X-k)+
	for x := max(k+1, int(mean-spread)); ; x++ {
		p := poisson(mean, x)
		y := float64(x - k)
		over += y * p
		over2 += y * y * p
		if float64(x) > mean && y*y*p < 1e-18*(over2+1e-300) || p == 0 && float64(x) > mean {
			break
		}
	}
	return over / mean, math.Sqrt(max(0, over2-over*over)/max(1, periods)) / mean
}

// PeriodicFlood is [Periodic] of floods of n records each, which begin anywhere
// between two looks: what comes before the first look and after the last has less
// than a period to fill the queue.
func PeriodicFlood(rate, period float64, k int, n, floods float64) (loss, stdErr float64) {
	mean := rate * period
	if mean <= 0 || n <= mean {
		return 0, 0
	}
	loss, stdErr = Periodic(rate, period, k, n*floods/mean)
	const steps = 64
	begun := 0.0 // lost of a period that is cut short anywhere
	for i := range steps {
		u := (float64(i) + 0.5) / steps
		part, _ := Periodic(rate, u*period, k, 1)
		begun += part * u / steps
	}
	periods := n / mean
	return ((periods-1)*loss + 2*begun) / periods, stdErr
}

// PeriodicSize returns the smallest queue whose loss by [Periodic] is no more
// than that.
func PeriodicSize(rate, period, loss float64) int {
	return smallest(func(k int) bool {
		l, _ := Periodic(rate, period, k, 1)
		return l <= loss
	})
}

// poisson is the probability of exactly x, by logarithms: neither factor of it
// fits a float64 where the mean is large.
func poisson(mean float64, x int) float64 {
	lg, _ := math.Lgamma(float64(x) + 1)
	return math.Exp(float64(x)*math.Log(mean) - mean - lg)
}

// MD1K returns the loss of Poisson arrivals at load rho = arrival rate / drain
// rate, against a reader that takes one record after the other, each in the same
// time, from a queue of size k that counts the record in its hands.
//
// It is exact: the chain of what a departing record leaves behind is solved
// level by level, as what goes up across a level comes down again, so that only
// positive terms are added; the closed form (Brun and Garcia, Analytical
// solution of finite capacity M/D/1 queues, J. Appl. Prob. 37, 2000) has
// alternating ones, which cancel.
func MD1K(rho float64, k int) float64 {
	if rho <= 0 {
		return 0
	}
	if k < 1 {
		return 1
	}
	none := math.Exp(-rho)
	if none == 0 {
		return 1 - 1/rho // so much arrives in each service that the queue is always full
	}
	// above[i] is the probability of more than i arrivals in one service.
	var above []float64
	tail := 0.0
	last := int(rho + 40*math.Sqrt(rho) + 60)
	for i := last; i >= 0; i-- {
		tail += poisson(rho, i+1)
		above = append(above, tail)
	}
	slices.Reverse(above)

	level := make([]float64, k) // relative probabilities that a departure leaves j
	level[0] = 1
	sum, first := 1.0, 1.0
	for j := 1; j < k; j++ {
		up := 0.0
		if j-1 < len(above) {
			up = first * above[j-1]
		}
		for i := max(1, j-len(above)+1); i < j; i++ {
			up += level[i] * above[j-i]
		}
		level[j] = up / none
		sum += level[j]
		if sum > 1e200 { // only ratios matter
			for i := range level[:j+1] {
				level[i] /= sum
			}
			first /= sum
			sum = 1
		}
	}
	return max(0, 1-1/(first/sum+rho))
}

// MD1KFlood is [MD1K] of floods of n records each, which begin at an empty queue,
// with the standard error over so many of them. Who is lost comes in groups, so
// that it is more than that of n that are lost or not each by itself.
//
// It follows a flood from what one departing record leaves behind to the next,
// for as many departures as there are of n records, with mean and second moment
// of how many more of them are lost than the share of all that MD1K says. That is
// for floods much longer than the queue: how many come until so many have
// departed is taken to be n. It takes n × k × 20 steps, or fewer for a flood that
// is so long that one more departure changes no more of it.
func MD1KFlood(rho float64, k int, n, floods float64) (loss, stdErr float64) {
	share := MD1K(rho, k)
	if n <= float64(k) {
		return 0, 0
	}
	if share == 0 || k < 1 {
		return share, 0
	}
	// Of one service: how many come, and how probable it is.
	var comes []float64
	for i := 0; i <= int(rho) || comes[i-1] > 1e-15; i++ {
		comes = append(comes, poisson(rho, i))
	}
	departures := max(1, n*(1-share))
	// Of so many departures to come, by what the one before left in the queue.
	mean, second := make([]float64, k), make([]float64, k)
	nextMean, nextSecond := make([]float64, k), make([]float64, k)
	var gain, spread, before float64 // what one more departure adds, from an empty queue
	steps := 0.0
	for ; steps < departures; steps++ {
		for left := range k {
			// Who is served next is there, or has to come first.
			waits, first := left-1, 0.0
			if left == 0 {
				waits, first = 0, share
			}
			var m, s float64
			for i, p := range comes {
				there := min(waits+i, k-1)
				excess := float64(waits+i-there) - share*float64(i) - first
				m += p * (excess + mean[there])
				s += p * (excess*excess + 2*excess*mean[there] + second[there])
			}
			nextMean[left], nextSecond[left] = m, s
		}
		gain = nextMean[0] - mean[0]
		variance := nextSecond[0] - nextMean[0]*nextMean[0]
		more := variance - before
		settled := math.Abs(gain) < 1e-9*share && math.Abs(more-spread) < 1e-7*more
		spread, before = more, variance
		mean, nextMean, second, nextSecond = nextMean, mean, nextSecond, second
		if settled {
			before += spread * (departures - steps - 1)
			break
		}
	}
	return max(0, share+mean[0]/n), math.Sqrt(max(0, before)/max(1, floods)) / n
}

// MD1KSize returns the smallest queue whose loss by [MD1K] is no more than that,
// or [Unreachable]: a reader that is slower than the arrivals loses 1 - 1/rho
// whatever the queue.
func MD1KSize(rho, loss float64) int {
	if rho >= 1 && 1-1/rho >= loss {
		return Unreachable
	}
	return smallest(func(k int) bool { return MD1K(rho, k) <= loss })
}

// smallest returns the smallest size that is enough: more is enough, too.
func smallest(enough func(k int) bool) int {
	hi := 1
	for !enough(hi) {
		if hi *= 2; hi > maxSize {
			return Unreachable
		}
	}
	return hi/2 + sort.Search(hi-hi/2, func(i int) bool { return enough(hi/2 + i) })
}

// LeftOut is the share of a predicted loss that may be due to what the models
// leave out, such as how long a look takes.
const LeftOut = 0.02

// Agrees says whether a loss that was observed among n records is the one that
// was predicted: within three standard errors, [LeftOut], and the rule of three
// for what is too rare to be seen.
func Agrees(predicted, stdErr, observed float64, n uint64) bool {
	return math.Abs(observed-predicted) <= 3*stdErr+LeftOut*predicted+3/float64(max(1, n))
}
