// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"wqfan/bench/result"
)

// summaryLines is how many lines Summary returns at most.
const summaryLines = 10

// Summary returns the run in at most ten lines for a terminal. What went wrong
// comes first.
func Summary(run *result.Run) []string {
	d := newData(run)
	out := []string{status(d)}
	if len(d.failed) > 0 {
		c := d.failed[0]
		out = append(out, fmt.Sprintf("first failure: %s: %s", oneLine(c.ID), oneLine(c.Err)))
	}
	if len(d.broken) > 0 {
		c := d.broken[0]
		out = append(out, fmt.Sprintf("does not add up: %s: %v", oneLine(c.ID), c.Account))
	}
	var boots []string
	for _, b := range run.Boots {
		if s := fmt.Sprintf("%s %s", b.Mode, cpuCount(b.CPUs)); !slices.Contains(boots, s) {
			boots = append(boots, s)
		}
	}
	out = append(out, d.kernels()+"; "+cmp.Or(strings.Join(boots, ", "), "no boot"))

	gs := d.groups[overflow]
	for _, a := range armsOf(gs) {
		mine := ofArm(gs, a)
		g := mine[0]
		for _, o := range mine { // the largest burst against the largest queue
			if o.queue.compare(g.queue) < 0 || o.queue == g.queue && o.burst > g.burst {
				g = o
			}
		}
		guarantee := ""
		if g.guaranteed() {
			guarantee = " (by guarantee)"
		}
		out = append(out, fmt.Sprintf("overflow %s, queue %v: of %s errors %s in detail, %s by count, %s lost and told%s, %s lost silently", a, g.queue, count(g.burst),
			g.spread(detailed), g.spread(coalesced), g.spread(lostTold), guarantee, g.spread(lostMute)))
	}
	for _, m := range timed {
		gs := inMode(d.groups[latency], m)
		out = appendArms(out, fmt.Sprintf("latency p50/p99 in %s (%s)", m.Unit(), sample(gs)), gs, func(gs []*group) string {
			for _, g := range gs {
				if m := g.p50(readTime); m.N > 0 {
					return figures3(m.Value) + "/" + g.percentile(readTime, 99)
				}
			}
			return "none"
		})
	}
	for _, m := range timed {
		gs := swept(inMode(d.groups[loss], m))
		out = appendArms(out, fmt.Sprintf("no loss up to, asked for per second of guest time (%s, %s)", m, sample(gs)), gs, func(gs []*group) string {
			return rateUpTo(gs, (*group).lossless)
		})
	}
	if len(inMode(d.groups[latency], result.TCG))+len(inMode(d.groups[loss], result.TCG)) > 0 {
		out = append(out, "mode tcg: loss semantics only; its times and rates are in "+File)
	}
	if gs := d.groups[corruption]; len(gs) > 0 {
		var faults, records uint64
		for _, g := range gs {
			faults += g.first().Account.Injected
			records += g.first().Reader.Records
		}
		out = append(out, fmt.Sprintf("real corruption: over all channels %s met, %s read", plural(faults, "fault", "faults"), plural(records, "record", "records")))
	}
	return out[:min(len(out), summaryLines)]
}

// appendArms adds one line that compares the arms at the first place of gs.
func appendArms(out []string, what string, gs []*group, show func([]*group) string) []string {
	ps := places(gs)
	if len(ps) == 0 {
		return out
	}
	var parts []string
	for _, a := range armsOf(at(gs, ps[0])) {
		parts = append(parts, a+" "+show(ofArm(at(gs, ps[0]), a)))
	}
	return append(out, fmt.Sprintf("%s, %v: %s", what, ps[0], strings.Join(parts, ", ")))
}
