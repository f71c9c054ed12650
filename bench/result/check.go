// SPDX-License-Identifier: MIT

package result

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// What a record may hold. A whole matrix is two boots, a thousand cells and
// three arms on two filesystems; a report makes a table of each arm and a plot
// of each combination.
const (
	maxBoots    = 4096
	maxCells    = 100_000
	maxHists    = 16   // of a cell
	maxParts    = 100  // windows of a histogram
	maxTimeline = 1000 // instants of a cell
	maxArms     = 64   // different ones
	maxFS       = 64   // different ones
	maxCombos   = 4096 // different combinations of scenario, arm, filesystem and CPUs

	maxText = 200 // bytes of what names something
	maxFile = 255 // bytes of the name of a log

	// A rate beyond these is that of a clock which stood still or ran away.
	minRate, maxRate = 1e-3, 1e15
)

// checker checks a record piece by piece. The Writer keeps one too, so that it
// never writes what Load refuses.
type checker struct {
	boots  map[string]bool
	cells  map[cellKey]int // index
	files  map[string]bool
	arms   map[string]bool
	fs     map[string]bool
	combos map[combo]bool
}

// cellKey names a cell of a run: a repetition measures it in another boot.
type cellKey struct{ boot, id string }

type combo struct {
	scenario, variant, arm, fs string
	cpus                       int
}

func newChecker() *checker {
	return &checker{
		boots: map[string]bool{}, cells: map[cellKey]int{}, files: map[string]bool{},
		arms: map[string]bool{}, fs: map[string]bool{}, combos: map[combo]bool{},
	}
}

func check(r *Run) error {
	if err := checkHeader(r); err != nil {
		return err
	}
	k := newChecker()
	for i := range r.Boots {
		if id := r.Boots[i].ID; k.boots[id] {
			return invalid(fmt.Sprintf("boots[%d].id", i), "%q is not the only one", id)
		}
		if err := k.boot(i, &r.Boots[i]); err != nil {
			return err
		}
	}
	for i := range r.Cells {
		if err := k.cell(i, &r.Cells[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkHeader(r *Run) error {
	if r.Complete && len(r.Cells) < r.Planned {
		return invalid("complete", "true, with %d cells of %d", len(r.Cells), r.Planned)
	}
	if r.WallSecs < 0 {
		return invalid("wall_s", "%v: a duration is not negative", r.WallSecs)
	}
	return checkCounts("", []count{{"planned", r.Planned}, {"at_once", r.AtOnce}, {"host.cpus", r.Host.CPUs}})
}

// boot checks and takes boot i, which may replace one of the same ID.
func (k *checker) boot(i int, b *Boot) error {
	at := fmt.Sprintf("boots[%d].", i)
	switch b.Mode {
	case KVM, Native, TCG, ICount:
	default:
		return invalid(at+"mode", "%q is none of %s, %s, %s, %s", b.Mode, KVM, Native, TCG, ICount)
	}
	if err := checkName(at+"id", b.ID); err != nil {
		return err
	}
	if b.Serial != "" && !plainFile(b.Serial) {
		return invalid(at+"serial", "%q is no plain name of a file in the run's directory", b.Serial)
	}
	if err := checkCounts(at, []count{{"cpus", b.CPUs}, {"mem_mib", b.MemMiB}}); err != nil {
		return err
	}
	if b.WallSecs < 0 {
		return invalid(at+"wall_s", "%v: a duration is not negative", b.WallSecs)
	}
	if !k.boots[b.ID] && len(k.boots) >= maxBoots {
		return invalid("boots", "more than %d", maxBoots)
	}
	k.boots[b.ID] = true
	return nil
}

// cell checks and takes cell i.
func (k *checker) cell(i int, c *Cell) error {
	at := fmt.Sprintf("cells[%d].", i)
	if err := k.checkCell(at, c); err != nil {
		return err
	}
	for j := range c.Hists {
		at := fmt.Sprintf("%shists[%d].", at, j)
		if err := checkHist(at, &c.Hists[j]); err != nil {
			return err
		}
		if f := c.Hists[j].File; f != "" {
			if f = path.Clean(f); k.files[f] {
				return invalid(at+"file", "%q is the raw data of another histogram too", f)
			}
			k.files[f] = true
		}
	}
	k.cells[cellKey{c.Boot, c.ID}] = i
	k.arms[c.Arm], k.fs[c.FS], k.combos[comboOf(c)] = true, true, true
	return nil
}

func comboOf(c *Cell) combo { return combo{c.Scenario, c.Variant, c.Arm, c.FS, c.CPUs} }

// checkCell checks c but for its histograms.
func (k *checker) checkCell(at string, c *Cell) error {
	if err := checkName(at+"id", c.ID); err != nil {
		return err
	}
	if first, ok := k.cells[cellKey{c.Boot, c.ID}]; ok {
		return invalid(at+"id", "%q is the ID of cells[%d] of the same boot too", c.ID, first)
	}
	if !k.boots[c.Boot] {
		return invalid(at+"boot", "cell %q was measured in boot %q, which is not among the boots", c.ID, c.Boot)
	}
	for _, t := range []struct{ field, text string }{{"scenario", c.Scenario}, {"variant", c.Variant}, {"arm", c.Arm}, {"fs", c.FS}, {"point", c.Point}} {
		if err := checkText(at+t.field, t.text, maxText); err != nil {
			return err
		}
	}
	if err := checkCounts(at, []count{{"cpus", c.CPUs}, {"params.targets", c.Params.Targets}, {"params.threads", c.Params.Threads}}); err != nil {
		return err
	}
	if !credibleRate(c.Flood.Rate) {
		return invalid(at+"flood.rate", "%v errors per second is neither 0, for unknown, nor within %g and %g", c.Flood.Rate, minRate, maxRate)
	}
	if err := checkTimeline(at+"timeline.", c.Timeline); err != nil {
		return err
	}
	switch {
	case len(k.cells) >= maxCells:
		return invalid("cells", "more than %d", maxCells)
	case len(c.Hists) > maxHists:
		return invalid(at+"hists", "%d, at most %d are taken", len(c.Hists), maxHists)
	case !k.arms[c.Arm] && len(k.arms) >= maxArms:
		return invalid(at+"arm", "%q is one more than the %d arms that a run may have", c.Arm, maxArms)
	case !k.fs[c.FS] && len(k.fs) >= maxFS:
		return invalid(at+"fs", "%q is one more than the %d filesystems that a run may have", c.FS, maxFS)
	case !k.combos[comboOf(c)] && len(k.combos) >= maxCombos:
		return invalid(strings.TrimSuffix(at, "."), "scenario %q, arm %q, fs %q and cpus %d are one more than the %d combinations that a run may have",
			c.Scenario, c.Arm, c.FS, c.CPUs, maxCombos)
	}
	return nil
}

// credibleRate also refuses what is no number.
func credibleRate(r float64) bool { return r == 0 || r >= minRate && r <= maxRate }

func checkTimeline(at string, t *Timeline) error {
	if t == nil {
		return nil
	}
	n := len(t.At)
	switch {
	case n > maxTimeline:
		return invalid(at+"at", "%d instants, at most %d are taken", n, maxTimeline)
	case len(t.Reported) != n, len(t.Read) != n, t.Lost != nil && len(t.Lost) != n:
		return invalid(at+"at", "%d instants, but %d reported, %d read and %d lost", n, len(t.Reported), len(t.Read), len(t.Lost))
	case !slices.IsSorted(t.At) || n > 0 && t.At[0] < 0:
		return invalid(at+"at", "the times do not rise from 0")
	case !slices.IsSorted(t.Reported), !slices.IsSorted(t.Read), !slices.IsSorted(t.Lost):
		return invalid(at+"reported", "reported, read and lost are sums and never fall")
	case len(t.Signals) > MaxSignals:
		return invalid(at+"signals", "%d, at most %d are taken", len(t.Signals), MaxSignals)
	}
	return nil
}

func checkHist(at string, h *Hist) error {
	if h.Unit == "" {
		return invalid(at+"unit", "empty: the numbers of %q mean nothing", h.Name)
	}
	if err := checkName(at+"name", h.Name); err != nil {
		return err
	}
	if err := checkText(at+"unit", h.Unit, maxText); err != nil {
		return err
	}
	if err := checkText(at+"file", h.File, maxFile); err != nil {
		return err
	}
	switch {
	case h.N < 0:
		return invalid(at+"n", "%d: a count is not negative", h.N)
	case h.Min < 0:
		return invalid(at+"min", "%d: a duration is not negative", h.Min)
	case h.File != "" && !filepath.IsLocal(filepath.FromSlash(h.File)):
		return invalid(at+"file", "%q lies outside the run's directory", h.File)
	case len(h.Windows) > maxParts:
		return invalid(at+"windows", "%d, at most %d are taken", len(h.Windows), maxParts)
	case h.Encoded != "":
		return invalid(at+"encoded", "the raw data belongs into an HDR log")
	}
	if f, ok := h.monotone(); !ok {
		return invalid(at+f, "the percentiles of %q do not rise: min, p50, p90, p99, p99.9, max = %d %d %d %d %d %d",
			h.Name, h.Min, h.P50, h.P90, h.P99, h.P999, h.Max)
	}
	return nil
}

type count struct {
	field string
	n     int
}

func checkCounts(at string, counts []count) error {
	for _, c := range counts {
		if c.n < 0 {
			return invalid(at+c.field, "%d: a count is not negative", c.n)
		}
	}
	return nil
}

func checkName(field, s string) error {
	if s == "" {
		return invalid(field, "empty")
	}
	return checkText(field, s, maxText)
}

// checkText refuses what no table shows: long strings, and control characters
// with their like.
func checkText(field, s string, limit int) error {
	if len(s) > limit {
		return invalid(field, "%q and so on has %d bytes, at most %d are taken", s[:40], len(s), limit)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return invalid(field, "%q holds what cannot be printed", s)
	}
	return nil
}

// plainFile reports whether s names a file in the run's directory itself, in
// letters that mean the same everywhere.
func plainFile(s string) bool {
	return len(s) <= maxFile && !strings.HasPrefix(s, ".") && strings.Map(portable, s) == s
}

// portable returns r where every file system takes it, and '_' elsewhere.
func portable(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("._=+-", r):
		return r
	}
	return '_'
}
