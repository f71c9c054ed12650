// SPDX-License-Identifier: MIT

package report

import (
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
	{"cost p50>", func(g *group) string { return g.timed(reportCost, 50) }},
	{"latency p50>", func(g *group) string { return g.timed(readTime, 50) }},
	{"p99>", func(g *group) string { return g.timed(readTime, 99) }},
	{"max>", func(g *group) string { return g.timed(readTime, 100) }},
	{"passed>", func(g *group) string { return searched(g, func(s *result.Search) float64 { return s.Passed }) }},
	{"failed>", func(g *group) string { return searched(g, func(s *result.Search) float64 { return s.Failed }) }},
	{"bytes to open>", func(g *group) string { return remembered(g, func(m *result.Memory) int64 { return m.Open }) }},
	{"bytes queued>", func(g *group) string { return remembered(g, func(m *result.Memory) int64 { return m.Queued }) }},
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

func searched(g *group, f func(*result.Search) float64) string {
	if g.first().Search == nil {
		return ""
	}
	if v := g.median(func(c *result.Cell) float64 { return f(c.Search) }).Value; v > 0 {
		return figures3(v)
	}
	return "none"
}

func remembered(g *group, f func(*result.Memory) int64) string {
	if g.first().Memory == nil {
		return ""
	}
	return figures3(g.median(func(c *result.Cell) float64 { return float64(f(c.Memory)) }).Value)
}

// others shows the scenarios that have no section of their own, so that a
// report never hides a cell.
func (d *doc) others() {
	known := []string{overflow, latency, loss, corruption, sizing, targets, price, decode}
	list := slices.DeleteFunc(slices.Sorted(maps.Keys(d.groups)), func(s string) bool { return slices.Contains(known, s) })
	if len(list) == 0 {
		return
	}
	d.para("## Other scenarios")
	d.para("%s", "`wqfan scenarios` says what each is about. Times are in the mode's unit of guest time; cost is that of a report to its reporter, taken where nobody reads. "+silentNote)
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
