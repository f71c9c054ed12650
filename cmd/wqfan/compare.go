// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wqfan/bench/guest"
	"wqfan/bench/report"
	"wqfan/bench/result"
	"wqfan/bench/stat"
)

// compareCmd is `wqfan compare`.
type compareCmd struct {
	Old    string  `arg:"" help:"Directory of a run, or several joined by commas."`
	New    string  `arg:"" help:"The same of another kernel."`
	Least  float64 `help:"Smallest effect that counts, in percent; 0 for every instruction." default:"1"`
	Format string  `help:"text, markdown or json." enum:"text,markdown,json" default:"text"`
}

// Help says what the exit statuses mean.
func (compareCmd) Help() string {
	return "Holds the boots of NEW against those of OLD, metric by metric. A metric is worse or better where its ratio is beyond the noise floor of boots of the same kernel, " +
		"at least --least percent, the interval of the ratio leaves out 1, and the difference is significant among so many metrics. Cells that are invalid on both sides, " +
		"because more is offered than the injector can keep time for, are shown and do not count; errors lost silently always do.\n\n" +
		"Exit statuses: 0 the same or better, 1 a regression, 2 not comparable or not decided: stderr says why."
}

// Run compares.
func (c *compareCmd) Run() error {
	if !(c.Least >= 0 && c.Least <= math.MaxFloat64) {
		return usage(fmt.Errorf("--least %g: a percentage, not negative and not endless", c.Least))
	}
	old, err := loadRuns(c.Old)
	if err != nil {
		return usage(err)
	}
	runs, err := loadRuns(c.New)
	if err != nil {
		return usage(err)
	}
	cmp, err := stat.Compare(old, runs, c.Least/100)
	var no *stat.NotComparableError
	if errors.As(err, &no) && c.Format == "json" {
		return usage(errors.Join(err, report.CompareJSON(os.Stdout, nil, no)))
	}
	if err != nil {
		return usage(err)
	}
	write := map[string]func() error{
		"text":     func() error { return report.CompareText(os.Stdout, cmp) },
		"markdown": func() error { return report.CompareMarkdown(os.Stdout, cmp) },
		"json":     func() error { return report.CompareJSON(os.Stdout, cmp, nil) },
	}
	if err := write[c.Format](); err != nil {
		return &guest.Error{Kind: guest.RunnerFailed, Err: fmt.Errorf("write the comparison: %w", err)}
	}
	if n := cmp.With(stat.Worse); n > 0 {
		return fmt.Errorf("a regression: %d of %d metrics are worse", n, len(cmp.Metrics))
	}
	if n := cmp.With(stat.Undecided); n > 0 {
		return usage(fmt.Errorf("not decided: %d of %d metrics; their notes say why", n, len(cmp.Metrics)))
	}
	return nil
}

func loadRuns(dirs string) ([]*result.Run, error) {
	var runs []*result.Run
	var seen []os.FileInfo
	for dir := range strings.SplitSeq(dirs, ",") {
		if dir == "" {
			return nil, fmt.Errorf("%q names a run by nothing: directories, joined by commas and no spaces", dirs)
		}
		r, err := result.Load(dir)
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(filepath.Join(dir, result.RunFile))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(seen, func(i os.FileInfo) bool { return os.SameFile(i, info) }) {
			return nil, fmt.Errorf("%s is named twice: its boots would count twice", dir)
		}
		runs, seen = append(runs, r), append(seen, info)
	}
	return runs, nil
}
