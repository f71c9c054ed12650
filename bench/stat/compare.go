// SPDX-License-Identifier: MIT

package stat

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"

	"wqfan/bench/result"
)

// Alpha is the probability that a comparison of two equal kernels calls any
// metric changed, however many it has.
const Alpha = 0.01

// Least is the smallest effect that a comparison speaks of unless it is told
// otherwise, a part: another build of the same code is an instruction longer or
// shorter here and there, and where every boot counts the same no noise hides it.
const Least = 0.01

// Published is how many boots a number takes that is to be published.
const Published = 10

// Verdict is what a comparison says of a metric.
type Verdict string

// The verdicts.
const (
	Same      Verdict = "~"
	Better    Verdict = "better"
	Worse     Verdict = "worse"
	Undecided Verdict = "?"    // Metric.Warnings say why
	Void      Verdict = "void" // the cell is as invalid in the old kernel: there is nothing to hold the new one against
)

// Metric is one number of a cell in two kernels.
type Metric struct {
	Cell     string    `json:"cell"`
	Name     string    `json:"name"` // "p50 intended-to-read"
	Unit     string    `json:"unit"`
	OldBoots int       `json:"old_boots"`
	NewBoots int       `json:"new_boots"`
	Old      float64   `json:"old"` // mean over the boots
	New      float64   `json:"new"`
	OldMax   float64   `json:"old_max"` // largest single value
	NewMax   float64   `json:"new_max"`
	Equal    bool      `json:"equal"`           // in all boots of both: nothing to test
	Ratio    *Interval `json:"ratio,omitempty"` // New/Old; none where Old is 0
	Floor    *float64  `json:"floor,omitempty"` // noise floor, a part; none where a boot has no like
	P        float64   `json:"p"`               // two-sided Mann-Whitney
	Verdict  Verdict   `json:"verdict"`
	Warnings []string  `json:"warnings,omitempty"`

	higher bool // is better
}

// Comparison holds every metric of two kernels, or of two that a run boots in
// turns against the same two of other runs.
type Comparison struct {
	Modes    []result.Mode   `json:"modes"`
	Old      []result.Kernel `json:"old"` // by variant
	New      []result.Kernel `json:"new"`
	Host     result.Host     `json:"host"`
	Least    float64         `json:"least"` // smallest effect that counts, a part
	Metrics  []Metric        `json:"metrics"`
	Warnings []string        `json:"warnings,omitempty"` // of all metrics
}

// With returns how many metrics have a verdict.
func (c *Comparison) With(v Verdict) (n int) {
	for _, m := range c.Metrics {
		if m.Verdict == v {
			n++
		}
	}
	return n
}

// NotComparableError says why two sides cannot be held against each other.
type NotComparableError struct{ Why []string }

func (e *NotComparableError) Error() string { return "not comparable: " + strings.Join(e.Why, "; ") }

// Compare holds the runs of one kernel against those of another. A metric has
// changed when its ratio lies outside the noise floor of the boots of either
// side and is off by at least the part least, the interval of the ratio leaves
// out 1, and Mann and Whitney's test, corrected after Holm for the number of
// metrics, is significant at [Alpha]; and if errors are lost silently where none
// were before, in an invalid cell too. The error is a *[NotComparableError].
func Compare(old, new []*result.Run, least float64) (*Comparison, error) {
	a, b := newSide("OLD", old), newSide("NEW", new)
	// Runs that were measured in different ways lack each other's cells as well,
	// which then says nothing.
	for _, why := range [][]string{slices.Concat(a.elsewhere(b), a.broken, b.broken), a.unlike(b)} {
		if len(why) > 0 {
			return nil, &NotComparableError{why}
		}
	}
	c := &Comparison{Old: a.kernels, New: b.kernels, Host: old[0].Host, Least: least, Warnings: a.drift(b)}
	for _, id := range a.ids() {
		if !slices.Contains(c.Modes, a.cells[id].mode) {
			c.Modes = append(c.Modes, a.cells[id].mode)
		}
		c.Metrics = append(c.Metrics, metricsOf(id, a.cells[id], b.cells[id])...)
	}
	slices.Sort(c.Modes)
	judge(c.Metrics, least)
	return c, nil
}

// side is a kernel, or one of each variant: the cells over all boots of all runs.
type side struct {
	name    string
	runs    []*result.Run
	kernels []result.Kernel // one of a variant
	cells   map[string]*repeated
	broken  []string // why there is nothing to compare it with
}

// repeated is a cell with one entry for each boot.
type repeated struct {
	mode  result.Mode
	mem   int
	cells []result.Cell
	clock []result.Calibration
}

func newSide(name string, runs []*result.Run) *side {
	s := &side{name: name, runs: runs, cells: map[string]*repeated{}}
	no := func(format string, args ...any) { s.broken = append(s.broken, name+" "+fmt.Sprintf(format, args...)) }
	var failed []string
	for _, r := range runs {
		s.broken = append(s.broken, unlikeHosts(name, runs[0], name, r)...)
		byID := map[string]result.Boot{}
		for _, b := range r.Boots {
			byID[b.ID] = b
			k := b.Kernel
			k.Cmdline = ""
			if k.Release == "" {
				continue // never came up
			}
			i := slices.IndexFunc(s.kernels, func(have result.Kernel) bool { return have.Variant == k.Variant })
			if i < 0 {
				s.kernels = append(s.kernels, k)
			} else if k != s.kernels[i] {
				no("is of two kernels: %s and %s", kernelName(s.kernels[i]), kernelName(k))
				return s
			}
		}
		for _, cell := range r.Cells {
			b := byID[cell.Boot]
			if cell.Err != "" {
				failed = append(failed, fmt.Sprintf("%s in %s: %s", cell.ID, cell.Boot, cell.Err))
				continue
			}
			c := s.cells[cell.ID]
			if c == nil {
				c = &repeated{mode: b.Mode, mem: b.MemMiB}
				s.cells[cell.ID] = c
			}
			if c.mode != b.Mode {
				no("is of two modes: %s in %s and in %s", cell.ID, c.mode, b.Mode)
				return s
			}
			c.cells, c.clock = append(c.cells, cell), append(c.clock, b.Clock)
		}
	}
	switch {
	case len(failed) > 0:
		no("has cells that failed: %s", some(failed))
	case len(s.cells) == 0:
		no("has no cell")
	}
	return s
}

// some lists the first of many.
func some(list []string) string {
	if n := len(list); n > 3 {
		list = append(slices.Clone(list[:3]), fmt.Sprintf("and %d more", n-3))
	}
	return strings.Join(list, ", ")
}

func (s *side) ids() []string { return slices.Sorted(maps.Keys(s.cells)) }

// elsewhere says that the sides were recorded or measured in ways whose numbers
// do not mean the same.
func (s *side) elsewhere(t *side) []string {
	why := unlikeHosts(s.name, s.runs[0], t.name, t.runs[0])
	places := map[string]bool{}
	mode := func(a, b string) {
		places[fmt.Sprintf("another mode: %s in %s, %s in %s, whose guest time is not the same thing", s.name, a, t.name, b)] = true
	}
	a, b := s.modes(), t.modes()
	if len(a) > 0 && len(b) > 0 && !slices.ContainsFunc(a, func(m string) bool { return slices.Contains(b, m) }) {
		mode(strings.Join(a, " and "), strings.Join(b, " and "))
	}
	for id, a := range s.cells {
		switch b := t.cells[id]; {
		case b == nil:
		case a.mode != b.mode:
			mode(string(a.mode), string(b.mode))
		case a.mem != b.mem:
			places[fmt.Sprintf("another machine: guests of %d MiB and of %d MiB", a.mem, b.mem)] = true
		}
	}
	return append(why, slices.Sorted(maps.Keys(places))...)
}

// modes returns those of the boots, in order.
func (s *side) modes() []string {
	modes := map[string]bool{}
	for _, r := range s.runs {
		for _, b := range r.Boots {
			modes[string(b.Mode)] = true
		}
	}
	return slices.Sorted(maps.Keys(modes))
}

// unlike says in which cells the sides differ.
func (s *side) unlike(t *side) []string {
	var why []string
	missing := func(a, b *side) {
		var ids []string
		for _, id := range a.ids() {
			if b.cells[id] == nil {
				ids = append(ids, id)
			}
		}
		if len(ids) > 0 {
			why = append(why, b.name+" lacks cells: "+some(ids))
		}
	}
	missing(s, t)
	missing(t, s)
	for _, id := range s.ids() {
		b := t.cells[id]
		if b == nil {
			continue
		}
		p, q := s.cells[id].cells[0].Params, b.cells[0].Params
		p.Seed, q.Seed = 0, 0
		if p != q {
			why = append(why, "another experiment by the same name: "+id)
		}
	}
	return why
}

// unlikeHosts says why times of two machines, or numbers of two records, cannot
// be compared. A count of instructions does not depend on the processor below
// the emulator.
func unlikeHosts(a string, r *result.Run, b string, q *result.Run) []string {
	var why []string
	if r.Schema != q.Schema {
		why = append(why, fmt.Sprintf("another schema: %s was recorded in %d, %s in %d, whose fields do not all mean the same: measure the older again", a, r.Schema, b, q.Schema))
	}
	if r.Host.QEMU != q.Host.QEMU {
		why = append(why, fmt.Sprintf("another machine: %s on %s, %s on %s", a, r.Host.QEMU, b, q.Host.QEMU))
	}
	counted := func(r *result.Run) bool {
		return !slices.ContainsFunc(r.Boots, func(b result.Boot) bool { return b.Mode != result.ICount })
	}
	if r.Host.CPU != q.Host.CPU && !(counted(r) && counted(q)) {
		why = append(why, fmt.Sprintf("another machine: %s on %s, %s on %s", a, r.Host.CPU, b, q.Host.CPU))
	}
	return why
}

// drift says what differs beside the kernel and does not forbid to compare.
func (s *side) drift(t *side) []string {
	var out []string
	for _, r := range append(slices.Clone(s.runs), t.runs...) {
		if r.Host.Revision != s.runs[0].Host.Revision {
			out = append(out, "measured by different revisions of wqfan: the reader is part of what is measured")
			break
		}
	}
	for _, k := range s.kernels {
		i := slices.IndexFunc(t.kernels, func(l result.Kernel) bool { return l.Variant == k.Variant })
		if i < 0 {
			continue
		}
		if l := t.kernels[i]; k.CC != l.CC {
			out = append(out, fmt.Sprintf("built by different compilers: %s and %s", k.CC, l.CC))
		} else if k.Config != l.Config {
			out = append(out, fmt.Sprintf("built with different configurations: %s and %s", k.Config, l.Config))
		}
	}
	for _, x := range []*side{s, t} {
		for _, r := range x.runs {
			if !r.Complete {
				out = append(out, fmt.Sprintf("%s is not complete: %s", x.name, r.Reason))
			}
		}
	}
	return out
}

func kernelName(k result.Kernel) string {
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s %s", k.Release, k.Series, k.Config)), " ")
}

// quantity is what is taken of each cell.
type quantity struct {
	name, unit string
	higher     bool // is better
	of         func(*result.Cell) (b Boot, largest float64, ok bool)
}

// steadily is how many values must lie beyond a quantile for it to be more than
// an accident of a few.
const steadily = 5

func quantities(cells []result.Cell) []quantity {
	var out []quantity
	c := &cells[0]
	// A boot may lack a histogram that others have: the one of most values counts.
	var hists []result.Hist
	for i := range cells {
		for _, h := range cells[i].Hists {
			switch at := slices.IndexFunc(hists, func(x result.Hist) bool { return x.Name == h.Name }); {
			case at < 0:
				hists = append(hists, h)
			case h.N > hists[at].N:
				hists[at] = h
			}
		}
	}
	for _, h := range hists {
		// How late the injector was is not the channel's, and a reader that
		// preempts the reporter is inside the time of its report.
		if h.Name == "lateness" || h.Name == "report-cost" && c.Params.Reader != "unread" {
			continue
		}
		for _, q := range []struct {
			name string
			q    float64
		}{{"p50", 0.5}, {"p99", 0.99}} {
			if q.q > 0.5 && float64(h.N)*(1-q.q) < steadily {
				continue
			}
			out = append(out, quantity{name: q.name + " " + h.Name, unit: h.Unit, of: func(c *result.Cell) (Boot, float64, bool) {
				i := slices.IndexFunc(c.Hists, func(x result.Hist) bool { return x.Name == h.Name })
				if i < 0 || c.Hists[i].N == 0 || c.Hists[i].Data == nil {
					return Boot{}, 0, false
				}
				return AtQuantile(c.Hists[i].Data, q.q), float64(c.Hists[i].Max), true
			}})
		}
	}
	for _, n := range []struct {
		name   string
		higher bool
		of     func(*result.Cell) uint64
	}{
		{"in detail", true, func(c *result.Cell) uint64 { return c.Account.Detailed }},
		{"lost, signalled", false, func(c *result.Cell) uint64 { return c.Account.Signalled }},
		{lostSilently, false, func(c *result.Cell) uint64 { return c.Account.Silent }},
	} {
		out = append(out, quantity{n.name, "errors", n.higher, func(c *result.Cell) (Boot, float64, bool) {
			v := float64(n.of(c))
			return Number(v), v, true
		}})
	}
	return out
}

const lostSilently = "lost silently"

func metricsOf(id string, old, new *repeated) []Metric {
	var out []Metric
	for _, q := range quantities(slices.Concat(old.cells, new.cells)) {
		m := Metric{Cell: id, Name: q.name, Unit: q.unit, higher: q.higher}
		var a, b []Boot
		collect := func(r *repeated, boots *[]Boot, largest *float64) {
			for i := range r.cells {
				v, most, ok := q.of(&r.cells[i])
				if ok {
					*boots, *largest = append(*boots, v), max(*largest, most)
				}
			}
		}
		collect(old, &a, &m.OldMax)
		collect(new, &b, &m.NewMax)
		m.OldBoots, m.NewBoots = len(a), len(b)
		if len(a) == 0 || len(b) == 0 {
			m.Verdict, m.Warnings = Undecided, []string{"measured on one side only"}
			out = append(out, m)
			continue
		}
		m.measure(a, b)
		m.warn(old, new)
		out = append(out, m)
	}
	return out
}

// measure takes the numbers, all but the verdict.
func (m *Metric) measure(a, b []Boot) {
	m.Old, m.New = meanOf(a), meanOf(b)
	all := append(slices.Clone(a), b...)
	m.Equal = !slices.ContainsFunc(all, func(x Boot) bool { return x.Value != a[0].Value })
	if m.Equal {
		m.P, m.Floor = 1, new(float64)
		if m.Old > 0 {
			m.Ratio = &Interval{1, 1, 1}
		}
		return
	}
	if m.Old > 0 {
		r := Ratio(a, b)
		if !math.IsInf(r.Hi, 0) {
			m.Ratio = &r
		}
	}
	if f := max(Floor(a), Floor(b)); !math.IsInf(f, 0) {
		m.Floor = &f
	}
	m.P = benchmath.AssumeNothing.Compare(sampleOf(a), sampleOf(b)).P
}

func sampleOf(boots []Boot) *benchmath.Sample {
	var xs []float64
	for _, b := range boots {
		xs = append(xs, b.Value)
	}
	return benchmath.NewSample(xs, &benchmath.Thresholds{CompareAlpha: Alpha})
}

// mostlyValid is the part of a cell's boots that may be invalid without it being
// so: neither a median nor ranks are moved by two of ten.
const mostlyValid = 0.2

// invalid begins the warning of a cell whose numbers describe something else
// than they say.
const invalid = "invalid: "

// invalid is in which part of its boots the cell is invalid.
func (r *repeated) invalid() float64 {
	n := 0
	for _, c := range r.cells {
		if slices.ContainsFunc(c.Warnings, func(w string) bool { return strings.HasPrefix(w, invalid) }) {
			n++
		}
	}
	return float64(n) / float64(len(r.cells))
}

// warn gathers what has to be known with the number.
func (m *Metric) warn(old, new *repeated) {
	seen := map[string]int{} // number in Warnings, by the text without its figures
	add := func(text string) {
		key := figures.ReplaceAllString(text, "#")
		if _, ok := seen[key]; !ok {
			seen[key] = 0
			m.Warnings = append(m.Warnings, text)
		}
		seen[key]++
	}
	if w := Few(min(m.OldBoots, m.NewBoots)); w != "" {
		add(w)
	}
	switch a, b := old.invalid(), new.invalid(); {
	case max(a, b) <= mostlyValid || m.Name == lostSilently:
	case min(a, b) <= mostlyValid || math.Abs(b-a) > 0.5: // the kernel may be why the injector was late
		m.Verdict = Undecided
		add(fmt.Sprintf("invalid in %.0f %% of OLD's boots and %.0f %% of NEW's", 100*a, 100*b))
	default:
		m.Verdict = Void
	}
	for _, side := range []struct {
		name  string
		have  int
		boots int
	}{{"OLD", m.OldBoots, len(old.cells)}, {"NEW", m.NewBoots, len(new.cells)}} {
		if side.have < side.boots {
			add(fmt.Sprintf("measured in %d of %d boots of %s", side.have, side.boots, side.name))
		}
	}
	timed := m.Unit != "errors"
	for _, side := range []*repeated{old, new} {
		drifting, n := 0, 0
		for i, c := range side.cells {
			for _, w := range c.Warnings {
				add(w)
			}
			if !timed {
				continue
			}
			if w := Coarse(side.clock[i], m.Old); w != "" {
				add(w)
			}
			for _, h := range c.Hists {
				if strings.HasSuffix(m.Name, " "+h.Name) && len(h.Windows) > 0 {
					n++
					if !Settled(h) {
						drifting++
					}
				}
			}
		}
		if drifting > 0 {
			add(fmt.Sprintf("no steady state in %d of %d boots", drifting, n))
		}
	}
}

// Coarse says that the steps of the clock are too large for a duration, or "".
func Coarse(clock result.Calibration, duration float64) string {
	if r := float64(clock.Resolution); r > alike*duration {
		return fmt.Sprintf("clock too coarse: its steps are %.0f", r)
	}
	return ""
}

// Few says that a number comes from fewer boots than one that is published, or "".
func Few(boots int) string {
	if boots >= Published {
		return ""
	}
	return fmt.Sprintf("%d of the %d boots that a published number takes", boots, Published)
}

var figures = regexp.MustCompile(`[0-9]+`)

// Settled says that the values of a histogram reached a steady state, as far as
// their order is known.
func Settled(h result.Hist) bool {
	return len(h.Windows) == 0 || SteadyState(floats(h.Windows)).Reached()
}

func floats(xs []int64) []float64 {
	var out []float64
	for _, x := range xs {
		out = append(out, float64(x))
	}
	return out
}

// judge gives the verdicts, with Holm's correction: from the smallest p on, each
// is held against Alpha divided by the number of those that are left.
func judge(ms []Metric, least float64) {
	var tested []*Metric
	for i := range ms {
		m := &ms[i]
		switch {
		case m.Name == lostSilently && m.OldMax == 0 && m.New > 0:
			m.Verdict = Worse // there is no chance in a guarantee that is broken
		case m.Verdict == Undecided || m.Verdict == Void:
		case m.Equal:
			m.Verdict = Same
		default:
			tested = append(tested, m)
		}
	}
	slices.SortStableFunc(tested, func(a, b *Metric) int { return cmp.Compare(a.P, b.P) })
	significant := true
	for i, m := range tested {
		level := Alpha / float64(len(tested)-i)
		significant = significant && m.P < level
		switch {
		case smallestP(m.OldBoots, m.NewBoots) >= Alpha/float64(len(tested)):
			m.Verdict = Undecided
			m.Warnings = append(m.Warnings, fmt.Sprintf("%d and %d boots are too few to tell a change from chance in %d metrics", m.OldBoots, m.NewBoots, len(tested)))
		case significant && m.outside(least):
			m.Verdict = Better
			if m.New > m.Old != m.higher {
				m.Verdict = Worse
			}
		default:
			m.Verdict = Same
		}
	}
}

// outside says that the effect is large enough and beyond the noise floor, and 1
// beyond the interval. Where boots count nothing there is neither, only the test.
func (m *Metric) outside(least float64) bool {
	if m.Ratio == nil || m.Floor == nil || m.New == 0 {
		return true
	}
	effect := max(m.New/m.Old, m.Old/m.New) - 1
	return effect > *m.Floor && effect >= least && (m.Ratio.Lo > 1 || m.Ratio.Hi < 1)
}

// smallestP is the least that the test can give for so many boots: when each
// boot of one side is above all of the other.
func smallestP(n, m int) float64 {
	ways, _ := new(big.Float).SetInt(new(big.Int).Binomial(int64(n+m), int64(n))).Float64()
	return min(1, 2/ways)
}
