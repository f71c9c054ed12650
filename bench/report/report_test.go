// SPDX-License-Identifier: MIT

package report

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/plot"

	"wqfan/bench/result"
	"wqfan/bench/result/resulttest"
	"wqfan/fserr"
)

var update = flag.Bool("update", false, "write the golden files")

// record writes a run and returns its directory.
func record(t *testing.T, boots []result.Boot, cells []result.Cell, finish func(*result.Writer) error) string {
	t.Helper()
	dir := t.TempDir()
	header := resulttest.Header()
	header.Planned = len(cells)
	w, err := result.Create(dir, header)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range boots {
		if err := w.Boot(b); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range cells {
		if err := w.Cell(c); err != nil {
			t.Fatal(err)
		}
	}
	if finish == nil {
		finish = func(w *result.Writer) error { return w.Finish(true, "") }
	}
	if err := finish(w); err != nil {
		t.Fatal(err)
	}
	return dir
}

// cellsOf returns the sample's cells with what its records lack: queues of a
// ring that other events have filled, what a report costs where nobody reads,
// the workers behind fanotify's records, and an injector that falls short.
func cellsOf(t *testing.T, b result.Boot) []result.Cell {
	t.Helper()
	var out []result.Cell
	for _, c := range resulttest.Cells(b) {
		deferred := c.Arm != "wq-base"
		c.Reader.Placed = c.Arm != "fan" && c.Account.Detailed > 0 && (b.CPUs == 1 || !deferred)
		if c.Arm == "fan" {
			c.Reader.Workers = min(c.Reader.Records, uint64(b.CPUs))
		}
		switch {
		case c.Scenario == overflow:
			cost := int64(400 + 10*len(c.FS))
			if !deferred {
				cost += 600
				if c.Account.Signalled > c.Account.Injected/2 {
					cost -= 200
				}
			}
			h, err := result.NewHist(reportCost, b.Mode.Unit(), hist(t, cost, cost, 3*cost))
			if err != nil {
				t.Fatal(err)
			}
			c.Hists = []result.Hist{h}
			if c.Arm == "fan" || c.Params.Queue != 32 {
				break
			}
			for _, filler := range []uint64{31, 32} {
				f, n := c, c.Params.Errors
				f.Point = fmt.Sprintf("queue=32 filler=%d burst=%d", filler, n)
				f.ID = fmt.Sprintf("overflow/fs=%s/cpus=%d/arm=%s/%s", f.FS, f.CPUs, f.Arm, f.Point)
				f.Params.Filler = filler
				kept := min(n, 32-filler)
				f.Account = fserr.Account{Injected: n, Detailed: kept, Signalled: n - kept}
				f.Reader = result.Reader{Records: kept, Counted: kept, Others: filler, LossAfter: -1, Placed: kept > 0 && (b.CPUs == 1 || !deferred)}
				if n > kept {
					f.Reader.LossEvents, f.Reader.LossAfter = 1, 32
				}
				out = append(out, f)
			}
		case c.Scenario == latency:
			c.Params.Reader = "live, SCHED_FIFO"
		case c.Scenario == loss && c.Params.Interval == 3000 && b.Mode == result.TCG && deferred:
			c.Flood.Rate = 200_000
		}
		if c.Scenario == loss && c.Account.Lost() > 0 {
			c.Timeline = timelineOf(c)
		}
		out = append(out, c)
	}
	return out
}

// timelineOf is that of a reader that stands still until all is reported, and
// then reads what is left.
func timelineOf(c result.Cell) *result.Timeline {
	n, lost := c.Account.Injected, c.Account.Lost()
	t := &result.Timeline{Signals: []result.Signal{{At: 3_000_000}}}
	for i := range uint64(40) {
		reported := min(n, n*(i+1)/30)
		t.At = append(t.At, int64(i+1)*100_000)
		t.Reported = append(t.Reported, reported)
		t.Lost = append(t.Lost, reported-min(reported, n-lost))
		t.Read = append(t.Read, (n-lost)*max(29, i)/39-(n-lost)*29/39)
	}
	t.Read[39] = n - lost
	return t
}

// write makes the report of dir and returns report.md.
func write(t *testing.T, dir string) string {
	t.Helper()
	if err := Write(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// tree returns the files below dir by name.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		out[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", file, d)
	}
}

func TestReport(t *testing.T) {
	boots := []result.Boot{resulttest.Boot(1), resulttest.Boot(2)}
	var all []result.Cell
	for _, b := range boots {
		all = append(all, cellsOf(t, b)...)
	}
	dir := record(t, boots, append(all, resulttest.Corruption(boots[0])), nil)
	before := tree(t, dir)
	golden(t, "report.md", write(t, dir))
	golden(t, "lkml.txt", tree(t, dir)[MailFile])

	run, err := result.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "summary.txt", strings.Join(Summary(run), "\n")+"\n")

	after := tree(t, dir)
	for name, b := range before {
		if after[name] != b {
			t.Errorf("the report changed %s, which is a record", name)
		}
	}

	// In another directory the same record gives the same bytes.
	other := t.TempDir()
	for name, b := range before {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(other, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(other, name), []byte(b), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(t, other)
	compareTrees(t, after, tree(t, other))

	for _, want := range []string{"fate-filled-ext4-1cpu-icount.png", "fate-ext4-2cpu-tcg.png", "kept.svg", "load-icount.png", "load-tcg.png", "tail-icount.png", "timeline-ext4-1cpu-icount.svg"} {
		if _, ok := after[plotDir+"/"+want]; !ok {
			t.Errorf("no %s", want)
		}
	}
	for _, times := range []string{"heat-tcg.png", "latency-tcg.png", "tail-tcg.png"} {
		if _, ok := after[plotDir+"/"+times]; ok {
			t.Errorf("%s shows times of emulated CPUs", times)
		}
	}

	// And so it does again in the same one, where a plot is removed that no
	// longer has data.
	stale := filepath.Join(dir, plotDir, "latency-kvm.png")
	if err := os.WriteFile(stale, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, dir)
	compareTrees(t, after, tree(t, dir))

	for name, b := range after {
		switch {
		case strings.HasSuffix(name, ".png"):
			checkPNG(t, name, b)
		case strings.HasSuffix(name, ".svg"):
			if err := xml.Unmarshal([]byte(b), new(struct{})); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, want := range []string{"<svg", "</svg>", "font-family:'Liberation Sans',Arial", "Linux 7.3.4-wqfan (patched)"} {
				if !strings.Contains(b, want) {
					t.Errorf("%s: no %q", name, want)
				}
			}
		}
	}
	checkMail(t, after[MailFile])
	checkPage(t, after)
	for _, link := range links(after[File]) {
		if _, ok := after[link]; !ok {
			t.Errorf("report.md points at %s, which is not there", link)
		}
	}
}

// checkMail looks for lines that a list would break, quoted twice, or could not
// show.
func checkMail(t *testing.T, mail string) {
	t.Helper()
	for i, line := range strings.Split(mail, "\n") {
		if len(line) > 72 || strings.TrimRight(line, " ") != line || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%s:%d: %d columns: %q", MailFile, i+1, len(line), line)
		}
	}
}

// checkPage looks for what a page would have to load, and for plots that are
// not in it.
func checkPage(t *testing.T, files map[string]string) {
	t.Helper()
	page := files[PageFile]
	for _, bad := range []string{"<img", "src=", "<script", "<link", "@import", "url(", `href="` + plotDir} {
		if strings.Contains(page, bad) {
			t.Errorf("%s has %q", PageFile, bad)
		}
	}
	plots := 0
	for name := range files {
		if strings.HasSuffix(name, ".svg") {
			plots++
		}
	}
	if got := strings.Count(page, `<figure id="plot-`); got != plots {
		t.Errorf("%s has %d of %d plots", PageFile, got, plots)
	}
}

func compareTrees(t *testing.T, want, got map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s is not the same again", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is new", name)
		}
	}
}

// links returns the files that the Markdown links to.
func links(md string) (out []string) {
	for _, part := range strings.Split(md, "](")[1:] {
		if target, _, _ := strings.Cut(part, ")"); !strings.HasPrefix(target, "#") && !strings.HasPrefix(target, "https://lore.kernel.org/") {
			out = append(out, target)
		}
	}
	return out
}

// checkPNG looks for a picture with content up to, and not beyond, its edges.
func checkPNG(t *testing.T, name, b string) {
	t.Helper()
	img, err := png.Decode(strings.NewReader(b))
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	r := img.Bounds()
	if r.Dx() != 1200 || r.Dy() < 400 || r.Dy() > 4000 {
		t.Errorf("%s: %d by %d", name, r.Dx(), r.Dy())
	}
	ink := false
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			cr, cg, cb, _ := img.At(x, y).RGBA()
			if cr+cg+cb == 3*0xffff {
				continue
			}
			ink = true
			if x < r.Min.X+3 || x >= r.Max.X-3 || y < r.Min.Y+3 || y >= r.Max.Y-3 {
				t.Fatalf("%s: something is cut off at %d, %d", name, x, y)
			}
		}
	}
	if !ink {
		t.Errorf("%s is empty", name)
	}
}

// Whatever was recorded, there is a report, and it says what is missing.
func TestOddRuns(t *testing.T) {
	one, two := resulttest.Boot(1), resulttest.Boot(2)
	cells := cellsOf(t, one)
	pick := func(keep func(result.Cell) bool) (out []result.Cell) {
		for _, c := range cells {
			if keep(c) {
				out = append(out, c)
			}
		}
		return out
	}
	scenario := func(name string) []result.Cell {
		return pick(func(c result.Cell) bool { return c.Scenario == name })
	}
	panicked := one
	panicked.Verdict, panicked.Serial = "guest panicked: Oops | at 0x0", "serial-1.log"

	tests := []struct {
		name   string
		boots  []result.Boot
		cells  []result.Cell
		finish func(*result.Writer) error
		want   []string
		not    []string
	}{
		{name: "no boot", want: []string{"no kernel: nothing was booted", "Complete: 0 cells in 0 boots."}, not: []string{plotDir, "## Overflow"}},
		{
			name: "interrupted before the first cell", boots: []result.Boot{one},
			finish: func(w *result.Writer) error { return w.Finish(false, "interrupted by ^C") },
			want:   []string{"**INCOMPLETE: 0 of 0 cells were measured: interrupted by ^C.**"},
		},
		{name: "killed", boots: []result.Boot{one}, cells: cells[:2], finish: func(*result.Writer) error { return nil },
			want: []string{"**INCOMPLETE: 2 of 2 cells were measured: the run is still going on, or was killed"}},
		{name: "one cell", boots: []result.Boot{one}, cells: cells[:1], want: []string{"## Overflow", "fate-ext4-1cpu-icount.png"}, not: []string{"## Latency", "## Loss"}},
		{name: "one arm", boots: []result.Boot{one}, cells: pick(func(c result.Cell) bool { return c.Arm == "wq-base" }),
			want: []string{"| wq-base ", "latency-icount.png", "load-icount.png"}, not: []string{"| fan ", "load-tcg"}},
		{name: "an arm of the future", boots: []result.Boot{one}, cells: modify(scenario("latency"), func(c *result.Cell) { c.Arm = "netlink" + c.Arm; c.ID += "x" }),
			want: []string{"netlinkfan"}},
		{name: "panicked", boots: []result.Boot{panicked}, cells: cells[:3],
			want: []string{"## What went wrong", `boot ` + "`cpus=1`" + ` did not end well: guest panicked: Oops \| at 0x0; its console is in [serial-1.log](serial-1.log)`}},
		{name: "failed cells", boots: []result.Boot{one}, cells: modify(scenario("loss"), func(c *result.Cell) {
			if c.Arm == "fan" {
				c.Err = "open the group:\nno such | thing"
			}
		}), want: []string{"**FAILED in 12 of 36 cells.", "cell `loss/fs=ext4/cpus=1/arm=fan/gap=1ms` failed: open the group: no such \\| thing"}, not: []string{"| fan "}},
		{name: "all cells failed", boots: []result.Boot{one}, cells: modify(cells[:30], func(c *result.Cell) { c.Err = "no" }),
			want: []string{"**FAILED in 30 of 30 cells.", "- and 10 more: see run.json"}, not: []string{"## Overflow"}},
		{name: "identity broken", boots: []result.Boot{one}, cells: modify(cells[:12], func(c *result.Cell) {
			c.Account.Injected += 7
		}), want: []string{"**Complete: 12 cells in 1 boot. The account does not close in 12 cells.**", "unexplained 7"}},
		{name: "more fates than errors", boots: []result.Boot{one}, cells: modify(cells[:12], func(c *result.Cell) {
			c.Account.Silent += math.MaxUint64 / 2
		}), want: []string{"The account does not close in 12 cells"}},
		{name: "lost silently", boots: []result.Boot{one}, cells: modify(cells, func(c *result.Cell) {
			c.Account.Silent, c.Account.Signalled = c.Account.Signalled, 0
			c.Reader.LossEvents = 0
		}), want: []string{"**9,488** |", "**39.8** |"}, not: []string{"lost silently: 0."}},
		{name: "no errors at all", boots: []result.Boot{one}, cells: modify(cells, func(c *result.Cell) {
			c.Account, c.Params, c.Flood, c.Reader = fserr.Account{}, result.Params{}, result.Flood{}, result.Reader{}
		}), want: []string{"## Overflow", "## Loss"}},
		{name: "no time passed", boots: []result.Boot{one}, cells: modify(scenario("latency"), func(c *result.Cell) {
			h, err := result.NewHist(readTime, "instructions", hist(t, 0, 0, 0))
			if err != nil {
				t.Fatal(err)
			}
			c.Hists = []result.Hist{h}
			c.Flood.Rate = math.Inf(1)
		}), want: []string{"latency-icount.png", "the offered rate is unknown"}},
		{name: "nothing timed", boots: []result.Boot{one}, cells: modify(scenario("latency"), func(c *result.Cell) { c.Hists = nil }),
			want: []string{"## Latency"}, not: []string{"latency-icount.png"}},
		{name: "emulated CPUs", boots: []result.Boot{two}, cells: inBoot(scenario("latency"), two),
			want: []string{"## Latency", "No plot has these times"}, not: []string{"latency-tcg.png", "tail-tcg.png"}},
		{name: "an unknown scenario", boots: []result.Boot{one}, cells: modify(cells[:2], func(c *result.Cell) { c.Scenario = "storm" }),
			want: []string{"## Other scenarios", "### storm, mode icount"}},
		{name: "hostile names", boots: []result.Boot{one}, cells: modify(cells[:2], func(c *result.Cell) { c.FS = "../../x # <y>"; c.Point = "a`|b" }),
			want: []string{"fate-______x____y_-1cpu-icount.png"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := record(t, tt.boots, tt.cells, tt.finish)
			md := write(t, dir)
			for _, w := range tt.want {
				if !strings.Contains(md, w) {
					t.Errorf("no %q in\n%s", w, md)
				}
			}
			for _, n := range tt.not {
				if strings.Contains(md, n) {
					t.Errorf("%q in\n%s", n, md)
				}
			}
			files := tree(t, dir)
			checkMail(t, files[MailFile])
			checkPage(t, files)
			for name, b := range files {
				if strings.HasSuffix(name, ".svg") {
					if err := xml.Unmarshal([]byte(b), new(struct{})); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
			for _, link := range links(md) {
				if _, ok := files[link]; !ok && !strings.HasPrefix(link, "serial") {
					t.Errorf("report.md points at %s, which is not there", link)
				}
			}
			run, err := result.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			if s := Summary(run); len(s) == 0 || len(s) > summaryLines || strings.Contains(strings.Join(s, ""), "\n") {
				t.Errorf("summary: %q", s)
			}
		})
	}
}

func modify(cells []result.Cell, f func(*result.Cell)) []result.Cell {
	out := append([]result.Cell(nil), cells...)
	for i := range out {
		f(&out[i])
	}
	return out
}

func inBoot(cells []result.Cell, b result.Boot) []result.Cell {
	return modify(cells, func(c *result.Cell) { c.Boot, c.CPUs = b.ID, b.CPUs })
}

// Repeated boots become one row with their spread, and an interval only when
// they are enough.
func TestRepeatedBoots(t *testing.T) {
	for _, tt := range []struct {
		boots int
		want  string
	}{
		{3, "2,000 (3 boots: 1,000 to 3,000)"},
		{7, "4,000 (95 %: 1,000 to 7,000)"},
	} {
		var boots []result.Boot
		var cells []result.Cell
		for i := range tt.boots {
			b := resulttest.Boot(1)
			b.ID = fmt.Sprint(i)
			boots = append(boots, b)
			h, err := result.NewHist(readTime, "instructions", hist(t, int64(1000*(i+1))))
			if err != nil {
				t.Fatal(err)
			}
			cells = append(cells, result.Cell{ID: b.ID, Scenario: latency, Arm: "fan", FS: "ext4", CPUs: 1, Point: "pace=1ms", Boot: b.ID,
				Account: fserr.Account{Injected: 10, Detailed: 10 - uint64(i), Coalesced: uint64(i)}, Hists: []result.Hist{h}})
		}
		md := write(t, record(t, boots, cells, nil))
		for _, w := range []string{tt.want, fmt.Sprintf("| 0–%d |", tt.boots-1)} {
			if !strings.Contains(strings.Join(strings.Fields(md), " "), w) {
				t.Errorf("%d boots: no %q in\n%s", tt.boots, w, md)
			}
		}
	}
}

// squeeze makes the rows of tables comparable whatever their widths.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

// lossCell returns a cell of an open loop that was asked for one error each gap.
func lossCell(b result.Boot, arm string, gap int64, made float64, a fserr.Account) result.Cell {
	return result.Cell{
		ID: fmt.Sprint(b.ID, arm, gap), Scenario: loss, Arm: arm, FS: "ext4", CPUs: b.CPUs, Point: fmt.Sprint("gap=", gap), Boot: b.ID,
		Params:  result.Params{Errors: a.Injected, Schedule: fixed, Interval: gap, Queue: 512, Reader: "live"},
		Account: a, Flood: result.Flood{Attempted: a.Injected, Rate: made * 1e9 / float64(gap)},
	}
}

// A rate that the injector did not make shows a loss, and never that there is
// none; and the channels are compared where all of them were asked.
func TestRates(t *testing.T) {
	b := resulttest.Boot(1)
	all := fserr.Account{Injected: 100, Detailed: 100}
	some := fserr.Account{Injected: 100, Detailed: 60, Signalled: 40}
	cells := []result.Cell{
		lossCell(b, "wq", 100_000, 1.001, all), lossCell(b, "wq", 10_000, 0.949, all), lossCell(b, "wq", 1000, 0.5, all),
		lossCell(b, "wq-base", 100_000, 1, all), lossCell(b, "wq-base", 10_000, 0.951, all), lossCell(b, "wq-base", 2000, 0.5, some),
	}
	// On time as a whole, but not each of them; the next rate loses.
	late := lossCell(b, "fan", 10_000, 1, all)
	late.Warnings = []string{result.Late + " by 5 at p99"}
	cells = append(cells, lossCell(b, "fan", 100_000, 1, all), late, lossCell(b, "fan", 2000, 1, some))
	flat := lossCell(b, "wq", 0, 0, some)
	flat.Params.Schedule, flat.Flood.Rate = "flat", 7_000_000
	md := squeeze(write(t, record(t, []result.Boot{b}, append(cells, flat), nil)))
	for _, want := range []string{
		"| ext4, 1 CPU | wq | ≥ 10,000 | ≥ 10,000 | 100,000 | 94.9 × |",
		"| ext4, 1 CPU | wq-base | 100,000 | 100,000 | 100,000 | 95.1 |",
		"| ext4, 1 CPU | fan | ≥ 10,000 | ≥ 10,000 | 100,000 | 100.0 × |",
		"; wq 94.9 % of 100,000/s, 50.0 % of 1,000,000/s",
		"| ext4, 1 CPU | wq | 100 | 7,000,000 | 60.0 | 0 | 40.0 † |",
		"here 0.1 ms to 10 ms of guest time", "(fan 512, wq-base 512, wq 512 records)",
		"n=1: one boot, no interval.",
	} {
		if !strings.Contains(md, want) {
			t.Errorf("no %q in\n%s", want, md)
		}
	}
}

// Losses that were placed have no mark.
func TestGuarantee(t *testing.T) {
	b := resulttest.Boot(1)
	for _, placed := range []bool{false, true} {
		c := lossCell(b, "wq-base", 1000, 1, fserr.Account{Injected: 10, Detailed: 6, Signalled: 4})
		c.Reader.Placed = placed
		if md := write(t, record(t, []result.Boot{b}, []result.Cell{c}, nil)); strings.Contains(md, "40.0 †") == placed || strings.Contains(md, "† By guarantee") == placed {
			t.Errorf("placed %v:\n%s", placed, md)
		}
	}
}

// Emulated CPUs are compared in time only over boots enough for an interval.
func TestRatio(t *testing.T) {
	for _, tt := range []struct {
		cpus, boots int
		want        bool
	}{{1, 1, true}, {2, 1, false}, {2, 5, false}, {2, 6, true}} {
		var boots []result.Boot
		var cells []result.Cell
		for i := range tt.boots {
			b := resulttest.Boot(tt.cpus)
			b.ID = fmt.Sprint(i)
			boots = append(boots, b)
			for _, c := range cellsOf(t, resulttest.Boot(tt.cpus)) {
				if c.Scenario == latency {
					c.ID, c.Boot = c.ID+b.ID, b.ID
					cells = append(cells, c)
				}
			}
		}
		md := write(t, record(t, boots, cells, nil))
		if got := strings.Contains(md, "p50 ÷ fan"); got != tt.want {
			t.Errorf("%d CPUs, %d boots: the ratio is shown: %v", tt.cpus, tt.boots, got)
		}
		if got := strings.Contains(md, "n=1: one boot, no interval."); got != (tt.boots == 1) {
			t.Errorf("%d boots: n=1 is said: %v", tt.boots, got)
		}
	}
}

// What a report costs is never taken from a cell that somebody read meanwhile.
func TestCost(t *testing.T) {
	b := resulttest.Boot(1)
	h, err := result.NewHist(reportCost, "instructions", hist(t, 777))
	if err != nil {
		t.Fatal(err)
	}
	for _, reader := range []string{unread, "live", "live, SCHED_FIFO"} {
		c := result.Cell{ID: "a", Scenario: overflow, Arm: "wq-base", FS: "ext4", CPUs: 1, Boot: b.ID, Point: "queue=32 burst=10",
			Params: result.Params{Errors: 10, Queue: 32, Reader: reader}, Account: fserr.Account{Injected: 10, Detailed: 10}, Hists: []result.Hist{h}}
		dir := record(t, []result.Boot{b}, []result.Cell{c}, nil)
		md := squeeze(write(t, dir))
		if got := strings.Contains(md, "| ext4, 1 CPU | wq-base | 32 | 10 | 777 | 777 | – | – | – | – |"); got != (reader == unread) {
			t.Errorf("reader %s: the cost is shown: %v", reader, got)
		}
		if got := strings.Contains(tree(t, dir)[result.BenchFile], "777 p50-report-cost"); got != (reader == unread) {
			t.Errorf("reader %s: the cost is in %s: %v", reader, result.BenchFile, got)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := Write(t.Context(), dir); err == nil || !strings.Contains(err.Error(), result.RunFile) {
		t.Errorf("a directory without a run: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, result.RunFile), []byte(`{"schema":1,`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "truncated") {
		t.Errorf("a truncated record: %v", err)
	}
	if got := tree(t, dir); len(got) != 1 {
		t.Errorf("a report was begun: %v", got)
	}
}

func TestNumbers(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1,000"}, {count(1234567), "1,234,567"}, {count(math.MaxUint64), "18,446,744,073,709,551,615"},
		{figures3(0), "0"}, {figures3(0.12345), "0.123"}, {figures3(9.996), "10"}, {figures3(26412), "26,400"}, {figures3(999.6), "1,000"}, {figures3(-1234), "-1,230"},
		{figures3(math.NaN()), "unknown"}, {figures3(math.Inf(1)), "unknown"},
		{percent(0), "0"}, {percent(0.01), "<0.1"}, {percent(99.99), ">99.9"}, {percent(100), "100.0"}, {percent(12.34), "12.3"},
		{short(1), "1"}, {short(10_000), "10k"}, {short(2_500_000), "2.5M"}, {short(0.5), "0.5"},
		{hash("0123456789abcdef+dirty"), "0123456789ab+dirty"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestTable(t *testing.T) {
	tb := table{heads: []string{"a", "größe>"}}
	tb.add("x|y", "1")
	tb.add("", "100,000")
	want := "" +
		"| a    |   größe |\n" +
		"|------|--------:|\n" +
		"| x\\|y |       1 |\n" +
		"|      | 100,000 |\n"
	if d := cmp.Diff(want, tb.String()); d != "" {
		t.Error(d)
	}
}

// No data makes an axis that gonum panics on, or one without labels.
func TestAxes(t *testing.T) {
	for _, values := range [][]float64{nil, {1}, {7}, {1, 1}, {0.3, 1e6}, {999, 1001}, {1e18}, {26_400, 148_000}} {
		p := plot.New()
		logAxis(&p.Y, values)
		if !(p.Y.Min > 0 && p.Y.Min < p.Y.Max) || math.IsInf(p.Y.Max, 0) {
			t.Errorf("%v: axis from %g to %g", values, p.Y.Min, p.Y.Max)
		}
		for _, v := range values {
			if v < p.Y.Min || v > p.Y.Max {
				t.Errorf("%v: %g is outside of %g to %g", values, v, p.Y.Min, p.Y.Max)
			}
		}
		labels := 0
		for _, tick := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
			if tick.Value < p.Y.Min*0.999 || tick.Value > p.Y.Max*1.001 {
				t.Errorf("%v: a tick at %g", values, tick.Value)
			}
			if tick.Label != "" {
				labels++
			}
		}
		if labels < 2 || labels > 20 {
			t.Errorf("%v: %d labels", values, labels)
		}
	}
	p := plot.New()
	tailAxis(&p.X, 500)
	if p.X.Min != 1 || p.X.Max != 800 {
		t.Errorf("500 values: percentiles from %g to %g", p.X.Min, p.X.Max)
	}
	shareAxis(&p.Y, 0, 22)
	if p.Y.Min != 0 || p.Y.Max != 122 {
		t.Errorf("shares from %g to %g", p.Y.Min, p.Y.Max)
	}
}

// The sum of a bar is the sum of its errors, whatever the account says.
func TestFates(t *testing.T) {
	c := &result.Cell{Account: fserr.Account{Injected: 100, Refused: 1, Detailed: 2, Coalesced: 3, Filtered: 4, Signalled: 5, Silent: 6}}
	if got := total(c); got != 100 {
		t.Errorf("the fates sum up to %v of 100 errors", got)
	}
	seen := map[string]bool{}
	for _, f := range fates {
		if seen[f.name] {
			t.Errorf("two fates are called %q", f.name)
		}
		seen[f.name] = true
	}
}

// Each channel is told apart by colour, by dash and by marker.
func TestStyles(t *testing.T) {
	for i, a := range armStyles {
		for _, b := range armStyles[:i] {
			if a.color == b.color || a.glyph == b.glyph || fmt.Sprint(a.dash) == fmt.Sprint(b.dash) {
				t.Errorf("%s and %s look alike", a.name, b.name)
			}
		}
	}
}

// A figure is drawn twice, and drawing does not change it.
func TestRenderTwice(t *testing.T) {
	dir := record(t, []result.Boot{resulttest.Boot(1)}, cellsOf(t, resulttest.Boot(1)), nil)
	run, err := result.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range figures(newData(run)) {
		svg1, png1, err := f.render()
		if err != nil {
			t.Fatal(err)
		}
		svg2, png2, err := f.render()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(svg1, svg2) || !bytes.Equal(png1, png2) {
			t.Errorf("%s: the second rendering differs", f.name)
		}
		for _, row := range f.panels {
			for _, p := range row {
				if p != nil && (p.Title.Text == "" || !bytes.Contains(svg1, []byte(p.Title.Text))) {
					t.Errorf("%s: the panel %q has lost its title", f.name, p.Title.Text)
				}
			}
		}
	}
}

func hist(t *testing.T, values ...int64) *hdrhistogram.Histogram {
	t.Helper()
	h := hdrhistogram.New(1, 1_000_000, 3)
	for _, v := range values {
		if err := h.RecordValue(v); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// Only pictures that a report made are taken away by the next one.
func TestStaleKeepsOthers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"fate-zfs-9cpu-tcg.png", "kept.svg", "holiday.png", "fate.txt"} {
		if err := os.MkdirAll(filepath.Join(dir, plotDir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, plotDir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeStale(dir, []file{{name: plotDir + "/kept.svg"}}); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, plotDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	if want := []string{"fate.txt", "holiday.png", "kept.svg"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
}

// A range without decades has no ticks, and does not go on for ever.
func TestLogTicksEnd(t *testing.T) {
	for _, r := range [][2]float64{{0, 1}, {1, math.Inf(1)}, {math.NaN(), 1}, {5e-324, 1.7e308}, {10, 1}} {
		logTicks(r[0], r[1])
	}
	if n := len(logTicks(1, 1000)); n != 28 {
		t.Errorf("%d ticks from 1 to 1000, want 28", n)
	}
}

// An interruption while plots are drawn begins no report.
func TestWriteInterrupted(t *testing.T) {
	boot := resulttest.Boot(1)
	dir := record(t, []result.Boot{boot}, cellsOf(t, boot), nil)
	before := tree(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Write(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("drawn after an interruption: %v", err)
	}
	compareTrees(t, before, tree(t, dir))
}

// Each boot's injector is late by a time of its own: one note tells of all.
func TestLateBoots(t *testing.T) {
	g := &group{cells: make([]result.Cell, 12)}
	for i := range 5 {
		g.cells[i].Warnings = []string{fmt.Sprintf("%s by %d at p99", result.Late, 1000+i), "another"}
	}
	want := []string{"another", result.Late + " at p99, beyond its bound, in 5 of 12 boots: the errors did not come when they were due"}
	if diff := cmp.Diff(want, (&data{}).warnings(g)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
