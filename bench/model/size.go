// SPDX-License-Identifier: MIT

package model

import (
	"fmt"
	"math"
)

// Demand is what a queue has to take.
type Demand struct {
	Burst  int     // records
	Within float64 // time in which they come
	Loss   float64 // share that may be lost
}

// Rate is that of the burst.
func (d Demand) Rate() float64 { return float64(d.Burst) / d.Within }

// Reader is how the queue is drained. What is zero is not known.
type Reader struct {
	Every float64 // it looks that often, and then takes all there is
	Each  float64 // it takes one record after the other, and so long for each
	Rate  float64 // records that it takes in a unit of time
	Stall float64 // the longest that it stands still
}

// Answer is what one model says.
type Answer struct {
	Model   string
	Assumes string
	Size    int // or Unreachable
}

// Answers returns what the models say that apply to the reader. The first is
// about the demand as it is asked; the others about what else may be meant.
func Answers(d Demand, r Reader) []Answer {
	var out []Answer
	if r.Every > 0 {
		out = append(out, Answer{"periodic drain", "such bursts follow each other at random (Poisson), and the reader empties the queue at its times, all at once",
			PeriodicSize(d.Rate(), r.Every, d.Loss)})
	}
	if r.Each > 0 {
		out = append(out, oneByOne(d, 1/r.Each))
	}
	if r.Rate > 0 {
		assumes := "one burst, evenly spread; the reader never stands still for longer than said, and then never takes less"
		if spare := Spare(d.Burst, d.Loss); spare > 0 {
			assumes += fmt.Sprintf("; %d of the burst may be lost", spare)
		}
		out = append(out, Answer{"burst bound", assumes, BurstSize(d.Burst, d.Within, r.Stall, r.Rate, d.Loss)},
			oneByOne(d, r.Rate))
	}
	return out
}

// oneByOne is what M/D/1/K says of a reader that takes so many records in a unit
// of time. The one in its hands is in no queue.
func oneByOne(d Demand, rate float64) Answer {
	size := MD1KSize(d.Rate()/rate, d.Loss)
	if size != Unreachable {
		size = max(1, size-1)
	}
	return Answer{"M/D/1/K", "such bursts follow each other at random (Poisson) for ever; the reader never stands still and takes one record after the other, each in the same time", size}
}

// Trial is what came of a size.
type Trial struct {
	Size   int
	Errors uint64
	Lost   uint64
}

// Observed is the share that was lost.
func (t Trial) Observed() float64 { return float64(t.Lost) / float64(max(1, t.Errors)) }

// Check holds trials against what the first of Answers says, and returns what
// of them contradicts it: nothing where the answer stands. The trials are of a
// smaller size, the answer's, and a larger one.
func Check(d Demand, r Reader, trials []Trial) []string {
	answer := Answers(d, r)[0]
	var wrong []string
	for _, t := range trials {
		predicted, stdErr := Predicted(d, r, t.Size, float64(t.Errors))
		seen, rare := t.Observed(), 3/float64(max(1, t.Errors)) // none of n bounds the rate by 3/n at 95 %
		switch {
		case t.Size >= answer.Size && seen > d.Loss+rare+3*stdErr:
			wrong = append(wrong, fmt.Sprintf("a queue of %d lost %.3g, more than the %.3g that it was to lose at most: the answer is too small", t.Size, seen, d.Loss))
		case (r.Every > 0 || r.Each > 0) && !Agrees(predicted, stdErr, seen, t.Errors):
			wrong = append(wrong, fmt.Sprintf("a queue of %d lost %.3g where %.3g ± %.1g was predicted: the reader is not the one that was assumed", t.Size, seen, predicted, stdErr))
		case r.Every == 0 && r.Each == 0 && t.Size < answer.Size && seen <= d.Loss:
			wrong = append(wrong, fmt.Sprintf("a queue of %d lost %.3g: the answer is larger than need be", t.Size, seen))
		}
	}
	return wrong
}

// Predicted returns the loss at a size with its standard error over n records;
// of a burst it is the most that can be lost.
func Predicted(d Demand, r Reader, size int, n float64) (loss, stdErr float64) {
	if r.Every > 0 {
		return PeriodicFlood(d.Rate(), r.Every, size, n, 1)
	}
	if r.Each > 0 {
		return MD1KFlood(d.Rate()*r.Each, size+1, n, 1)
	}
	need := Burst(d.Burst, d.Within, r.Stall, r.Rate)
	return math.Max(0, float64(need-size)/float64(max(1, d.Burst))), 0
}
