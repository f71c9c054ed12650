// SPDX-License-Identifier: MIT

package bench

import (
	"context"
	"fmt"
	"math"
	"time"

	"wqfan/bench/flood"
	"wqfan/bench/result"
	"wqfan/bench/scenario"
	"wqfan/fserr"
)

// reached is the share of a rate that the injector must achieve for a trial to
// say something about it.
const reached = 0.95

// search runs the trials of a cell's search. Each closes its own account; the
// cell's is their sum.
func search(ctx context.Context, c scenario.Cell, t Task, out *result.Cell) error {
	s := c.Search
	found := &result.Search{Over: string(s.Over), Loss: s.Loss, Detail: s.Detail}
	out.Search = found
	trial := func(load float64) (passed bool, err error) {
		one := c
		one.Flood.Count = uint64(load)
		if s.Over == scenario.Rate {
			one.Flood.Schedule = flood.Fixed
			one.Flood.Interval = time.Duration(float64(time.Second) / load)
			one.Flood.Count = max(500, uint64(load*s.Trial.Seconds()))
		}
		var cell result.Cell
		if err := flooded(ctx, one, t, &cell); err != nil {
			return false, fmt.Errorf("%s %.0f: %w", s.Over, load, err)
		}
		add(&out.Account, cell.Account)
		lost := cell.Account.Lost()
		if s.Detail {
			lost += cell.Account.Coalesced
		}
		tr := result.Trial{Asked: load, Made: cell.Flood.Rate, Late: cell.Late(), Lost: float64(lost) / float64(cell.Account.Injected)}
		found.Trials = append(found.Trials, tr)
		return tr.Lost <= s.Loss && (s.Over != scenario.Rate || offered(tr)), nil
	}
	var err error
	found.Passed, found.Failed, err = bracket(s.From, s.To, s.Width, trial)
	for _, tr := range found.Trials {
		if tr.Asked == found.Failed && tr.Lost <= s.Loss {
			out.Warnings = append(out.Warnings, "the upper end of the bracket is what the injector can offer, not what the channel can take")
		}
	}
	return err
}

// offered says that the injector made the rate that it was asked for, in time: a
// trial in which it did not proves a loss, but not that there is none.
func offered(tr result.Trial) bool { return !tr.Late && tr.Made >= reached*tr.Asked }

// bracket halves the ratio of the least load that failed to the most that
// passed until they are within width of each other. It returns 0 for what there
// is none of.
func bracket(from, to, width float64, trial func(load float64) (passed bool, err error)) (passed, failed float64, err error) {
	for load := to; ; load = math.Round(math.Sqrt(max(passed, from/2) * failed)) {
		switch ok, err := trial(load); {
		case err != nil:
			return passed, failed, err
		case ok:
			passed = load
		default:
			failed = load
		}
		switch {
		case failed == 0, failed <= from:
			return passed, failed, nil
		case passed > 0 && (failed <= passed*(1+width) || failed-passed <= 1):
			return passed, failed, nil
		}
	}
}

func add(sum *fserr.Account, a fserr.Account) {
	sum.Injected += a.Injected
	sum.Refused += a.Refused
	sum.Detailed += a.Detailed
	sum.Coalesced += a.Coalesced
	sum.Filtered += a.Filtered
	sum.Signalled += a.Signalled
	sum.Silent += a.Silent
}
