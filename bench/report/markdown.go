// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// doc is report.md while it is being written.
type doc struct {
	strings.Builder
	*data
	findings []finding
	figs     map[string]*figure
	shown    []string // figures that are embedded
	said     bool     // what a loss by guarantee is
}

func (d *doc) para(format string, a ...any) { fmt.Fprintf(&d.Builder, format+"\n\n", a...) }

// inBoots finds in how many boots of how many a warning holds.
var inBoots = regexp.MustCompile(` in ([0-9]+) of ([0-9]+) boots`)

// mark is [data.mark] and says in how many boots each warning holds, where that
// is not all that there is to it: [3: 1/10].
func (d *doc) mark(gs ...*group) string {
	boots := map[string][]int{} // by mark, parts of them in permille, of
	text := map[int]string{}
	var marks []string
	for _, g := range gs {
		if g == nil {
			continue
		}
		for _, w := range d.warnings(g) {
			mark := strings.Trim(d.note(w), "[]")
			if !slices.Contains(marks, mark) {
				marks = append(marks, mark)
			}
			if m := inBoots.FindStringSubmatch(w); m != nil {
				k, _ := strconv.Atoi(m[1])
				n, _ := strconv.Atoi(m[2])
				part := 1000 * k / max(n, 1)
				boots[mark] = append(boots[mark], part)
				text[part] = m[1] + "/" + m[2]
			}
		}
	}
	slices.SortFunc(marks, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	for i, mark := range marks {
		if parts := boots[mark]; len(parts) > 0 {
			mark += ": " + text[slices.Min(parts)]
			if slices.Min(parts) != slices.Max(parts) {
				mark += " to " + text[slices.Max(parts)]
			}
		}
		marks[i] = "[" + mark + "]"
	}
	return strings.Join(marks, " ")
}

func (d *doc) table(t *table) { d.para("%s", strings.TrimSuffix(t.String(), "\n")) }

func markdown(data *data, figs []*figure) string {
	d := &doc{data: data, findings: findings(data), figs: map[string]*figure{}}
	for _, f := range figs {
		d.figs[f.name] = f
	}
	d.head()
	d.problems()
	d.answers()
	d.setup()
	d.oneByOne()
	d.overflow()
	d.latency()
	d.loss()
	d.sizes()
	d.corruption()
	d.targets()
	d.others()
	d.footnotes()
	d.links(figs)
	d.again()
	return strings.TrimRight(d.String(), "\n") + "\n"
}

// link names a figure and points at it.
func (f *figure) link() string { return fmt.Sprintf("[%s](%s/%s.png)", f.title, plotDir, f.name) }

// embed puts a figure into the text, once.
func (d *doc) embed(name string) {
	f := d.figs[name]
	if f == nil || slices.Contains(d.shown, name) {
		return
	}
	d.shown = append(d.shown, name)
	d.para("![%s](%s/%s.png)", f.alt, plotDir, f.name)
}

func (d *doc) footnotes() {
	if len(d.notes) == 0 {
		return
	}
	d.para("## Warnings")
	for i, n := range d.notes {
		fmt.Fprintf(d, "- [%d] %v\n", i+1, n)
	}
	d.WriteByte('\n')
}

// links names the figures that are not embedded.
func (d *doc) links(figs []*figure) {
	if len(figs) == 0 {
		return
	}
	d.para("## Plots")
	also := ""
	if len(d.shown) < len(figs) {
		also = " Not shown above:"
	}
	d.para("Each plot is in `%s/` as PNG and as SVG.%s", plotDir, also)
	for _, f := range figs {
		if !slices.Contains(d.shown, f.name) {
			fmt.Fprintf(d, "- %s\n", f.link())
		}
	}
	d.WriteByte('\n')
}
