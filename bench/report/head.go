// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"wqfan/bench/result"
)

func (d *doc) head() {
	d.para("# fanotify against watch_queue: filesystem errors on %s", d.kernels())
	verdict := status(d.data)
	if !d.run.Complete || len(d.failed) > 0 || len(d.broken) > 0 {
		verdict = "**" + verdict + "**"
	}
	d.para("%s", verdict)
}

// status is the run in one sentence.
func status(d *data) string {
	r := d.run
	var s string
	switch {
	case !r.Complete:
		s = fmt.Sprintf("INCOMPLETE: %s of %s cells were measured: %s.", count(uint64(len(r.Cells))), count(uint64(r.Planned)), cmp.Or(oneLine(r.Reason), "no reason is recorded"))
	case len(d.failed) > 0:
		s = fmt.Sprintf("FAILED in %s of %s.", count(uint64(len(d.failed))), plural(uint64(len(r.Cells)), "cell", "cells"))
	default:
		s = fmt.Sprintf("Complete: %s in %s.", plural(uint64(len(r.Cells)), "cell", "cells"), plural(uint64(len(r.Boots)), "boot", "boots"))
	}
	var injected, silent uint64
	for i := range r.Cells {
		if c := &r.Cells[i]; c.Err == "" {
			injected += c.Account.Injected
			silent += c.Account.Silent
		}
	}
	by := ""
	if silent > 0 {
		by = " (" + d.mute(func(string) bool { return true }) + ")"
	}
	switch {
	case len(d.broken) > 0:
		s += fmt.Sprintf(" The account does not close in %s.", plural(uint64(len(d.broken)), "cell", "cells"))
	case injected > 0:
		s += fmt.Sprintf(" Of %s errors none is unexplained; lost silently: %s%s.", count(injected), count(silent), by)
	}
	return s
}

// mute says how many errors the arms that are asked for lost silently.
func (d *data) mute(of func(arm string) bool) string {
	lost := map[string]uint64{}
	for _, gs := range d.groups {
		for _, g := range gs {
			for i := range g.cells {
				if n := g.cells[i].Account.Silent; n > 0 && of(g.arm) {
					lost[g.arm] += n
				}
			}
		}
	}
	var out []string
	for _, a := range slices.SortedFunc(maps.Keys(lost), compareArms) {
		out = append(out, a+" "+count(lost[a]))
	}
	return strings.Join(out, ", ")
}

// kernels names what was booted.
func (d *data) kernels() string {
	var out []string
	for _, b := range d.run.Boots {
		s := "Linux " + cmp.Or(oneLine(b.Kernel.Release), "(unknown)")
		if v := oneLine(b.Kernel.Variant); v != "" {
			s += " (" + v + ")"
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return cmp.Or(strings.Join(out, ", "), "no kernel: nothing was booted")
}

// problems lists, before any number, what went wrong.
func (d *doc) problems() {
	var list []string
	for _, b := range d.run.Boots {
		if b.Verdict == "ok" {
			continue
		}
		s := fmt.Sprintf("boot `%s` did not end well: %s", oneLine(b.ID), cmp.Or(oneLine(b.Verdict), "no verdict is recorded"))
		if b.Serial != "" {
			s += fmt.Sprintf("; its console is in [%s](%s)", oneLine(b.Serial), oneLine(b.Serial))
		}
		list = append(list, s)
	}
	for _, c := range d.failed {
		list = append(list, fmt.Sprintf("cell `%s` failed: %s", oneLine(c.ID), oneLine(c.Err)))
	}
	for _, c := range d.broken {
		list = append(list, fmt.Sprintf("cell `%s` does not add up: %v", oneLine(c.ID), c.Account))
	}
	if len(list) == 0 {
		return
	}
	d.para("## What went wrong")
	const most = 20
	for i, s := range list {
		if i == most {
			fmt.Fprintf(d, "- and %s more: see run.json\n", count(uint64(len(list)-most)))
			break
		}
		fmt.Fprintf(d, "- %s\n", s)
	}
	d.WriteByte('\n')
}

func (d *doc) setup() {
	d.para("## What ran")
	add := func(k, v string) {
		if v = oneLine(v); v != "" {
			fmt.Fprintf(d, "- %s: %s\n", k, shorten(v))
		}
	}
	var kernels []string
	for _, b := range d.run.Boots {
		k := b.Kernel
		s := "base " + cmp.Or(k.Base, "unknown") + ", series " + cmp.Or(hash(k.Series), "none") + ", config " + cmp.Or(hash(k.Config), "unknown") + ", " + k.CC
		if !slices.Contains(kernels, s) {
			kernels = append(kernels, s)
			add("kernel", k.Release+" ("+k.Variant+"): "+strings.TrimSuffix(s, ", "))
		}
	}
	for _, m := range modes {
		var boots []string
		for _, b := range d.run.Boots {
			if b.Mode == m {
				boots = append(boots, fmt.Sprintf("%s, %d MiB", cpuCount(b.CPUs), b.MemMiB))
			}
		}
		if len(boots) > 0 {
			_, means, _ := strings.Cut(modeNote(m), ": ")
			add("mode "+string(m), strings.Join(slices.Compact(boots), "; ")+": "+means)
		}
	}
	h := d.run.Host
	host := []string{}
	for _, s := range []string{h.CPU, plural(uint64(max(0, h.CPUs)), "CPU", "CPUs"), h.QEMU} {
		if s != "" && s != "0 CPUs" {
			host = append(host, s)
		}
	}
	if h.Kernel != "" {
		host = append(host, "Linux "+h.Kernel)
	}
	add("host", strings.Join(host, ", "))
	add("KVM", h.KVM)
	for _, x := range calibration(d.data) {
		fmt.Fprintf(d, "- %s: %s\n", x[0], oneLine(x[1]))
	}
	if h.Go != "" || h.Revision != "" {
		add("wqfan", cmp.Or(hash(h.Revision), "unknown revision")+", "+h.Go)
	}
	if !d.run.Started.IsZero() {
		add("started", d.run.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	for _, a := range d.arms {
		add("channel `"+a+"`", styleOf(a).about)
	}
	d.WriteByte('\n')
}

// calibration returns what the clock and an empty read cost in the boots of each
// mode, and in what environment: a name and a line for each. Each boot's own is in
// run.json.
func calibration(d *data) (out [][2]string) {
	for _, m := range modes {
		var clock [4][]float64
		var boots []result.Boot
		for _, b := range d.run.Boots {
			if b.Mode != m {
				continue
			}
			boots = append(boots, b)
			for i, v := range []int64{b.Clock.ReadP50, b.Clock.Resolution, b.Clock.EmptyFan, b.Clock.EmptyWQ} {
				if v >= 0 {
					clock[i] = append(clock[i], float64(v))
				}
			}
		}
		if len(boots) == 0 {
			continue
		}
		out = append(out, [2]string{"clock", fmt.Sprintf("mode %s, over %s: to read it takes %s %s, its steps are %s; read(2) of an empty fanotify group takes %s, of an empty watch queue %s",
			m, plural(uint64(len(boots)), "boot", "boots"), fromTo(clock[0]), m.Unit(), fromTo(clock[1]), fromTo(clock[2]), fromTo(clock[3]))})
		out = append(out, [2]string{"guests", environment(boots, func(b result.Boot) result.Environment { return b.Guest })})
		if m != result.Native {
			out = append(out, [2]string{"hosts", environment(boots, func(b result.Boot) result.Environment { return b.Host })})
		}
	}
	return out
}

// environment writes what the boots say of a machine. What none of them tells is
// said, too: it is not known.
func environment(boots []result.Boot, of func(result.Boot) result.Environment) string {
	all := func(text func(result.Environment) string) string {
		var out []string
		for _, b := range boots {
			if s := text(of(b)); s != "" && !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	var load, steal []float64
	for _, b := range boots {
		load, steal = append(load, of(b).Load), append(steal, of(b).Steal)
	}
	return fmt.Sprintf("clocksource %s; governor %s; pinned to CPUs: %s; load %s; stolen in a boot: %s s; mitigations: %s",
		cmp.Or(all(func(e result.Environment) string { return e.Clocksource }), "not told"),
		cmp.Or(all(func(e result.Environment) string { return e.Governor }), "not told"),
		cmp.Or(all(func(e result.Environment) string { return e.Pinned }), "none"),
		fromTo(load), fromTo(steal),
		cmp.Or(all(mitigations), "none told"))
}

// mitigations names what a CPU is prone to, and whether something is done about
// it; how is in run.json.
func mitigations(e result.Environment) string {
	var out []string
	for _, m := range e.Mitigations {
		name, state, _ := strings.Cut(m, ": ")
		if i := strings.IndexAny(state, ":;"); i >= 0 {
			state = state[:i]
		}
		out = append(out, name+" "+strings.ToLower(state))
	}
	return strings.Join(out, ", ")
}

// fromTo writes the smallest and the largest of some numbers.
func fromTo(xs []float64) string {
	if len(xs) == 0 {
		return "not measured"
	}
	lo, hi := exact(slices.Min(xs)), exact(slices.Max(xs))
	if lo == hi {
		return lo
	}
	return lo + " to " + hi
}

// exact writes a number with all its figures.
func exact(v float64) string {
	whole, part, _ := strings.Cut(strconv.FormatFloat(v, 'f', -1, 64), ".")
	if part != "" {
		part = "." + part
	}
	return thousands(whole) + part
}

// shorten keeps the essentials to a line or two; run.json has all of it.
func shorten(s string) string {
	const most = 160
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return strings.TrimRight(string(r[:most]), " ") + " …"
}

// hash shortens a hash for people; run.json has all of it.
func hash(s string) string {
	s, dirty := strings.CutSuffix(s, "+dirty")
	if len(s) > 12 {
		s = s[:12]
	}
	if dirty {
		s += "+dirty"
	}
	return s
}

// command is one that makes a run's numbers again.
type command struct{ line, makes string }

// commands returns how to measure anew, and how to make tables and plots from
// the record.
func commands(d *data) []command {
	out := []command{
		{"wqfan report DIR", "this report, offline, from " + result.RunFile + " and hdr/"},
		{"benchstat -col /arm DIR/" + result.BenchFile, "the channels side by side"},
	}
	if len(d.run.Command) == 0 {
		return out
	}
	return slices.Insert(out, 0, command{commandLine(d.run.Command), "measure anew"})
}

// commandLine writes a command of wqfan for a shell.
func commandLine(words []string) string {
	var line strings.Builder
	line.WriteString("wqfan")
	for _, w := range words {
		w = clean(w)
		if w == "" || strings.ContainsAny(w, " \"'`$\\|&;<>()*?#~") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		line.WriteString(" " + w)
	}
	return line.String()
}

func (d *doc) again() {
	d.para("## Again")
	d.para("DIR is the directory of this run, where this report is.")
	d.WriteString("```\n")
	for _, c := range commands(d.data) {
		fmt.Fprintf(d, "%-31s # %s\n", c.line, c.makes)
	}
	d.WriteString("```\n")
}
