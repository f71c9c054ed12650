// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"slices"
	"strings"

	"wqfan/bench/result"
	"wqfan/bench/scenario"
	"wqfan/bench/stat"
)

// quantity is a median that was measured: one histogram of one arm.
type quantity struct{ scenario, variant, arm, hist string }

// target is a figure of the prototype's beside what it is to reach: a factor of
// a yardstick, or a number of instructions.
type target struct {
	what   string
	figure quantity
	factor float64
	of     quantity // zero: factor is the target itself
	less   quantity // what the figure holds of the measurement's own; zero: nothing
	rests  string   // what it rests on that it is met
}

var (
	wqRead  = quantity{targets, "patched", "wq", "report+read"}
	fanRead = quantity{targets, "patched", "fan", reportRead}
	wqCost  = quantity{targets, "patched", "wq", "report-in-burst"}
	unheard = quantity{targets, "patched", "none", "report-in-burst"}

	wqWaits  = quantity{targets, "patched", "wq", reportRead}
	fanPlain = quantity{targets, "patched", "fan", "report+read"}
)

var targetList = []target{
	{what: "one report and the read of its record, against a pipe", figure: wqRead, factor: 1.05, of: quantity{targets, "patched", "wq", "pipe-write+read"}},
	{what: "the same, against fan by way of its worker", figure: wqRead, factor: 0.2, of: fanRead, rests: "as it was set: fan's reader waits, and wq's does not"},
	{what: "like for like, both readers wait", figure: wqWaits, factor: 0.2, of: fanRead},
	{what: "like for like, neither waits", figure: wqRead, factor: 0.2, of: fanPlain},
	{what: "the cost to the reporter, one watcher", figure: wqCost, factor: 300, less: unheard},
	{what: "ext4 errors in a row that nobody watches, against stock", figure: quantity{price, "patched", "none", "ext4-error"}, factor: 1.01, of: quantity{price, "stock", "none", "ext4-error"}},
	{what: "a key updated by name that nobody watches, against stock", figure: quantity{price, "patched", "none", "key-update"}, factor: 1.01, of: quantity{price, "stock", "none", "key-update"}},
	{what: "a record of wq decoded in Go, against a bare C loop", figure: quantity{decode, "patched", "wq", "decode"}, factor: 1.05, of: quantity{decode, "patched", "wq", "decode-bare-C"}},
	{what: "a record of fan decoded in Go, against a bare C loop", figure: quantity{decode, "patched", "fan", "decode"}, factor: 1.05, of: quantity{decode, "patched", "fan", "decode-bare-C"}},
	{what: "each record of a full ring, in one read(2)", figure: quantity{targets, "patched", "wq", "read-full-ring"}, factor: 100},
}

// median finds a quantity under icount; of is nil where it was not measured.
func (d *data) median(q quantity) (m stat.Median, of *group) {
	for _, g := range inMode(d.groups[q.scenario], result.ICount) {
		if polled(g) || g.fs != "ext4" {
			continue
		}
		if m := g.p50(q.hist); g.variant == q.variant && g.first().Arm == q.arm && m.N > 0 {
			return m, g
		}
	}
	return stat.Median{}, nil
}

// polled says that the channel of a yardstick was in an epoll set.
func polled(g *group) bool { return strings.HasSuffix(g.point, scenario.Polled) }

// targetRows says of each target what it is about, what was measured, the bound,
// the yardstick, whether it was reached, and the warnings.
func (d *data) targetRows() (rows [][]string) {
	for _, x := range targetList {
		m, of := d.median(x.figure)
		v, figure := m.Value, compact(m)
		row := []string{x.what, "–", "≤ " + figures3(x.factor), "–", "not measured", ""}
		ok, shown, rests := of != nil, []*group{of}, x.rests
		if ok && x.less != (quantity{}) {
			own, less := d.median(x.less)
			if ok = less != nil; ok {
				row[0] += fmt.Sprintf(" (%s, less the %s of one that nobody is told of)", compact(m), compact(own))
				if v > x.factor {
					rests = "net of that, not gross"
				}
				if i := slices.IndexFunc(d.costs(), func(c cost) bool { return c.mode == result.ICount && c.epoll && c.what == "burst" }); i >= 0 {
					c := d.costs()[i]
					rests += fmt.Sprintf("; %s on %s where the reader's descriptor is in an epoll set", c.medianOf(c.group), c.fs)
				}
				v -= own.Value
				figure = figures3(v)
			}
			shown = append(shown, less)
		}
		if ok {
			row[1] = figure
		}
		bound := x.factor
		if x.of != (quantity{}) {
			y, beside := d.median(x.of)
			row[2], bound, ok = fmt.Sprintf("≤ %g ×", x.factor), x.factor*y.Value, ok && beside != nil
			if beside != nil {
				row[3] = compact(y)
			}
			shown = append(shown, beside)
		}
		if ok {
			row[4] = "yes"
			if v > bound {
				row[4] = fmt.Sprintf("**no: %.2f ×**", v/(bound/x.factor))
				if x.of == (quantity{}) {
					row[4] = "**no**"
				}
			} else if rests != "" {
				row[4] += ", " + rests
			}
		}
		row[5] = d.mark(shown...)
		rows = append(rows, row)
	}
	return rows
}

// targets shows what the prototype costs beside its targets.
func (d *doc) targets() {
	gs := slices.Concat(inMode(d.groups[targets], result.ICount), inMode(d.groups[price], result.ICount))
	if len(gs)+len(inMode(d.groups[decode], result.ICount)) == 0 {
		return
	}
	d.para("## Targets: what the prototype costs")
	d.para("Medians in instructions (icount, one CPU), each beside its yardstick in the same run. A report is timed inside the kernel, a read(2) around the system call, and nobody waits meanwhile; the clock's own price is in each. What is decoded is the record of an inode's error, a thousand times in a row; bare C is the loop of the kernel's sample without its printf. fan's record is there when fserror's worker has run: the time until a reader that waits has it, the wake-up included, is beside that until such a reader of wq has it, too. %s %s", compactNote, bootsNote(append(gs, inMode(d.groups[decode], result.ICount)...)))
	if len(inMode(d.groups[price], result.ICount)) > 0 {
		d.para("kernel-patches/cost.txt has other quantities: ext4 errors a millisecond apart, and a key updated by its number. Here the errors follow each other at once, so that ext4's and fserror's work is still queued, and add_key(2) looks for the key by its name.")
	}
	d.table(&table{heads: []string{"what", "figure>", "target>", "yardstick>", "met", "warnings"}, rows: d.targetRows()})
	d.para("Each of these, median / longest, with the reader's descriptor in an epoll set, that of Go's runtime, and in none. The filesystem was mounted anew for each.")
	gs = filter(gs, func(g *group) bool { return g.first().Params.Reader == unread })
	costs := &table{heads: []string{"filesystem", "kernel", "channel", "epoll"}}
	for _, g := range gs {
		for _, h := range g.first().Hists {
			if head := clean(h.Name) + ">"; !slices.Contains(costs.heads, head) {
				costs.heads = append(costs.heads, head)
			}
		}
	}
	for _, g := range gs {
		row := []string{g.fs, g.variant, g.arm, map[bool]string{true: "yes", false: "no"}[polled(g)]}
		for _, head := range costs.heads[4:] {
			name := strings.TrimSuffix(head, ">")
			row = append(row, strings.Trim(g.half(name)+" / "+g.longest(name), " /"))
		}
		costs.add(append(row, d.mark(g))...)
	}
	costs.heads = append(costs.heads, "warnings")
	d.table(costs)
}
