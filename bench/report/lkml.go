// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"wqfan/bench/result"
	"wqfan/bench/stat"
)

// lkmlWidth is the width of lkml.txt: it stays below 80 columns when it is
// quoted, and quoted again.
const lkmlWidth = 72

// lkml writes the run as a plain-text mail to a list: what was measured on
// what, the answers, the numbers with their costs, and how to get them again.
func lkml(d *data) string {
	d.notes = nil // those of report.md have other numbers
	m := &mail{data: d, findings: findings(d)}
	m.line("Subject: fanotify or watch_queue for filesystem errors: measured")
	m.line("")
	m.para("In January and February 2021 linux-fsdevel weighed fanotify against watch_queue for filesystem errors " + letters(messages) + ". " +
		"The choice was made by argument. These are numbers for both, on one version of the kernel, with each injected error accounted for.")
	m.para(status(d))
	m.conclusion()
	m.machine()
	m.verdicts()
	m.burst()
	m.costs()
	m.rates()
	m.targets()
	m.others()
	m.warned()
	m.limits()
	m.reproduce()
	return m.String()
}

// mail is lkml.txt while it is being written.
type mail struct {
	strings.Builder
	*data
	findings []finding
}

func (m *mail) line(format string, a ...any) {
	m.WriteString(strings.TrimRight(ascii(fmt.Sprintf(format, a...)), " ") + "\n")
}

func (m *mail) head(s string) {
	m.line("%s", s)
	m.line("%s", strings.Repeat("-", len(s)))
}

// para writes text in lines that fit.
func (m *mail) para(text string) { m.item("", "", text); m.line("") }

// item writes text behind first; what does not fit goes below it, behind rest.
func (m *mail) item(first, rest, text string) {
	line, words := first, 0
	for _, w := range strings.Fields(ascii(clean(text))) {
		if words > 0 && len(line)+1+len(w) > lkmlWidth {
			m.line("%s", line)
			line, words = rest, 0
		}
		if words > 0 {
			line += " "
		}
		for room := lkmlWidth - len(line); len(w) > room; room = lkmlWidth - len(line) {
			m.line("%s", line+w[:room])
			line, w = rest, w[room:]
		}
		line += w
		words++
	}
	m.line("%s", line)
}

// ascii writes what the tables of report.md hold for readers who quote it in a
// terminal of any encoding.
func ascii(s string) string {
	s = strings.NewReplacer("≥ ", ">=", "≥", ">=", "≤", "<=", "±", "+-", "→", "->", "–", "-", "×", "x", "÷", "/", "†", "*", "µ", "u", "…", "...", "−", "-").Replace(s)
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf {
			return r
		}
		return '?'
	}, s)
}

// interval is one as [compact] writes it.
var interval = regexp.MustCompile(`\[([^][ ]+), ([^][ ]+)\]`)

// narrow makes one word of each interval in a text, of large ones in thousands and
// millions.
func narrow(s string) string {
	return interval.ReplaceAllStringFunc(s, func(s string) string {
		ends := interval.FindStringSubmatch(s)[1:]
		for i, e := range ends {
			v, err := strconv.ParseFloat(strings.ReplaceAll(e, ",", ""), 64)
			switch {
			case err != nil || math.Abs(v) < 1e4:
			case v < 0:
				ends[i] = "-" + short(-v)
			default:
				ends[i] = short(v)
			}
		}
		return "[" + strings.Join(ends, ",") + "]"
	})
}

func tight(m stat.Median) string { return narrow(compact(m)) }

// letters cites messages.
func letters(from []message) string {
	var out []string
	for _, m := range from {
		out = append(out, m.letter)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// conclusion is the verdicts in three lines.
func (m *mail) conclusion() {
	var parts []string
	for _, v := range []struct {
		verdict
		says string
	}{{holds, "hold"}, {fails, "do not hold"}, {onlyIf, "hold on a condition"}, {noneHere, "cannot be measured here"}, {unknown, "no data here"}} {
		if n := m.judged(v.verdict); len(n) > 0 {
			parts = append(parts, fmt.Sprintf("%s: %s", v.says, strings.Join(n, ", ")))
		}
	}
	text := "Of the ten claims below, " + strings.Join(parts, "; ") + "."
	if f := m.findings[len(m.findings)-1]; f.verdict == holds || f.verdict == fails || f.verdict == onlyIf {
		says, _, _ := strings.Cut(f.says(), ":")
		text += " That it does not matter which of the two carries the errors (10) " + says + "."
	}
	m.para(text)
}

// judged returns the numbers of the claims with a verdict.
func (m *mail) judged(v verdict) (out []string) {
	for i, f := range m.findings {
		if f.verdict == v {
			out = append(out, fmt.Sprint(i+1))
		}
	}
	return out
}

func (m *mail) machine() {
	m.head("Machine and configuration")
	item := func(key, text string) {
		if text != "" {
			m.item(fmt.Sprintf("%-8s ", key), strings.Repeat(" ", 9), text)
		}
	}
	h := m.run.Host
	item("host", strings.Join(slices.DeleteFunc([]string{h.CPU, plural(uint64(max(0, h.CPUs)), "CPU", "CPUs"), h.Kernel, h.QEMU}, func(s string) bool { return s == "" }), ", "))
	var kernels []string
	for _, b := range m.run.Boots {
		k := b.Kernel
		s := fmt.Sprintf("%s (%s): base %s, series %s, config %s, %s", k.Release, k.Variant, cmp.Or(k.Base, "unknown"), cmp.Or(hash(k.Series), "none"), cmp.Or(hash(k.Config), "unknown"), k.CC)
		if !slices.Contains(kernels, s) {
			kernels = append(kernels, s)
			item("kernel", s)
		}
	}
	for _, mode := range modes {
		var guests []string
		for _, b := range m.run.Boots {
			if b.Mode == mode {
				guests = append(guests, fmt.Sprintf("%s, %d MiB", cpuCount(b.CPUs), b.MemMiB))
			}
		}
		if len(guests) > 0 {
			_, means, _ := strings.Cut(modeNote(mode), ": ")
			item(string(mode), fmt.Sprintf("%s: %s %s", plural(uint64(len(guests)), "boot", "boots"), strings.Join(slices.Compact(guests), "; ")+".", upperFirst(means)))
		}
	}
	item("wqfan", strings.TrimSuffix(cmp.Or(hash(h.Revision), "unknown revision")+", "+h.Go, ", "))
	for _, x := range calibration(m.data) {
		item(x[0], x[1])
	}
	m.line("")
	m.line("Channels:")
	for _, a := range m.arms {
		m.item(fmt.Sprintf("  %-14s ", ascii(a)), strings.Repeat(" ", 17), cmp.Or(styleOf(a).about, "nobody watches"))
	}
	m.line("")
	if slices.ContainsFunc(m.run.Boots, func(b result.Boot) bool { return b.Kernel.Variant == "base" }) {
		m.para("The kernel base has the sources for errors and mainline's queues; patched has the whole series, and channels run there unless said otherwise.")
	}
}

func (m *mail) verdicts() {
	m.head("The claims of 2021")
	for i, f := range m.findings {
		if f.verdict == unknown && len(f.groups) == 0 {
			continue
		}
		from := "[from the reviews of the patches]"
		if len(claims[i].from) > 0 {
			from = letters(claims[i].from)
		}
		m.item(fmt.Sprintf("%2d. ", i+1), "    ", claims[i].says+" "+from)
		text := strings.ToUpper(string(f.verdict)) + strings.TrimPrefix(f.says(), string(f.verdict))
		if f.short != "" {
			text += " (" + f.short + ")"
		}
		m.item("    => ", "       ", strings.TrimRight(text+" "+m.mark(f.groups...), " "))
	}
	var none []string
	for i, f := range m.findings {
		if f.verdict == unknown && len(f.groups) == 0 {
			none = append(none, fmt.Sprint(i+1))
		}
	}
	if len(none) < len(m.findings) {
		m.line("")
	}
	if len(none) > 0 {
		m.para("NO DATA IN THIS RUN on " + plural(uint64(len(none)), "claim", "claims") + " of the ten: " + strings.Join(none, ", ") + ". report.md says what each is, and which command measures it.")
	}
}

// burst shows what is left of the largest burst that nobody reads.
func (m *mail) burst() {
	gs := m.groups[overflow]
	if len(gs) == 0 {
		return
	}
	spot := places(gs)[0]
	gs = at(gs, spot)
	m.head("Burst that nobody reads: what is kept, and what is said of the rest")
	m.para(fmt.Sprintf("%v, mode %s. Queue in records; 15/16: other events held 15 of its 16 places before the errors came. Detail, count: errors that have a record, or are only in the count of one. Told: lost, and afterwards a record was read that says so. Silent: lost after the last such record was read.", spot, spot.mode))
	t := &textTable{heads: []string{"channel", "queue", "burst>", "detail>", "count>", "told>", "silent>", ""}}
	for _, a := range armsOf(gs) {
		for _, q := range queuesOf(ofArm(gs, a)) {
			series := ofQueue(ofArm(gs, a), q)
			g := series[len(series)-1]
			t.add(a, strings.NewReplacer(" of ", "/", " taken", "").Replace(q.String()), count(g.burst), g.spread(detailed), g.spread(coalesced), told(g.spread(lostTold), g), g.spread(lostMute), m.mark(g))
		}
	}
	m.WriteString(t.String())
	m.line("")
	if slices.ContainsFunc(gs, (*group).guaranteed) {
		m.para("†: by the channel's guarantee, which is that FAN_Q_OVERFLOW is queued at the first drop, the newest note of a full ring marked, and neither forgotten before it is read. There is no count and no number in sequence to hold it against.")
	}
	m.kept(filled(gs, false))
}

// kept plots the records kept of a burst, log-log.
func (m *mail) kept(gs []*group) {
	if len(gs) == 0 {
		return
	}
	const columns, rows = 54, 10
	most := 10.0
	for _, g := range gs {
		most = max(most, float64(g.burst))
	}
	top := math.Ceil(math.Log10(most))
	grid := make([][]byte, rows+1)
	for i := range grid {
		grid[i] = []byte(strings.Repeat(" ", columns+1))
	}
	put := func(x, y float64, c byte) {
		col := min(columns, int(math.Round(math.Log10(max(1, x))/top*columns)))
		row := max(0, rows-int(math.Round(math.Log10(max(1, y))/top*rows)))
		switch have := grid[row][col]; {
		case have == ' ' || have == '.':
			grid[row][col] = c
		case have != c && c != '.':
			grid[row][col] = '#'
		}
	}
	for i := 0.0; i <= columns; i += 2 {
		x := math.Pow(10, i/columns*top)
		put(x, x, '.')
	}
	m.line("Records kept, against errors in the burst, log-log (dots: all kept):")
	m.line("")
	// Channels that were given the same bursts and kept as many of each share a letter.
	type curve struct {
		arms []string
		kept map[uint64]float64
	}
	var curves []curve
	for _, a := range armsOf(gs) {
		mine, kept := ofArm(gs, a), map[uint64]float64{}
		for _, g := range ofQueue(mine, queuesOf(mine)[0]) {
			if g.burst > 0 {
				kept[g.burst] = g.median(func(c *result.Cell) float64 { return float64(c.Reader.Records) }).Value
			}
		}
		i := slices.IndexFunc(curves, func(c curve) bool { return maps.Equal(c.kept, kept) })
		if i < 0 {
			curves = append(curves, curve{kept: kept})
			i = len(curves) - 1
		}
		curves[i].arms = append(curves[i].arms, a)
	}
	var legend []string
	for i, c := range curves {
		letter := byte('a' + i%26)
		legend = append(legend, fmt.Sprintf("%c: %s.", letter, strings.Join(c.arms, ", ")))
		for n, v := range c.kept {
			put(float64(n), v, letter)
		}
	}
	for i, row := range grid {
		label := ""
		if decade := top * float64(rows-i) / rows; decade == math.Trunc(decade) {
			label = short(math.Pow(10, decade))
		}
		m.line("  %6s |%s", label, row)
	}
	m.line("  %6s +%s", "", strings.Repeat("-", columns+1))
	axis := []byte(strings.Repeat(" ", columns+5))
	for decade := 0.0; decade <= top; decade++ {
		copy(axis[int(math.Round(decade/top*columns)):], short(math.Pow(10, decade)))
	}
	m.line("%10s%s", "", axis)
	m.line("")
	m.item("  ", "  ", strings.Join(legend, " ")+" #: several.")
	m.line("")
}

// costs shows what a report costs where it is made, beside how soon it is read.
func (m *mail) costs() {
	way := timedAt(filter(m.groups[latency], func(g *group) bool { return g.hist(readTime) != nil }))
	if len(way) == 0 {
		return
	}
	p := way[0].place
	m.head("Cost and latency of one error")
	m.para(fmt.Sprintf("%v, mode %s, in %s, %s. Cost: inside fserror_report(), in the context that hit the error, nobody reading, the reader's descriptor in an epoll set: with room in the queue, and with the queue full. "+
		"Latency: from the time the error was due until it was read; %s of its median is the injector's own lateness. %s",
		p, p.mode, p.mode.Unit(), sample(way), way[0].percentile(lateness, 50), compactNote))
	t := &textTable{heads: []string{"channel", "room>", "full>", "p50>", "p99>", "max>", ""}}
	unreadCells := filter(at(m.groups[overflow], p), func(g *group) bool { return g.p50(reportCost).N > 0 })
	var worst []string
	for _, g := range filter(way, func(g *group) bool { return g.point == way[0].point }) {
		row := []string{g.arm}
		costs := []*group{roomy(ofArm(unreadCells, g.arm)), crowded(ofArm(unreadCells, g.arm))}
		for _, c := range costs {
			if c == nil {
				row = append(row, "-")
				continue
			}
			row = append(row, tight(c.p50(reportCost)))
		}
		if h := g.hist(reportRead); h != nil {
			worst = append(worst, fmt.Sprintf("%s %s", g.arm, figures3(float64(h.Max))))
		}
		t.add(append(row, tight(g.p50(readTime)), g.percentile(readTime, 99), figures3(float64(g.hist(readTime).Max)), m.mark(append(costs, g)...))...)
	}
	m.WriteString(t.String())
	m.line("")
	if len(worst) > 0 {
		m.para("Of the maxima the injector's lateness may be most. From the report itself until the error was read, the longest: " + strings.Join(worst, ", ") + ".")
	}
	m.ratios(filter(way, func(g *group) bool { return g.point == way[0].point }))
	if text := m.worker(); text != "" {
		m.para(text)
	}
	m.reports()
	m.underLoad(p)
}

// reports compares what a report costs with each kind of reader.
func (m *mail) reports() {
	costs := m.data.costs()
	if len(costs) == 0 {
		return
	}
	m.para("What a single report costs who makes it, and one of many in a row, while there is room. Epoll: the reader's descriptor is in an epoll set, which each post to watch_queue calls back, and which may wake a thread; where it is in none nobody waits. The ratio is of the means over the boots.")
	t := &textTable{heads: []string{"where", "report", "fan>", "wq>", "", "ratio>", "from>", "to>", "A/A>"}}
	for _, c := range costs {
		t.heads[3] = c.arm + ">"
		mark, lo, hi, floor := "", "-", "-", "-"
		if c.sign() == 0 {
			mark = "~"
		}
		if !math.IsInf(c.floor, 0) {
			lo, hi, floor = multiple(c.ratio.Lo), multiple(c.ratio.Hi), percent(100*c.floor)+"%"
		}
		t.add(c.fs, c.String(), tight(c.fan.p50(c.hist)), tight(c.group.p50(c.hist)), mark, multiple(c.ratio.Value), lo, hi, floor)
	}
	m.WriteString(t.String())
	m.line("")
}

// ratios compares the medians with fanotify's, where there are enough boots to say
// how far that can be trusted.
func (m *mail) ratios(gs []*group) {
	es := effects(gs)
	if len(es) == 0 {
		return
	}
	m.para("The median as a multiple of fan's on the same kernel, with its interval (hierarchical bootstrap over boots and within them, 95 %), and by what two halves of the boots of one channel differ (A/A). What is not beyond that has a ~.")
	t := &textTable{heads: []string{"channel", "", "ratio>", "from>", "to>", "A/A>"}}
	for _, e := range es {
		mark := "~"
		if e.real() {
			mark = ""
		}
		t.add(e.arm, mark, multiple(e.ratio.Value), multiple(e.ratio.Lo), multiple(e.ratio.Hi), percent(100*e.floor)+"%")
	}
	m.WriteString(t.String())
	m.line("")
}

// underLoad shows how late errors are read that come at a steady rate.
func (m *mail) underLoad(p place) {
	gs := filter(swept(at(m.groups[loss], p)), func(g *group) bool { return g.hist(readTime) != nil })
	if len(gs) == 0 {
		return
	}
	rate, _ := spans(gs, (*group).asked)
	m.para(fmt.Sprintf("The same while %s errors per second come (a second is 10^9 %s), the least that was tried, to a reader that is %s:", figures3(rate), p.mode.Unit(), readers(gs)))
	t := &textTable{heads: []string{"channel", "p50>", "p99>", "max>", ""}}
	for _, g := range filter(gs, func(g *group) bool { return g.asked() == rate }) {
		t.add(g.arm, tight(g.p50(readTime)), g.percentile(readTime, 99), figures3(float64(g.hist(readTime).Max)), m.mark(g))
	}
	m.WriteString(t.String())
	m.line("")
}

// rates shows up to which rate a live reader loses nothing.
func (m *mail) rates() {
	gs := timedAt(swept(m.groups[loss]))
	if len(gs) == 0 {
		return
	}
	p := gs[0].place
	m.head("Rate that a live reader keeps up with")
	second := ""
	if p.mode == result.ICount {
		second = " (10^9 instructions)"
	}
	_, top := spans(gs, (*group).asked)
	fewest, most := spans(gs, func(g *group) uint64 { return g.burst })
	m.para(fmt.Sprintf("%v, mode %s, open loop, errors per second of guest time%s, %s. Detail: up to here every error has a record. No loss: allows for errors that are known only by count. "+
		"The last columns are of the highest rate, %s where a channel was asked for it; made%%: how much of it the injector achieved. "+
		"A trial is %s to %s errors: a queue as long as that hides a deficit, so that channels compare only where their queues are alike.", p, p.mode, second, sample(gs), figures3(top), count(fewest), count(most)))
	var rates []string
	t := &textTable{heads: []string{"channel", "queue>", "detail>", "no loss>", "made%>", "count%>", "lost%>", ""}}
	for _, a := range armsOf(gs) {
		series := swept(ofArm(gs, a))
		g := series[len(series)-1]
		detail, noLoss := rateUpTo(series, (*group).inDetail), rateUpTo(series, (*group).lossless)
		rates = append(rates, detail, noLoss)
		t.add(a, g.queue.String(), detail, noLoss,
			percent(min(100, 100*g.rate()/g.asked())), narrow(g.compactShare(coalesced)), narrow(lossOf(g)), m.markRates(series))
	}
	m.WriteString(t.String())
	m.line("")
	if s := rateWords(rates); s != "" {
		m.para(s)
	}
}

// targets shows what the prototype was to cost, and what it costs.
func (m *mail) targets() {
	if len(inMode(m.groups[targets], result.ICount))+len(inMode(m.groups[price], result.ICount))+len(inMode(m.groups[decode], result.ICount)) == 0 {
		return
	}
	m.head("Targets of the prototype, in instructions")
	for _, row := range m.targetRows() {
		m.item("- ", "  ", row[0]+":")
		text := fmt.Sprintf("%s, wanted %s", row[1], row[2])
		if row[3] != "–" {
			text += " of " + row[3]
		}
		m.item("  ", "  ", strings.TrimRight(text+": "+strings.ReplaceAll(row[4], "**", "")+" "+row[5], " "))
	}
	m.line("")
}

// warned lists what the marks in brackets refer to.
func (m *mail) warned() {
	if len(m.notes) == 0 {
		return
	}
	m.head("Warnings")
	for i, n := range m.notes {
		m.item(fmt.Sprintf("%-4s ", fmt.Sprintf("[%d]", i+1)), "     ", n.String())
	}
	m.line("")
}

// limits says what the numbers are not.
func (m *mail) limits() {
	m.head("What these numbers are not")
	var some bool
	limit := func(text string) { m.item("- ", "  ", text); some = true }
	for _, mode := range []result.Mode{result.ICount, result.TCG} {
		if !slices.ContainsFunc(m.run.Boots, func(b result.Boot) bool { return b.Mode == mode }) {
			continue
		}
		if mode == result.ICount {
			limit("Not nanoseconds: a count of instructions knows no cache misses and no price of locked operations.")
			limit("Not ten kernels: the boots differ in their seeds and in the order of the cells, not in how the compiler laid out the code. The intervals hold for this build.")
		} else {
			limit("Not timing of several CPUs: those are emulated, and only what is lost and what is said about it counts.")
		}
	}
	for _, s := range []string{overflow, latency} {
		if gs := m.groups[s]; len(gs) > 0 {
			if _, most := boots(gs); most < 6 {
				limit(fmt.Sprintf("Not many: %s of each cell of %s.", plural(uint64(most), "boot", "boots"), s))
			}
		}
	}
	if len(m.failed) > 0 {
		limit(fmt.Sprintf("Not complete: %s failed.", plural(uint64(len(m.failed)), "cell", "cells")))
	}
	if !some {
		m.line("Nothing to add: the modes of this run give nanoseconds.")
	}
	m.line("")
}

func (m *mail) reproduce() {
	m.head("Reproduce")
	for _, c := range commands(m.data) {
		m.item("  ", "      ", c.line)
	}
	m.line("")
	m.para("Run them where wqfan is checked out; it finds or fetches the kernel, applies its series, builds and boots it. DIR is the directory of this run: that of this text, which is below reports/ there if the run is kept. Its report.md and report.html have the plots and all tables; run.json has everything.")
	for _, x := range messages {
		m.line("[%s] https://lore.kernel.org/r/%s", x.letter, x.id)
	}
}

// textTable is a table of plain text.
type textTable table

func (t *textTable) add(cells ...string) { t.rows = append(t.rows, cells) }

// String aligns the table. Where it is wider than the list takes, cells go on in
// a second line, the widest column's first; nothing is cut.
func (t *textTable) String() string {
	width, least := make([]int, len(t.heads)), make([]int, len(t.heads))
	right := make([]bool, len(t.heads))
	rows := make([][]string, 1, 1+len(t.rows))
	rows[0] = make([]string, len(t.heads))
	for i, h := range t.heads {
		rows[0][i], right[i] = strings.CutSuffix(h, ">")
	}
	for _, r := range t.rows {
		line := make([]string, len(r))
		for i, c := range r {
			line[i] = ascii(clean(c))
		}
		rows = append(rows, line)
	}
	gap, total := 2, -2
	for i := range width {
		for _, r := range rows {
			width[i] = max(width[i], len(r[i]))
		}
		for n, r := range rows {
			parts := strings.Fields(r[i])
			if n == 0 || i == 0 {
				parts = breakable(r[i])
			}
			for _, part := range parts {
				least[i] = max(least[i], len(strings.TrimRight(part, " ")))
			}
		}
		total += width[i] + gap
	}
	name := least[0]
	least[0] = width[0] // the names last
	if total > lkmlWidth {
		gap, total = 1, total-(len(width)-1)
	}
	for total > lkmlWidth {
		widest := -1
		for i := range width {
			if width[i] > least[i] && (widest < 0 || width[i] > width[widest]) {
				widest = i
			}
		}
		switch {
		case widest >= 0:
			width[widest]--
			total--
		case least[0] > name:
			least[0] = name
		default: // a word has to be broken
			widest = slices.Index(width, slices.Max(width))
			width[widest]--
			total--
		}
	}
	var b strings.Builder
	for _, r := range rows {
		cells, lines := make([][]string, len(r)), 1
		for i, c := range r {
			cells[i] = wrap(c, width[i])
			lines = max(lines, len(cells[i]))
		}
		for n := range lines {
			var line string
			for i, c := range cells {
				pad, text := "%-*s%*s", ""
				if right[i] {
					pad = "%*s%*s"
				}
				if n < len(c) {
					text = c[n]
				}
				line += fmt.Sprintf(pad, width[i], text, gap, "")
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	return b.String()
}

// breakable returns the parts of a cell that stay together: it may be broken
// behind a space, and names behind a hyphen.
func breakable(s string) (out []string) {
	from := 0
	for i := range s {
		if s[i] == ' ' || s[i] == '-' && i > 0 && 'a' <= s[i-1] && s[i-1] <= 'z' {
			out, from = append(out, s[from:i+1]), i+1
		}
	}
	return append(out, s[from:])
}

// wrap breaks a cell into lines of at most n columns.
func wrap(s string, n int) []string {
	var lines []string
	line := ""
	for _, part := range breakable(s) {
		if line != "" && len(line)+len(strings.TrimRight(part, " ")) > n {
			lines, line = append(lines, strings.TrimRight(line, " ")), ""
		}
		line += part
		for len(strings.TrimRight(line, " ")) > n {
			lines, line = append(lines, line[:n]), line[n:]
		}
	}
	return append(lines, strings.TrimRight(line, " "))
}
