// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"slices"
	"strings"

	"wqfan/bench/result"
	"wqfan/bench/stat"
)

// spread writes a count that repeated boots may disagree about.
func (g *group) spread(f func(*result.Cell) uint64) string {
	lo, hi := f(&g.cells[0]), f(&g.cells[0])
	for i := range g.cells {
		v := f(&g.cells[i])
		lo, hi = min(lo, v), max(hi, v)
	}
	if lo == hi {
		return count(lo)
	}
	return count(lo) + "–" + count(hi)
}

func detailed(c *result.Cell) uint64  { return c.Account.Detailed }
func coalesced(c *result.Cell) uint64 { return c.Account.Coalesced }
func lostTold(c *result.Cell) uint64  { return c.Account.Signalled }
func lostMute(c *result.Cell) uint64  { return c.Account.Silent }
func elsewhere(c *result.Cell) uint64 { return c.Reader.Elsewhere }

// percentile writes a percentile of a histogram over all boots.
func (g *group) percentile(name string, p float64) string {
	h := g.hist(name)
	if h == nil {
		return "–"
	}
	return figures3(float64(h.Data.ValueAtPercentile(p)))
}

// withInterval writes a median over boots, with its interval where the boots
// are enough for one.
func withInterval(m stat.Median) string {
	switch {
	case m.N < 2:
		return figures3(m.Value)
	case m.Warning != "":
		return fmt.Sprintf("%s (%d boots: %s to %s)", figures3(m.Value), m.N, figures3(m.Lo), figures3(m.Hi))
	}
	return fmt.Sprintf("%s (95 %%: %s to %s)", figures3(m.Value), figures3(m.Lo), figures3(m.Hi))
}

// compact is withInterval for a column of many: the interval stands only where
// it is not the median itself, to three figures.
func compact(m stat.Median) string {
	v, lo, hi := figures3(m.Value), figures3(m.Lo), figures3(m.Hi)
	if m.N < 2 || lo == v && hi == v {
		return v
	}
	return fmt.Sprintf("%s [%s, %s]", v, lo, hi)
}

// compactShare is compact for a share of the errors, in per cent.
func (g *group) compactShare(f func(*result.Cell) uint64) string {
	m := g.median(func(c *result.Cell) float64 { return 100 * part(float64(f(c)), total(c)) })
	s, lo, hi := percent(m.Value), percent(m.Lo), percent(m.Hi)
	if lo == s && hi == s {
		return s
	}
	return fmt.Sprintf("%s [%s, %s]", s, lo, hi)
}

// What [compact] writes.
const compactNote = "A number is the median of the boots, which is that of one of them; behind it in brackets is its interval (95 %, or all there are of fewer than six boots), where that is not the same three figures."

// upTo returns what show makes of the last group before the first one that is
// not ok; groups are in the order of their burst or rate.
func upTo(series []*group, ok func(*group) bool, show func(*group) string) string {
	i := slices.IndexFunc(series, func(g *group) bool { return !ok(g) })
	switch {
	case len(series) == 0:
		return "–"
	case i == 0:
		return "none"
	case i < 0: // the end of what was tried
		return "≥ " + show(series[len(series)-1])
	}
	return show(series[i-1])
}

// lastRate returns the highest rate before the first that is not ok at which the
// injector was in time, or nil. An injector that fell short or was late proves a
// loss, but not that there is none: a rate of that kind between the last that
// passed and the first that did not leaves the former as a bound, as the end of
// what was tried does.
func lastRate(series []*group, ok func(*group) bool) (last *group, open bool) {
	fails := slices.IndexFunc(series, func(g *group) bool { return !ok(g) })
	if fails < 0 {
		fails = len(series)
	}
	passed := filter(series[:fails], func(g *group) bool { return !g.late() })
	if len(passed) == 0 {
		return nil, false
	}
	last = passed[len(passed)-1]
	return last, fails == len(series) || series[fails-1] != last
}

// rateUpTo is upTo for rates.
func rateUpTo(series []*group, ok func(*group) bool) string {
	last, open := lastRate(series, ok)
	switch {
	case last == nil && len(series) > 0 && !ok(series[0]):
		return "none"
	case last == nil:
		return "–"
	case open:
		return "≥ " + figures3(last.asked())
	}
	return figures3(last.asked())
}

// rateWords says what rates of [rateUpTo] mean that are no numbers.
func rateWords(rates []string) string {
	var out []string
	if slices.Contains(rates, "none") {
		out = append(out, "None: not even the lowest rate tried.")
	}
	if slices.Contains(rates, "–") {
		out = append(out, "–: not known, for at no rate that passed was the injector in time.")
	}
	return strings.Join(out, " ")
}

// bold makes a headline of a number that is not zero.
func bold(s string) string {
	if s == "0" {
		return s
	}
	return "**" + s + "**"
}

// whereAll names several places in few words.
func whereAll(ps []place) string {
	var fs, cpus []string
	pairs := map[string]bool{}
	for _, p := range ps {
		c := fmt.Sprint(p.cpus)
		if !slices.Contains(fs, p.fs) {
			fs = append(fs, p.fs)
		}
		if !slices.Contains(cpus, c) {
			cpus = append(cpus, c)
		}
		pairs[p.fs+c] = true
	}
	unit := " CPUs"
	if len(cpus) == 1 && cpus[0] == "1" {
		unit = " CPU"
	}
	if len(pairs) == len(fs)*len(cpus) {
		return strings.Join(fs, ", ") + "; " + strings.Join(cpus, ", ") + unit
	}
	var out []string
	for _, p := range ps {
		out = append(out, p.String())
	}
	return strings.Join(out, "; ")
}

// mergeRows joins rows that differ only in where they were measured, which is
// the column at.
type placedRow struct {
	places []place
	cells  []string
}

func mergeRows(rows []placedRow, at int) [][]string {
	var merged []placedRow
	for _, r := range rows {
		i := slices.IndexFunc(merged, func(m placedRow) bool { return slices.Equal(m.cells, r.cells) })
		if i < 0 {
			merged = append(merged, r)
			continue
		}
		merged[i].places = append(merged[i].places, r.places...)
	}
	var out [][]string
	for _, m := range merged {
		out = append(out, slices.Insert(slices.Clone(m.cells), at, whereAll(m.places)))
	}
	return out
}

// sample writes how many boots are behind each row: n=1.
func sample(gs []*group) string {
	lo, hi := boots(gs)
	if lo == hi {
		return fmt.Sprintf("n=%d", hi)
	}
	return fmt.Sprintf("n=%d to %d", lo, hi)
}

// bootsNote says, for a table, what its numbers of boots are good for.
func bootsNote(gs []*group) string {
	if _, hi := boots(gs); hi == 1 {
		return sample(gs) + ": one boot, no interval."
	}
	return sample(gs) + " boots."
}

// readers names who read while the groups' cells ran.
func readers(gs []*group) string {
	names := distinct(gs, func(g *group) string { return oneLine(g.first().Params.Reader) }, strings.Compare)
	return strings.Join(names, "; ")
}

// What a column cannot say about itself.
const (
	detailNote = "\"In detail\" is as much as the channel's record holds: fan's has errno, inode and generation, but no class, position, length or kernel time; watch_queue's has all of them."
	countNote  = "An error known only by count is not lost."
	silentNote = "\"Lost, told\": afterwards the reader read that something was lost; \"elsewhere\" of these are told of, but not between the records around them: earlier or later in the stream. \"Lost silently\": after the last such record was read."
)

// told marks a number of signalled losses that rests on the channel's guarantee.
func told(s string, gs ...*group) string {
	if slices.ContainsFunc(gs, (*group).guaranteed) {
		return s + " †"
	}
	return s
}

// guarantee explains the mark below a table that has it.
func (d *doc) guarantee(gs []*group) {
	switch {
	case !slices.ContainsFunc(gs, (*group).guaranteed):
		return
	case d.said:
		d.para("† By guarantee, as above.")
		return
	}
	d.said = true
	d.para("† By guarantee: there are no records with sequence numbers, or several workers delivered them, so that a loss has no place between two of them. " +
		"fanotify queues FAN_Q_OVERFLOW at the first drop, watch_queue marks the newest note of a full ring, and neither forgets before it is read. " +
		"Every loss without the mark was held against a count, or against the time at which the last signal was read.")
}
