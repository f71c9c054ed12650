// SPDX-License-Identifier: MIT

package stat_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wqfan/bench/model"
	"wqfan/bench/result"
	"wqfan/bench/stat"
)

var update = flag.Bool("update", false, "write reports/experiments/README.md")

const experiments = "../../reports/experiments"

// take returns a run with some of the boots of another.
func take(run *result.Run, boots []result.Boot) []*result.Run {
	part := *run
	part.Boots = boots
	part.Cells = slices.DeleteFunc(slices.Clone(run.Cells), func(c result.Cell) bool {
		return !slices.ContainsFunc(boots, func(b result.Boot) bool { return b.ID == c.Boot })
	})
	return []*result.Run{&part}
}

// postedLater is what the quickest report costs that the worker posts, by the
// published run.
func postedLater(t *testing.T) int64 {
	t.Helper()
	run, err := result.Load("../../reports/linux-7.3.4-icount")
	if err != nil {
		t.Fatal(err)
	}
	least := int64(math.MaxInt64)
	for _, c := range run.Cells {
		for _, h := range c.Hists {
			if h.Name == "report-cost" && c.Arm == "wq-base-worker" && c.FS == "ext4" && c.Point == "queue=512 burst=100" {
				least = min(least, h.Min)
			}
		}
	}
	if least == math.MaxInt64 {
		t.Fatal("nothing was posted by the worker")
	}
	return least
}

// tally counts what many comparisons said of each metric.
type tally struct {
	order  []string
	counts map[string]map[stat.Verdict]int
	ratio  map[string][]float64
	floor  map[string][]float64
	worse  int // comparisons in which a metric is
	either int // comparisons in which a metric is worse or better
}

func (ta *tally) add(t *testing.T, old, new []*result.Run) {
	t.Helper()
	c, err := stat.Compare(old, new, stat.Least)
	if err != nil {
		t.Fatal(err)
	}
	if c.With(stat.Worse) > 0 {
		ta.worse++
	}
	if c.With(stat.Worse)+c.With(stat.Better) > 0 {
		ta.either++
	}
	for _, m := range c.Metrics {
		k := strings.Join([]string{m.Cell, m.Name}, " | ")
		if ta.counts[k] == nil {
			ta.order = append(ta.order, k)
			ta.counts[k] = map[stat.Verdict]int{}
		}
		ta.counts[k][m.Verdict]++
		if m.Ratio != nil {
			ta.ratio[k] = append(ta.ratio[k], m.Ratio.Value)
		}
		if m.Floor != nil {
			ta.floor[k] = append(ta.floor[k], 100**m.Floor)
		}
	}
}

func (ta *tally) table() string {
	var b strings.Builder
	fmt.Fprintln(&b, "| cell | metric | worse | better | ~ | new/old, smallest to largest | noise floor, median |")
	fmt.Fprintln(&b, "|---|---|--:|--:|--:|--:|--:|")
	equal := 0
	for _, k := range ta.order {
		r, n := ta.ratio[k], ta.counts[k]
		if len(r) == 0 || slices.Min(r) == 1 && slices.Max(r) == 1 {
			equal++
			continue
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %.4f to %.4f | %.2f %% |\n", k, n[stat.Worse], n[stat.Better], n[stat.Same],
			slices.Min(r), slices.Max(r), stat.MedianOf(ta.floor[k]).Value)
	}
	fmt.Fprintf(&b, "\n%d more metrics are equal in every boot.\n", equal)
	return b.String()
}

func newTally() *tally {
	return &tally{counts: map[string]map[stat.Verdict]int{}, ratio: map[string][]float64{}, floor: map[string][]float64{}}
}

// drained says, by how much faster than it was a reader is taken to look, in how
// many of the queues of the published run the loss that queue theory predicts is
// the one that was measured: a rate that is not the reader's has to be found out.
func drained(t *testing.T) string {
	t.Helper()
	run, err := result.Load("../../reports/linux-7.3.4-families")
	if err != nil {
		t.Fatal(err)
	}
	type queue struct{ arm, point string }
	looks, serves := map[queue][]result.Cell{}, map[queue][]result.Cell{}
	for _, c := range run.Cells {
		_, _, ok := stat.PredictedLoss(&c, 1, 1, 1)
		if c.Scenario == "sizing" && ok {
			all := looks
			if c.Params.Each > 0 {
				all = serves
			}
			q := queue{c.Arm, c.Point}
			all[q] = append(all[q], c)
		}
	}
	// explained says how many queues lost what is predicted for a size that is off.
	explained := func(all map[queue][]result.Cell, factor float64, off int) (agree int) {
		for _, cells := range all {
			var errors, lost uint64
			for i := range cells {
				errors, lost = errors+cells[i].Account.Injected, lost+cells[i].Account.Lost()
			}
			loss, stdErr, ok := stat.PredictedLoss(&cells[0], int(cells[0].Params.Queue)+off, factor, float64(len(cells)))
			if ok && model.Agrees(loss, stdErr, float64(lost)/float64(errors), errors) {
				agree++
			}
		}
		return agree
	}
	var b strings.Builder
	fmt.Fprintln(&b, "| times as fast | queues whose loss is the one predicted, with looks | with a time for each |")
	fmt.Fprintln(&b, "|--:|--:|--:|")
	for _, factor := range []float64{0.5, 0.8, 0.9, 0.95, 0.98, 1, 1.02, 1.05, 1.1, 1.25, 2} {
		fmt.Fprintf(&b, "| %g |", factor)
		for _, all := range []map[queue][]result.Cell{looks, serves} {
			agree := explained(all, factor, 0)
			fmt.Fprintf(&b, " %d of %d |", agree, len(all))
			switch {
			case len(all) == 0 || factor == 1 && agree < len(all):
				t.Errorf("the reader's own rate explains %d of %d queues", agree, len(all))
			case math.Abs(factor-1) > 0.04 && agree == len(all):
				t.Errorf("a rate %g times the reader's explains every queue", factor)
			}
		}
		fmt.Fprintln(&b)
	}
	// How large the queue is, they say less exactly.
	bounds := func(all map[queue][]result.Cell) (from, to int) {
		for from > -32 && explained(all, 1, from-1) == len(all) {
			from--
		}
		for to < 32 && explained(all, 1, to+1) == len(all) {
			to++
		}
		return from, to
	}
	looksFrom, looksTo := bounds(looks)
	servesFrom, servesTo := bounds(serves)
	fmt.Fprintf(&b, `
Of the size of the queues they say less: all with looks are explained as well by sizes that are off by %d to %+d, and all with a time for
each by %d to %+d, so that whether the record in the reader's hands takes a place is not decided by them.
`, looksFrom, looksTo, servesFrom, servesTo)
	return b.String()
}

// What wqfan compare finds and does not find in boots that were really measured:
// `make experiments` makes them. Of 100 comparisons of a kernel with itself at
// most one raises an alarm, and a posting path that takes 5 % longer is found in
// each of 20.
func TestExperiments(t *testing.T) {
	if testing.Short() {
		t.Skip("120 comparisons")
	}
	load := func(name string) *result.Run {
		run, err := result.Load(filepath.Join(experiments, name))
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	same, slower := load("same"), load("slower")
	rng := rand.New(rand.NewPCG(1, 1))
	const n = stat.Published
	shuffled := func(run *result.Run) []result.Boot {
		boots := slices.Clone(run.Boots)
		rng.Shuffle(len(boots), func(i, j int) { boots[i], boots[j] = boots[j], boots[i] })
		return boots
	}

	aa := newTally()
	for done := 0; done < 100; {
		boots := shuffled(same)
		for ; done < 100 && len(boots) >= 2*n; boots = boots[2*n:] {
			aa.add(t, take(same, boots[:n]), take(same, boots[n:2*n]))
			done++
		}
	}
	planted := newTally()
	for done := 0; done < 20; {
		old, new := shuffled(same), shuffled(slower)
		for ; done < 20 && len(old) >= n && len(new) >= n; old, new = old[n:], new[n:] {
			planted.add(t, take(same, old[:n]), take(slower, new[:n]))
			done++
		}
	}
	if aa.either > 1 {
		t.Errorf("in %d of 100 comparisons of a kernel with itself a metric is worse or better", aa.either)
	}
	if planted.worse != 20 {
		t.Errorf("the slow-down was found in %d of 20 tries", planted.worse)
	}

	var quick []int64 // report of each kernel that is posted
	for _, run := range []*result.Run{same, slower} {
		least := int64(math.MaxInt64)
		for _, c := range run.Cells {
			for _, h := range c.Hists {
				if h.Name == "report-cost" && c.Arm == "wq-base" {
					least = min(least, h.Min)
				}
			}
		}
		quick = append(quick, least)
	}
	later := postedLater(t)

	var b strings.Builder
	kernel := func(run *result.Run) string {
		k := run.Boots[0].Kernel
		return fmt.Sprintf("%s, series %s, configuration %s, %s", k.Release, k.Series, k.Config, k.CC)
	}
	fmt.Fprintf(&b, `# What wqfan compare finds, and what it does not

Made by `+"`make experiments`"+`: %d boots of a kernel in [same](same/run.json), %d in [slower](slower/run.json) of one whose posting path
[a patch](../../kernel-patches/test/test-2-slow-post.patch) makes longer. The kernels have the nine patches that leave the queue as
mainline has it. Both count instructions, on one CPU: what differs from boot to boot is the schedule of the errors and the order of the
arms, each drawn from a seed, and what follows from them.

Posting takes %[18]d instructions, the difference that it makes to a report whether it is posted at once or by fserror's worker later, when it
costs %[19]d ([icount](../linux-7.3.4-icount/run.json), wq-base-worker). With what the patch
adds, and with what the compiler makes of the whole, the quickest report that is posted costs %[14]d instructions instead of %[15]d. So what is to
be found is **%.1[16]f %% of posting** and %.1[17]f %% of a report.

- same: %[3]s
- slower: %[4]s
- %[5]s on %[6]s, wqfan %[7]s

The tables are made from the records again, byte for byte, by `+"`go test ./bench/stat -run Experiments`"+`, which fails where a claim does not hold.

## 100 comparisons of a kernel with itself

Of the %[1]d boots %[8]d are held against %[8]d others, drawn anew when they are used up: the comparisons share boots.
**In %[9]d of 100 a metric is worse or better**, in %[13]d worse, which is what ends with a regression's status; at most one may.

%[10]s
## 20 tries to find the slow-down

%[8]d boots against %[8]d, drawn likewise. **Found in %[11]d of 20.**

%[12]s
## Drain rates that are not the reader's

The loss that `+"`wqfan size`"+` predicts is held against the one that was measured, ten boots of each queue ([families](../linux-7.3.4-families/run.json),
sizing). A reader that is taken to be faster or slower than it was, with how often it looks or with each error, is found out
where not all of them agree.

%[20]s`, len(same.Boots), len(slower.Boots), kernel(same), kernel(slower), same.Host.QEMU, same.Host.CPU, same.Host.Revision,
		n, aa.either, aa.table(), planted.worse, planted.table(), aa.worse,
		quick[1], quick[0], 100*float64(quick[1]-quick[0])/float64(quick[0]-later), 100*float64(quick[1]-quick[0])/float64(quick[0]), quick[0]-later, later, drained(t))
	golden := filepath.Join(experiments, "README.md")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", golden, d)
	}
}
