// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"slices"
	"strings"

	"wqfan/bench/result"
)

func (d *doc) loss() {
	gs := d.groups[loss]
	if len(gs) == 0 {
		return
	}
	d.para("## Loss: rate of errors against a reader that reads all the time")
	d.para("Rates are errors per second of guest time; under icount a second is 1,000,000,000 instructions. The reader: %s. "+
		"\"No loss\" allows for errors that are known only by count, \"all in detail\" does not. %s %s", readers(gs), detailNote, compactNote)
	for _, m := range modes {
		mode := inMode(gs, m)
		if len(mode) == 0 {
			continue
		}
		d.sweep(m, swept(mode))
		d.embed("load-" + string(m))
		d.embed("heat-" + string(m))
		d.flatOut(m, flatOut(mode))
	}
	for _, p := range places(withTimeline(d.data)) {
		d.embed("timeline-" + p.slug())
	}
}

// sweep compares the channels at the rates that each of them was asked for.
func (d *doc) sweep(m result.Mode, gs []*group) {
	if len(gs) == 0 {
		return
	}
	d.para("Mode %s, open loop: every channel is asked for the same rates, and shares are of the errors at the highest of them; \"made\" is how much of it the injector achieved. A rate counts for \"up to\" only where that is %.0f %% or more, and the injector no later than its bound. %s",
		m, 100*reached, bootsNote(gs))
	t := &table{heads: []string{"where", "channel", "all in detail up to /s>", "no loss up to /s>", "highest rate /s>", "made %>", "in detail %>", "by count %>", "lost, told %>", "**lost silently %**>", "warnings"}}
	var rates []string
	for _, p := range places(gs) {
		here := at(gs, p)
		top := common(here)
		for _, a := range armsOf(here) {
			series := swept(ofArm(here, a))
			row := []string{p.String(), a, rateUpTo(series, (*group).inDetail), rateUpTo(series, (*group).lossless)}
			rates = append(rates, row[2:]...)
			i := slices.IndexFunc(series, func(g *group) bool { return g.asked() == top })
			if i < 0 && own(series[0]) {
				i = len(series) - 1
			}
			if i >= 0 {
				g := series[i]
				made := percent(min(100, 100*g.rate()/g.asked()))
				if g.late() {
					made += " ×"
				}
				row = append(row, append([]string{figures3(g.asked()), made}, g.shares()...)...)
			} else {
				row = append(row, "–", "–", "–", "–", "–", "–")
			}
			t.add(append(row, d.markRates(series))...)
		}
	}
	d.table(t)
	if s := rateWords(rates); s != "" {
		d.para("%s", s)
	}
	d.guarantee(gs)
	lo, hi := spans(gs, func(g *group) float64 { return float64(g.burst) * float64(g.first().Params.Interval) / 1e6 })
	length := figures3(lo) + " ms"
	if lo != hi {
		length += " to " + figures3(hi) + " ms"
	}
	var room []string
	for _, a := range armsOf(gs) {
		room = append(room, a+" "+queuesOf(ofArm(gs, a))[0].String())
	}
	d.para("A trial lasts errors × interval, here %s of guest time. A trial as short as that lets a queue hide a deficit, of at most its capacity (%s records).", length, strings.Join(room, ", "))
}

// shares writes what became of the group's errors, in per cent.
func (g *group) shares() []string {
	return []string{g.compactShare(detailed), g.compactShare(coalesced), told(g.compactShare(lostTold), g), bold(g.compactShare(lostMute))}
}

// flatOut shows cells whose rate is the channel's own doing.
func (d *doc) flatOut(m result.Mode, gs []*group) {
	if len(gs) == 0 {
		return
	}
	d.para("Mode %s, flat out (closed loop: a slower channel slows its own injector, rates differ per arm): no comparison of channels. %s", m, bootsNote(gs))
	t := &table{heads: []string{"where", "channel", "errors>", "achieved rate /s>", "in detail %>", "by count %>", "lost, told %>", "**lost silently %**>", "warnings"}}
	for _, g := range gs {
		row := append([]string{g.place.String(), g.arm, count(g.burst), compact(g.median(func(c *result.Cell) float64 { return c.Flood.Rate }))}, g.shares()...)
		t.add(append(row, d.mark(g))...)
	}
	d.table(t)
	d.guarantee(gs)
}

// own says that the errors of a group have a source of their own, which does not
// make as many as the injector.
func own(g *group) bool { return g.first().Params.Source != "" }

// common returns the highest rate that all channels were asked for whose errors
// the injector made, or 0.
func common(gs []*group) float64 {
	var top float64
	gs = filter(gs, func(g *group) bool { return !own(g) })
	for _, g := range gs {
		same := filter(gs, func(o *group) bool { return o.asked() == g.asked() })
		if len(armsOf(same)) == len(armsOf(gs)) {
			top = max(top, g.asked())
		}
	}
	return top
}

// markRates is mark for the rates of a channel. Which of them the injector did not
// make, or not in time, takes the place of the warning that it was late.
func (d *data) markRates(series []*group) string {
	var warnings, rates []string
	for _, g := range series {
		if g.late() {
			rate := fmt.Sprintf("%s %% of %s/s", percent(100*g.rate()/g.asked()), figures3(g.asked()))
			if slices.ContainsFunc(g.cells, func(c result.Cell) bool { return c.Late() }) {
				rate += " (late)"
			}
			rates = append(rates, rate)
		}
		for _, w := range d.warnings(g) {
			if !strings.HasPrefix(w, result.Late) {
				warnings = append(warnings, w)
			}
		}
	}
	marks := d.note(warnings...)
	if len(rates) == 0 {
		return marks
	}
	n := d.footnote(func(f footnote) bool { return f.head == fellShort }, footnote{fellShort, []string{series[0].arm + " " + strings.Join(rates, ", ")}})
	return strings.TrimSpace(marks + " " + markAll([]int{n}))
}

// fellShort is the warning about rates that the injector did not make, or not in time.
const fellShort = "the injector fell short of the rate or was late, which may prove a loss but not that there is none; it made"
