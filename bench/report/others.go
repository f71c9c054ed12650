// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"wqfan/bench/result"
	"wqfan/fserr"
)

// column is a figure that the cells of some scenarios have.
type column struct {
	head string
	of   func(*group) string // "" where the group has none
}

// otherColumns are what the scenarios without a section of their own may show.
var otherColumns = []column{
	{"errors>", func(g *group) string { return g.spread(func(c *result.Cell) uint64 { return c.Account.Injected }) }},
	{"in detail>", func(g *group) string { return g.spread(detailed) }},
	{"by count>", func(g *group) string { return some(g, coalesced) }},
	{"filtered>", func(g *group) string { return some(g, func(c *result.Cell) uint64 { return c.Account.Filtered }) }},
	{"lost, told>", func(g *group) string { return told(some(g, lostTold), g) }},
	{"elsewhere>", func(g *group) string { return some(g, elsewhere) }},
	{"**lost silently**>", func(g *group) string { return bold(g.spread(lostMute)) }},
	{"records whole>", func(g *group) string { return some(g, func(c *result.Cell) uint64 { return c.Reader.Whole }) }},
	{"broken>", func(g *group) string {
		return some(g, func(c *result.Cell) uint64 { return c.Reader.Broken + c.Reader.Fragments })
	}},
	{"of others before>", func(g *group) string { return earlier(g, func(a *fserr.Account) uint64 { return a.Injected }) }},
	{"kept>", func(g *group) string { return earlier(g, (*fserr.Account).Delivered) }},
	{"cost p50>", func(g *group) string { return g.half(reportCost) }},
	{"cost max>", func(g *group) string { return g.longest(reportCost) }},
	{"latency p50>", func(g *group) string { return g.half(readTime) }},
	{"p99>", func(g *group) string { return g.timed(readTime, 99) }},
	{"max>", func(g *group) string { return g.timed(readTime, 100) }},
	{"passed>", passed},
	{"failed>", func(g *group) string {
		if g.first().Search == nil {
			return ""
		}
		return cmp.Or(searched(g, func(s *result.Search) float64 { return s.Failed }), "none")
	}},
	{"lost at>", func(g *group) string { return searched(g, lostAt) }},
	{"bytes to open>", func(g *group) string {
		return remembered(g, func(c *result.Cell) float64 { return float64(c.Memory.Open) })
	}},
	{"bytes queued>", func(g *group) string {
		return remembered(g, func(c *result.Cell) float64 { return float64(c.Memory.Queued) })
	}},
	{"bytes for each record>", func(g *group) string { return remembered(g, perRecord) }},
}

func earlier(g *group, f func(*fserr.Account) uint64) string {
	if g.first().Noise == nil {
		return ""
	}
	return g.spread(func(c *result.Cell) uint64 { return f(c.Noise) })
}

// timed is percentile where there is one.
func (g *group) timed(name string, p float64) string {
	if g.hist(name) == nil {
		return ""
	}
	return g.percentile(name, p)
}

// half is the median of the boots' medians where there is one.
func (g *group) half(name string) string {
	m := g.p50(name)
	if m.N == 0 {
		return ""
	}
	return compact(m)
}

// longest writes the largest value of all boots, where there is one.
func (g *group) longest(name string) string {
	h := g.hist(name)
	if h == nil {
		return ""
	}
	return figures3(float64(h.Max))
}

// limited says that the bracket of a search ends at what the injector can offer:
// nothing was lost there, but the injector was late or fell short.
func limited(s *result.Search) bool {
	return slices.ContainsFunc(s.Trials, func(t result.Trial) bool { return t.Asked == s.Failed && t.Lost <= s.Loss })
}

// lostAt is the least load that the injector made at which too much was lost, in
// time or not; 0 where there is none.
func lostAt(s *result.Search) (least float64) {
	for _, t := range s.Trials {
		load := t.Asked
		if s.Over == "rate" {
			load = min(load, t.Made)
		}
		if t.Lost > s.Loss && (least == 0 || load < least) {
			least = load
		}
	}
	return least
}

// passed writes the highest load that passed. It is a bound where no load failed
// for the channel's sake.
func passed(g *group) string {
	if g.first().Search == nil {
		return ""
	}
	s := cmp.Or(searched(g, func(s *result.Search) float64 { return s.Passed }), "none")
	if s != "none" && slices.ContainsFunc(g.cells, func(c result.Cell) bool { return c.Search.Failed == 0 || limited(c.Search) }) {
		return "≥ " + s
	}
	return s
}

// searched writes a load that a search found, or nothing where no boot found one.
func searched(g *group, f func(*result.Search) float64) string {
	if g.first().Search == nil {
		return ""
	}
	if m := g.median(func(c *result.Cell) float64 { return f(c.Search) }); m.Value > 0 {
		return compact(m)
	}
	return ""
}

func opened(c *result.Cell) float64 { return float64(c.Memory.Open) }
func queued(c *result.Cell) float64 { return float64(c.Memory.Queued) }

// perRecord is what an open channel and all it holds take for each record.
func perRecord(c *result.Cell) float64 {
	return float64(c.Memory.Open+c.Memory.Queued) / float64(max(1, c.Reader.Records))
}

// remembered writes a number of bytes. Pages that come and go by themselves are as
// many as a small channel takes: where the boots do not agree that it took any
// there is no number.
func remembered(g *group, f func(*result.Cell) float64) string {
	if g.first().Memory == nil {
		return ""
	}
	switch m := g.median(f); {
	case m.Lo == 0 && m.Hi == 0:
		return "0"
	case m.Lo <= 0:
		return fmt.Sprintf("not told from 0 [%s, %s]", figures3(m.Lo), figures3(m.Hi))
	default:
		return compact(m)
	}
}

// searchNote says what the bounds of a search are.
const searchNote = "A rate behind \"≥\" is how far the injector came, and no property of the channel: at the rate beside it nothing was lost, but the injector was late or fell short, which ends a search. " +
	"So the bound of a goal that allows for more may be the lower one. \"Lost at\" is the least rate that was made, in time or not, at which too much was lost: the channel's own limit is between the two. " +
	"An injector that is late at one rate may be in time at a higher one, which a search does not try any more: the sweep of the scenario loss tries all its rates, and can show more."

// memoryNote says what a number of bytes is.
const memoryNote = "Bytes are pages of the guest's memory that became the kernel's, for each of the channels that were open at once: to open one, then for what it queued, and both together for each record that it kept. Where the interval over the boots is not above 0 there is no number: it is below what can be told."

// others shows the scenarios that have no section of their own, so that a
// report never hides a cell.
func (d *doc) others() {
	known := []string{overflow, latency, loss, corruption, sizing, targets, price, decode}
	list := slices.DeleteFunc(slices.Sorted(maps.Keys(d.groups)), func(s string) bool { return slices.Contains(known, s) })
	if len(list) == 0 {
		return
	}
	d.para("## Other scenarios")
	d.para("%s", "`wqfan scenarios` says what each is about. Times are in the mode's unit of guest time; cost is that of a report to its reporter, taken where nobody reads. "+compactNote+" p99 and max are of the values of all boots together. "+silentNote)
	for _, s := range list {
		for _, m := range modes {
			gs := inMode(d.groups[s], m)
			if len(gs) == 0 {
				continue
			}
			d.para("### %s, mode %s", oneLine(s), m)
			t := &table{heads: []string{"where", "channel", "point"}}
			for _, g := range gs {
				t.add(g.place.String(), g.arm, g.point)
			}
			for _, c := range append(slices.Clone(otherColumns), column{"warnings", func(g *group) string { return d.mark(g) }}) {
				values := make([]string, len(gs))
				for i, g := range gs {
					values[i] = c.of(g)
				}
				if !slices.ContainsFunc(values, func(v string) bool { return v != "" }) {
					continue
				}
				t.heads = append(t.heads, c.head)
				for i := range t.rows {
					t.rows[i] = append(t.rows[i], values[i])
				}
			}
			if gs[0].first().Search != nil {
				d.para("%s", searchNote)
			}
			if gs[0].first().Memory != nil {
				d.para("%s", memoryNote)
			}
			d.table(t)
			d.guarantee(gs)
		}
	}
}

// some writes a count that repeated boots may disagree about, or nothing where
// all of them have none.
func some(g *group, f func(*result.Cell) uint64) string {
	if s := g.spread(f); s != "0" {
		return s
	}
	return ""
}

// mailTable is what lkml.txt shows of a scenario that has no section of its own:
// one number of each channel at each point.
type mailTable struct {
	scenario, head, says string
	time                 bool // in the unit of guest time
	of                   func(*group) string
}

const thousandths = "k, M: thousands, millions."

var (
	costOf = func(g *group) string { return g.half(reportCost) }

	mailTables = []mailTable{
		{"search", "Searched: highest rate without loss (ndr), with 0.5 % (pdr), ...", "goal=detail: with each error in detail; goal=burst: the longest burst. " + searchNote, false, func(g *group) string {
			s := passed(g)
			if m := g.median(func(c *result.Cell) float64 { return lostAt(c.Search) }); m.Value > 0 {
				s += " lost at " + short(m.Value)
			}
			return s
		}},
		{sizing, "Queues and what theory says: lost % / predicted %", "every: read that often; each: so long for an error. Predicted from it; not (-) where a read took several at once.", false, func(g *group) string {
			loss, _, ok := g.predictedLoss(int(g.queue.size))
			if !ok {
				return lossOf(g) + " / -"
			}
			return lossOf(g) + " / " + percent(100*loss)
		}},
		{"capacity", "The same capacity, in events or in bytes: in detail / lost", "", false, func(g *group) string {
			return g.spread(detailed) + " / " + g.spread(func(c *result.Cell) uint64 { return c.Account.Lost() })
		}},
		{"watchers", "Several that watch: what a report costs", "", true, costOf},
		{"cost", "Nobody, somebody with room, somebody full: what a report costs", "", true, costOf},
		{"context", "Contexts that report: what it costs them", "", true, costOf},
		{"size", "Records of the filesystem's own: latency; cost where nobody reads", "Blob: bytes of the record.", true, func(g *group) string { return cmp.Or(g.half(readTime), g.half(reportCost)) }},
		{"filesystems", "One channel for several filesystems, unread: errors in detail", "", false, func(g *group) string { return g.spread(detailed) }},
		{"reader", "Readers: median latency, and lost %", thousandths, true, timeAndLoss},
		{"readers", "Several readers: median latency, and lost %", thousandths, true, timeAndLoss},
		{"producers", "Several threads that report: median latency, and lost %", thousandths, true, timeAndLoss},
		{"bursts", "Bursts and silence in turn: median latency, and lost %", thousandths, true, timeAndLoss},
		{"baselines", "The same errors to all: in detail / lost, told / lost silently", "", false, func(g *group) string {
			return g.spread(detailed) + " / " + g.spread(lostTold) + " / " + g.spread(lostMute)
		}},
	}
)

// lossOf writes the share of the errors that was lost, in per cent.
func lossOf(g *group) string {
	return g.compactShare(func(c *result.Cell) uint64 { return c.Account.Lost() })
}

// timeAndLoss writes a median latency in few columns, and what share of the errors
// was lost, if any was.
func timeAndLoss(g *group) string {
	s := "-"
	if m := g.p50(readTime); m.N > 0 {
		s = short(m.Value)
		if lo, hi := short(m.Lo), short(m.Hi); lo != hi {
			s += fmt.Sprintf(" [%s, %s]", lo, hi)
		}
	}
	if !g.lossless() {
		s += " lost " + lossOf(g)
	}
	return s
}

// others shows the most telling numbers of the scenarios without a section.
func (m *mail) others() {
	for _, x := range mailTables {
		for _, mode := range timed {
			gs := inMode(m.groups[x.scenario], mode)
			for _, p := range places(gs) {
				m.cross(x, at(gs, p))
			}
		}
	}
	gs := timedAt(m.groups["memory"])
	if len(gs) == 0 {
		return
	}
	m.head("Memory of a channel, in bytes")
	m.para(fmt.Sprintf("%v, mode %s, %s. %s", gs[0].place, gs[0].mode, sample(gs), memoryNote))
	t := &textTable{heads: []string{"channel", "queue>", "records>", "to open>", "queued>", "a record>", ""}}
	for _, g := range gs {
		row := []string{g.arm, g.queue.String(), g.spread(func(c *result.Cell) uint64 { return c.Reader.Records })}
		for _, f := range []func(*result.Cell) float64{opened, queued, perRecord} {
			row = append(row, narrow(remembered(g, f)))
		}
		t.add(append(row, m.mark(g))...)
	}
	m.WriteString(t.String())
	m.line("")
}

// cross shows channels against points: the channels across where there are many
// points, as few in a table as fit.
func (m *mail) cross(x mailTable, gs []*group) {
	if len(gs) == 0 {
		return
	}
	var points []string
	for _, g := range gs {
		if !slices.Contains(points, g.point) {
			points = append(points, g.point)
		}
	}
	m.head(x.head)
	p := gs[0].place
	unit := ""
	if x.time {
		unit = ", in " + p.mode.Unit()
	}
	m.para(fmt.Sprintf("%v, mode %s%s, %s. %s", p, p.mode, unit, sample(gs), x.says))
	arms, most := armsOf(gs), 5
	swap := len(points) > most
	down, across := arms, points
	if swap {
		down, across, most = points, arms, 3
	}
	for part := range slices.Chunk(across, most) {
		t := &textTable{heads: []string{""}}
		for _, b := range part {
			t.heads = append(t.heads, b+">")
		}
		t.heads = append(t.heads, "")
		for _, a := range down {
			row, shown := []string{a}, []*group{}
			for _, b := range part {
				arm, point, text := a, b, "-"
				if swap {
					arm, point = b, a
				}
				if i := slices.IndexFunc(gs, func(g *group) bool { return g.arm == arm && g.point == point }); i >= 0 {
					text, shown = narrow(x.of(gs[i])), append(shown, gs[i])
				}
				row = append(row, text)
			}
			if len(shown) > 0 {
				t.add(append(row, m.mark(shown...))...)
			}
		}
		m.WriteString(t.String())
		m.line("")
	}
}
