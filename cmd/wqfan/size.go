// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"wqfan/bench/campaign"
	"wqfan/bench/guest"
	"wqfan/bench/kernel"
	"wqfan/bench/model"
	"wqfan/bench/result"
	"wqfan/bench/scenario"
	"wqfan/bench/stat"
)

type sizeCmd struct {
	Burst  int           `help:"Errors that come at once, or nearly." required:"" placeholder:"N"`
	Within time.Duration `help:"Guest time in which they come." required:"" placeholder:"T"`
	Loss   float64       `help:"Share of them that may be lost, below 1." required:"" placeholder:"SHARE"`
	Arm    string        `help:"Whose queue: wq, or wq-base for mainline's." enum:"wq,wq-base" default:"wq"`
	From   string        `help:"Take the reader's drain rate and its stalls, of which the longest counts, from the live readers of this run." type:"existingdir" placeholder:"DIR"`
	Drain  float64       `help:"Records that the reader takes in a second of guest time, instead of the run's." placeholder:"RATE"`
	Stall  time.Duration `help:"The longest that the reader stands still, instead of the run's." placeholder:"D"`
	Every  time.Duration `help:"The reader looks that often, and then takes all there is." placeholder:"D"`
	Each   time.Duration `help:"The reader takes one record after the other, and so long for each." placeholder:"D"`
	Check  bool          `help:"Try half the answer, the answer and twice the answer in a guest that counts instructions. Exits with 1 where they contradict it."`
	Kernel string        `help:"Boot this bzImage for the check instead of building one." type:"existingfile" placeholder:"FILE"`
	Out    string        `help:"Directory of the check's record; a new one below reports/local where empty." placeholder:"DIR"`
}

// notesOfAPage is what watch_queue rounds sizes up to
// (WATCH_QUEUE_NOTES_PER_PAGE, kernel/watch_queue.c), and mostNotes its limit in
// mainline (WATCH_QUEUE_NOTES_MAX).
const (
	notesOfAPage = 32
	mostNotes    = 512
)

// seriesNotes is as far as the series' fs.watch_queue_max_notes goes, and
// mostErrors what the injector keeps a log of.
const (
	seriesNotes = 1 << 20
	mostErrors  = 4_000_000
)

// What a reader that takes a time for each loses is predicted departure by
// departure ([model.MD1KFlood]): so many errors at least say something of a slower
// reader, and errors times notes are predicted in seconds.
const (
	leastServed = 20_000
	mostServed  = 100_000_000
)

// bursts is how often a check tries each size.
const bursts = 50

func (s *sizeCmd) Run(ctx context.Context) error {
	if s.Burst < 1 || s.Within <= 0 || !(s.Loss >= 0 && s.Loss < 1) || !(s.Drain >= 0 && s.Drain <= math.MaxFloat64) || s.Stall < 0 || s.Every < 0 || s.Each < 0 || s.Each > 0 && (s.Every > 0 || s.Drain > 0 || s.From != "") {
		return usage(errors.New("--burst and --within are above zero, --loss is a share below 1, nothing is negative or endless, and --each is all of a reader"))
	}
	var stalls stat.Stalls // of the run, where the longest is taken
	d := model.Demand{Burst: s.Burst, Within: s.Within.Seconds(), Loss: s.Loss}
	r := model.Reader{Every: s.Every.Seconds(), Each: s.Each.Seconds(), Rate: s.Drain, Stall: s.Stall.Seconds()}
	if s.From != "" {
		run, err := result.Load(s.From)
		if err != nil {
			return &guest.Error{Kind: guest.RunnerFailed, Err: err}
		}
		drain, err := stat.DrainOf(run, s.Arm)
		if err != nil {
			return usage(err)
		}
		taken := "the longest"
		if s.Stall == 0 {
			r.Stall, stalls = drain.Stall.Max, drain.Stall
		} else {
			taken = fmt.Sprintf("the %v that --stall says", s.Stall)
		}
		if r.Rate == 0 {
			r.Rate = drain.Rate
		}
		fmt.Fprintf(stdout, "%s, %d cells of %s in which the reader was behind: it took %.0f records a second, and %s. The burst bound takes %s.\n",
			s.From, drain.Cells, s.Arm, drain.Rate, stood(drain.Stall), taken)
	}
	answers := model.Answers(d, r)
	if len(answers) == 0 {
		return usage(errors.New("nothing is known of the reader: --from a run, --drain and --stall, --every or --each"))
	}
	for _, a := range answers {
		fmt.Fprintf(stdout, "%s: %s. Assumed: %s.\n", a.Model, size(a.Size), a.Assumes)
	}
	if stalls.N > 0 && s.Every == 0 && s.Each == 0 {
		bound := func(stall float64) string { return size(model.BurstSize(d.Burst, d.Within, stall, r.Rate, d.Loss)) }
		fmt.Fprintf(stdout, "The burst bound for a stall that is not the longest: %s for that at p50, %s for that at p99. A burst that meets a longer one loses more.\n",
			bound(stalls.P50), bound(stalls.P99))
	}
	k := answers[0].Size
	if k > seriesNotes {
		fmt.Fprintf(stdout, "So: not reachable with mainline's %d notes, nor with the series' %d.\n", mostNotes, seriesNotes)
		if s.Check {
			return usage(errors.New("there is nothing to check"))
		}
		return nil
	}
	k = roundUp(k)
	reach := "reachable with"
	if k > mostNotes {
		reach = "not reachable with"
	}
	fmt.Fprintf(stdout, "So: a queue of %d notes, %s mainline's %d.\n", k, reach, mostNotes)
	if !s.Check {
		return nil
	}
	if 2*k > seriesNotes {
		return usage(fmt.Errorf("%d notes cannot be tried: the series' queue has %d at most", 2*k, seriesNotes))
	}
	if s.Burst > mostErrors/bursts {
		return usage(fmt.Errorf("--burst %d: a check floods with %d of them, of at most %d errors together", s.Burst, bursts, mostErrors))
	}
	if s.Each > 0 && s.errors()*2*k > mostServed {
		return usage(fmt.Errorf("%d errors at %d notes: wqfan predicts what a reader loses that takes a time for each for at most %d errors times notes", s.errors(), 2*k, mostServed))
	}
	return s.check(ctx, d, r, k)
}

// errors is how many a check floods with.
func (s *sizeCmd) errors() int {
	if s.Each > 0 {
		return max(bursts*s.Burst, leastServed)
	}
	return bursts * s.Burst
}

// check tries the answer in a guest.
func (s *sizeCmd) check(ctx context.Context, d model.Demand, r model.Reader, k int) error {
	if s.Arm == "wq-base" && 2*k > mostNotes {
		return usage(fmt.Errorf("%d notes cannot be tried: mainline's queue has %d at most; --arm wq has more", 2*k, mostNotes))
	}
	sizes := []int{k, roundUp(2 * k)}
	if half := roundUp(k / 2); half < k {
		sizes = append([]int{half}, sizes...)
	}
	apart := s.Within / time.Duration(s.Burst)
	plan, err := scenario.Sizes(s.Arm, sizes, uint64(s.errors()), uint64(s.Burst), apart, s.Every, s.Each)
	if err != nil {
		return usage(err)
	}
	v := plan.Boots[0].Kernel
	o := campaign.Options{Plan: plan, Kernels: map[scenario.Variant]campaign.Kernel{}, Name: "size",
		Mode: result.ICount, MemMiB: 1024, Dir: s.Out, Parent: "reports/local", Command: os.Args[1:], Timeout: 30 * time.Minute}
	if s.Kernel != "" {
		o.Kernels[v] = campaign.Kernel{Image: s.Kernel, Record: result.Kernel{Variant: "given"}}
	}
	if err := o.Check(ctx); err != nil {
		return err
	}
	if s.Kernel == "" {
		im, err := kernel.Build(ctx, kernel.Options{Variant: string(v), Progress: kernel.NewProgress(os.Stderr)})
		if err != nil {
			return guest.OnHost(ctx, err)
		}
		o.Kernels[v] = campaign.Kernel{Image: im.Path, Record: recordOf(im)}
	}
	show := newMeter(plan.Cells())
	o.Say, o.Step = show.say, show.step
	dir, err := campaign.Run(ctx, o)
	show.finish()
	if err != nil {
		return ended(ctx, dir, err)
	}
	run, err := result.Load(dir)
	if err != nil {
		return &guest.Error{Kind: guest.RunnerFailed, Err: err}
	}
	var trials []model.Trial
	for i := range run.Cells {
		c := &run.Cells[i]
		t := model.Trial{Size: int(c.Params.Queue), Errors: c.Account.Injected, Lost: c.Account.Lost()}
		predicted, stdErr := model.Predicted(d, r, t.Size, float64(t.Errors))
		fmt.Fprintf(stdout, "queue %5d: lost %.4f of %d, predicted %.4f ± %.4f\n", t.Size, t.Observed(), t.Errors, predicted, stdErr)
		trials = append(trials, t)
	}
	if err := finish(ctx, dir); err != nil {
		return err
	}
	slower := model.Reader{Each: 1.25 * r.Each}
	if s.Each > 0 && len(model.Check(d, slower, trials)) == 0 {
		return &guest.Error{Kind: guest.Failed, Msg: "the trials tell nothing: they bear out a reader that takes a quarter longer as well"}
	}
	if wrong := model.Check(d, r, trials); len(wrong) > 0 {
		return &guest.Error{Kind: guest.Failed, Msg: strings.Join(wrong, "; ")}
	}
	if s.Each > 0 {
		fmt.Fprintf(stdout, "The answer stands, as far as %d errors in one boot can tell: a reader that took a quarter longer would have been found out.\n", s.errors())
		return nil
	}
	// A burst, or what comes between two looks, is what overflows a queue or not.
	times := float64(bursts)
	if s.Every > 0 {
		times = max(1, float64(bursts*s.Burst)/(d.Rate()*r.Every))
	}
	fmt.Fprintf(stdout, "The answer stands, as far as %.0f fillings of the queue in one boot can tell: what happens in fewer than %.2g %% of them need not have happened (95 %%).\n", times, 100*min(1, 3/times))
	return nil
}

// roundUp is the size that watch_queue makes of k notes.
func roundUp(k int) int { return max(1, (k+notesOfAPage-1)/notesOfAPage) * notesOfAPage }

func size(k int) string {
	if k == model.Unreachable {
		return "no queue is large enough"
	}
	return fmt.Sprintf("%d records", k)
}

// stood says how long a reader stood still.
func stood(st stat.Stalls) string {
	if st.N == 0 {
		return fmt.Sprintf("never stood still for %v", seconds(st.Step))
	}
	return fmt.Sprintf("stood still %d times, for %v (p50), %v (p99), %v at most, each to within %v",
		st.N, seconds(st.P50), seconds(st.P99), seconds(st.Max), seconds(st.Step))
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Microsecond)
}
