// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"wqfan/bench/campaign"
	"wqfan/bench/guest"
	"wqfan/bench/kernel"
	"wqfan/bench/result"
	"wqfan/bench/stat"
)

// bisectCmd is `wqfan bisect`.
type bisectCmd struct {
	Good       string `arg:"" help:"How many patches of the series are applied where the metric is as it should be: a number, or a bzImage in the cache that has so many."`
	Bad        string `arg:"" help:"The same of the kernel where it has moved."`
	guestFlags `embed:""`
	Series     string `placeholder:"DIR" type:"existingdir" help:"Series to use instead of the one in this program: *.patch and config/."`
	Metric     string `placeholder:"NAME" help:"Metric to follow, as 'wqfan compare' calls it: 'p50 report-cost'. Without it the one that moved most."`
	Jobs       int    `short:"j" placeholder:"N" help:"Jobs of make; one more than there are CPUs by default."`
	Out        string `required:"" placeholder:"DIR" help:"Directory of the records, one for each kernel; those that are whole are not made again."`
}

// Help says how many boots it takes.
func (bisectCmd) Help() string {
	return "Measures the two kernels, takes a metric that differs, and then halves the patches between them. --boots 10 boots a kernel are taken where no other number is given; choose few cells with --cell.\n\n" +
		"Exit statuses: 0 found, 2 no metric differs, or the kernels cannot be compared."
}

// Run bisects.
func (c *bisectCmd) Run(ctx context.Context) error {
	if c.Boots == 1 {
		c.Boots = stat.Published
	}
	if err := c.oneKernel("each step"); err != nil {
		return usage(err)
	}
	o, err := c.options()
	if err != nil {
		return usage(err)
	}
	b := campaign.Bisection{Metric: c.Metric}
	if b.Good, err = patches(c.Good); err != nil {
		return usage(err)
	}
	if b.Bad, err = patches(c.Bad); err != nil {
		return usage(err)
	}
	if b.Good < 1 || b.Good >= b.Bad {
		return usage(fmt.Errorf("from %d to %d patches: nothing to bisect", b.Good, b.Bad))
	}
	var names []string
	b.Measure = func(n int) (*result.Run, error) {
		im, err := kernel.Build(ctx, kernel.Options{Source: c.Source, SeriesDir: c.Series, Upto: n, Jobs: c.Jobs, Progress: kernel.NewProgress(os.Stderr)})
		if err != nil {
			return nil, guest.OnHost(ctx, err)
		}
		if len(im.Patches) > len(names) {
			names = im.Patches
		}
		return measure(ctx, o, im, filepath.Join(c.Out, fmt.Sprintf("patches-%d", n)))
	}
	b.Step = func(n int, m stat.Metric) {
		ratio := "from nothing"
		if m.Ratio != nil {
			ratio = m.Ratio.String()
		}
		fmt.Fprintf(stdout, "%d patches: %s of %s is %s: %s\n", n, m.Name, m.Cell, ratio, m.Verdict)
	}
	n, m, err := b.Run()
	if errors.Is(err, campaign.ErrUnmoved) || errors.As(err, new(*stat.NotComparableError)) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s moved %s of %s: %v %s before, %v with it\n", names[n-1], m.Name, m.Cell, m.Old, m.Unit, m.New)
	return nil
}

// patches reads how many patches a kernel has.
func patches(s string) (int, error) {
	if n, err := strconv.Atoi(s); err == nil {
		return n, nil
	}
	im, err := kernel.Describe(s)
	if err != nil {
		return 0, fmt.Errorf("%s is neither a number of patches nor a kernel in the cache: %w", s, err)
	}
	return len(im.Patches), nil
}

// measure runs the plan on a kernel, unless dir has the whole record of that.
func measure(ctx context.Context, o campaign.Options, im *kernel.Image, dir string) (*result.Run, error) {
	if run, err := result.Load(dir); err == nil && run.Complete && len(run.Cells) == o.Plan.Cells() && run.Boots[0].Kernel.Series == im.Series {
		fmt.Fprintf(os.Stderr, "%s: measured already\n", dir)
		return run, nil
	}
	for _, v := range o.Plan.Kernels() {
		o.Kernels[v] = campaign.Kernel{Image: im.Path, Record: recordOf(im)}
	}
	o.Dir = dir
	show := newMeter(o.Plan.Cells())
	o.Say, o.Step = show.say, show.step
	_, err := campaign.Run(ctx, o)
	show.finish()
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w (move this one away: it is not whole, or of another plan or kernel; those beside it are kept)", err)
	}
	if err != nil {
		return nil, err
	}
	return result.Load(dir)
}
