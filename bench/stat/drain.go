// SPDX-License-Identifier: MIT

package stat

import (
	"fmt"
	"math"
	"slices"

	"wqfan/bench/model"
	"wqfan/bench/result"
)

// Drain is how live readers of an arm kept up when they were behind.
type Drain struct {
	Rate  float64 // records per second of guest time, median of the cells
	Stall Stalls
	Cells int
}

// Stalls are the times, in seconds of guest time, in which something was queued
// and nothing read.
type Stalls struct {
	N             int
	P50, P99, Max float64
	Step          float64 // between two looks at the reader: a shorter stall is not seen, and a longer one may be longer by that
}

// DrainOf returns how fast the readers of an arm were in the cells of a run in
// which they lost errors, where they never waited, and how long they stood still.
func DrainOf(run *result.Run, arm string) (Drain, error) {
	var d Drain
	var rates, stalls []float64
	for i := range run.Cells {
		c := &run.Cells[i]
		t := c.Timeline
		if c.Arm != arm || c.Err != "" || c.Account.Lost() == 0 || t == nil || len(t.At) == 0 || t.At[len(t.At)-1] == 0 || c.Params.Every != 0 || c.Params.Each != 0 {
			continue
		}
		d.Cells++
		end := len(t.At) - 1
		rates = append(rates, float64(t.Read[end])/float64(t.At[end])*1e9)
		stalls = append(stalls, stallsOf(t)...)
		for j := range t.At[1:] {
			d.Stall.Step = max(d.Stall.Step, float64(t.At[j+1]-t.At[j])/1e9)
		}
	}
	if d.Cells == 0 {
		return d, fmt.Errorf("no live reader of %s lost anything in this run: `wqfan run loss` offers more than one can take", arm)
	}
	d.Rate = MedianOf(rates).Value
	if d.Stall.N = len(stalls); d.Stall.N > 0 {
		slices.Sort(stalls)
		rank := func(p float64) float64 { return stalls[int(math.Ceil(p*float64(len(stalls))))-1] }
		d.Stall.P50, d.Stall.P99, d.Stall.Max = rank(0.5), rank(0.99), rank(1)
	}
	return d, nil
}

// PredictedLoss is the share that queue theory says is lost of a flood like that,
// against a queue of a size, with the standard error over so many floods: for a
// reader that looks at times, or one that takes a time for each error, if it were
// so many times as fast as it is. Nothing is predicted of other readers, nor of one
// whose reads took several errors at once: ok is false.
func PredictedLoss(c *result.Cell, size int, speed, floods float64) (loss, stdErr float64, ok bool) {
	p := &c.Params
	if p.Schedule != "poisson" || p.Interval <= 0 || p.Queue == 0 || p.Errors == 0 {
		return 0, 0, false
	}
	rate := 1 / float64(p.Interval)
	switch {
	case p.Every > 0:
		loss, stdErr = model.PeriodicFlood(rate, float64(p.Every)/speed, size, float64(p.Errors), floods)
	case p.Each > 0 && c.Reader.Reads >= c.Reader.Records: // the one in its hands is in no queue
		loss, stdErr = model.MD1KFlood(rate*float64(p.Each)/speed, size+1, float64(p.Errors), floods)
	default:
		return 0, 0, false
	}
	return loss, stdErr, true
}

// stallsOf returns each stall of a timeline: from the last instant at which
// something was read, or nothing was queued, to the last at which it was not so.
func stallsOf(t *result.Timeline) (out []float64) {
	var since, stood int64
	var read uint64 // at the instant before
	end := func() {
		if stood > 0 {
			out = append(out, float64(stood)/1e9)
		}
		stood = 0
	}
	for j, at := range t.At {
		queued := t.Reported[j] - min(t.Reported[j], t.Read[j])
		if t.Lost != nil {
			queued -= min(queued, t.Lost[j])
		}
		if queued > 0 && t.Read[j] == read {
			stood = at - since
			continue
		}
		end()
		since, read = at, t.Read[j]
	}
	end()
	return out
}
