// SPDX-License-Identifier: MIT

package campaign

import (
	"strings"
	"testing"
	"time"

	"wqfan/bench/model"
	"wqfan/bench/result"
	"wqfan/bench/scenario"
	"wqfan/bench/stat"
)

// What a queue loses is what queue theory says, of a reader that looks at times
// and of one that takes a time for each, and a drain rate that is not the reader's
// is found out: taken to be a quarter slower or a fifth faster, the same trials
// contradict the answer.
func TestGuestSize(t *testing.T) {
	const every, each = 20 * time.Millisecond, 100 * time.Microsecond
	for _, tt := range []struct {
		name   string
		demand model.Demand
		reader model.Reader
		sizes  []int
		plan   func(sizes []int) (scenario.Plan, error)
	}{
		{"looks", model.Demand{Burst: 200, Within: every.Seconds(), Loss: 0.005}, model.Reader{Every: every.Seconds()}, []int{128, 224, 448}, func(sizes []int) (scenario.Plan, error) {
			return scenario.Sizes("wq-base", sizes, 10_000, 200, every/200, every, 0)
		}},
		{"each", model.Demand{Burst: 1, Within: (95 * time.Microsecond).Seconds(), Loss: 0.1}, model.Reader{Each: each.Seconds()}, []int{32, 64, 128}, func(sizes []int) (scenario.Plan, error) {
			return scenario.Sizes("wq-base", sizes, 20_000, 1, 95*time.Microsecond, 0, each)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t, "", scenario.Select{Kernels: []scenario.Variant{scenario.Base}, Scenarios: []string{scenario.Sizing}, CPUs: []int{1}})
			var err error
			if o.Plan, err = tt.plan(tt.sizes); err != nil {
				t.Fatal(err)
			}
			o.Mode = result.ICount
			run, err := record(t, t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range run.Cells {
				if c.Params.Each > 0 && c.Reader.Reads < c.Reader.Records {
					t.Errorf("%s: %d errors in %d reads, which is not one after the other", c.ID, c.Reader.Records, c.Reader.Reads)
				}
			}
			trials := trialsOf(run)
			t.Logf("%+v", trials)
			if wrong := model.Check(tt.demand, tt.reader, trials); len(wrong) > 0 {
				t.Error(strings.Join(wrong, "; "))
			}
			for _, factor := range []float64{0.5, 0.8, 1.25, 2} {
				off := model.Reader{Every: tt.reader.Every * factor, Each: tt.reader.Each * factor}
				if wrong := model.Check(tt.demand, off, trials); len(wrong) == 0 {
					t.Errorf("a reader that takes %g times as long stands", factor)
				}
			}
		})
	}
}

// trialsOf is what became of each queue.
func trialsOf(run *result.Run) (trials []model.Trial) {
	for _, c := range run.Cells {
		trials = append(trials, model.Trial{Size: int(c.Params.Queue), Errors: c.Account.Injected, Lost: c.Account.Lost()})
	}
	return trials
}

// The queue that a burst needs, from what a live reader was seen to drain and to
// stand still: it loses nothing, half of it does, and a reader that drains a
// tenth of that, or twice as much without a pause, is found out by the trials.
func TestGuestSizeOfBurst(t *testing.T) {
	o := options(t, "", scenario.Select{Kernels: []scenario.Variant{scenario.Patched}, Scenarios: []string{scenario.Loss}, Arms: []string{"wq"}, CPUs: []int{1}})
	o.Mode = result.ICount
	run, err := record(t, t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	drain, err := stat.DrainOf(run, "wq")
	if err != nil {
		t.Fatal(err)
	}
	const burst, within = 2000, 2 * time.Millisecond
	d := model.Demand{Burst: burst, Within: within.Seconds()}
	reader := model.Reader{Rate: drain.Rate, Stall: drain.Stall.Max}
	k := (model.Answers(d, reader)[0].Size + 31) / 32 * 32
	t.Logf("%+v needs %d", reader, k)
	if o.Plan, err = scenario.Sizes("wq", []int{k / 2, k, 2 * k}, 20*burst, burst, within/burst, 0, 0); err != nil {
		t.Fatal(err)
	}
	o.Dir += "-sizes"
	if run, err = record(t, t.Context(), o); err != nil {
		t.Fatal(err)
	}
	trials := trialsOf(run)
	t.Logf("%+v", trials)
	if wrong := model.Check(d, reader, trials); len(wrong) > 0 {
		t.Error(strings.Join(wrong, "; "))
	}
	for _, off := range []model.Reader{{Rate: reader.Rate / 10, Stall: reader.Stall}, {Rate: 2 * reader.Rate}} {
		if wrong := model.Check(d, off, trials); len(wrong) == 0 {
			t.Errorf("%+v stands", off)
		}
	}
}
