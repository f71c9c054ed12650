// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

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
		return fmt.Errorf("write the comparison: %w", err)
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
	for dir := range strings.SplitSeq(dirs, ",") {
		r, err := result.Load(dir)
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, nil
}
