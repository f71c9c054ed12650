// SPDX-License-Identifier: MIT

package result_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/perf/benchfmt"
	"golang.org/x/sys/unix"

	"wqfan/bench/result"
	"wqfan/bench/result/resulttest"
)

var update = flag.Bool("update", false, "write the golden files")

func create(t *testing.T, header *result.Run) (*result.Writer, string) {
	t.Helper()
	dir := t.TempDir()
	w, err := result.Create(dir, header)
	if err != nil {
		t.Fatal(err)
	}
	return w, dir
}

func load(t *testing.T, dir string) *result.Run {
	t.Helper()
	r, err := result.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The sample is recorded once for the tests that only read it.
func TestSample(t *testing.T) {
	dir := t.TempDir()
	resulttest.Write(t, dir)
	t.Run("round trip", func(t *testing.T) { testRoundTrip(t, dir) })
	t.Run("deterministic", func(t *testing.T) { testDeterministic(t, dir) })
	t.Run("bench", func(t *testing.T) { testWriteBench(t, dir) })
}

func testRoundTrip(t *testing.T, dir string) {
	r := load(t, dir)
	if !r.Complete || r.Reason != "" || len(r.Cells) != r.Planned {
		t.Errorf("complete %v (%q), %d of %d cells", r.Complete, r.Reason, len(r.Cells), r.Planned)
	}

	boots := []result.Boot{resulttest.Boot(1), resulttest.Boot(2)}
	if d := cmp.Diff(boots, r.Boots); d != "" {
		t.Errorf("boots (-want +got):\n%s", d)
	}
	// The last one came last, and stands with its boot.
	want := slices.Concat(resulttest.Cells(boots[0]), []result.Cell{resulttest.Corruption(boots[0])}, resulttest.Cells(boots[1]))
	for i, w := range want {
		got := r.Cells[i]
		for j := range w.Hists {
			h := &got.Hists[j]
			again, err := h.Again()
			if err != nil {
				t.Fatal(err)
			}
			if again.Encoded != w.Hists[j].Encoded {
				t.Fatalf("%s: histogram %s is not the one that was written", w.ID, h.Name)
			}
			if got, want := h.Data.ByteSize(), hdrhistogram.New(1, h.Highest, 3).ByteSize(); 2*got > want {
				t.Errorf("%s: histogram %s takes %d bytes of memory for values up to %d, and %d up to %d", w.ID, h.Name, got, h.Max, want, h.Highest)
			}
			w.Hists[j].Encoded, w.Hists[j].File = "", h.File
			h.Data, h.Highest = nil, 0
		}
		if len(w.Hists) == 0 {
			w.Hists = nil
		}
		if d := cmp.Diff(w, got); d != "" {
			t.Fatalf("cell %s (-want +got):\n%s", w.ID, d)
		}
	}

	names, err := filepath.Glob(filepath.Join(dir, "hdr", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.ContainsAny(filepath.Base(n), " /:") {
			t.Errorf("%q is no portable file name", n)
		}
	}
	if stray, _ := filepath.Glob(filepath.Join(dir, ".tmp-*")); len(stray) != 0 {
		t.Errorf("left behind: %v", stray)
	}
}

// Equal runs make equal files, whenever they are written.
func testDeterministic(t *testing.T, a string) {
	b := t.TempDir()
	resulttest.Write(t, b)
	err := filepath.WalkDir(a, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(a, name)
		x, _ := os.ReadFile(name)
		y, err := os.ReadFile(filepath.Join(b, rel))
		if err != nil || !bytes.Equal(x, y) {
			t.Errorf("%s differs (%v)", rel, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What is on disk after each step is a valid record that says it is not whole.
func TestInterrupted(t *testing.T) {
	header := resulttest.Header()
	header.Planned = 3
	w, dir := create(t, header)
	if r := load(t, dir); r.Complete || r.Reason == "" {
		t.Errorf("a run that has just begun: complete %v, reason %q", r.Complete, r.Reason)
	}
	boot := resulttest.Boot(1)
	boot.Verdict = ""
	if err := w.Boot(boot); err != nil {
		t.Fatal(err)
	}
	if err := w.Cell(resulttest.Cells(boot)[0]); err != nil {
		t.Fatal(err)
	}
	if r := load(t, dir); r.Complete || r.Reason == "" || len(r.Cells) != 1 || len(r.Boots) != 1 {
		t.Errorf("after one cell: complete %v, reason %q, %d cells, %d boots", r.Complete, r.Reason, len(r.Cells), len(r.Boots))
	}
	boot.Verdict = "panicked"
	if err := w.Boot(boot); err != nil {
		t.Fatal(err)
	}
	if r := load(t, dir); r.WallSecs != 0 || r.AtOnce != 0 {
		t.Errorf("a run that goes on took %v s, with %d guests at once", r.WallSecs, r.AtOnce)
	}
	w.Took(90*time.Second, 2)
	if err := w.Finish(true, ""); err != nil {
		t.Fatal(err)
	}
	r := load(t, dir)
	if r.WallSecs != 90 || r.AtOnce != 2 {
		t.Errorf("it took %v s with %d guests at once, not 90 and 2", r.WallSecs, r.AtOnce)
	}
	if r.Complete || r.Reason != "1 of 3 cells were measured" {
		t.Errorf("finished early: complete %v, reason %q", r.Complete, r.Reason)
	}
	if len(r.Boots) != 1 || r.Boots[0].Verdict != "panicked" {
		t.Errorf("the boot was not replaced: %+v", r.Boots)
	}
}

func TestWriterRefuses(t *testing.T) {
	w, dir := create(t, resulttest.Header())
	if _, err := result.Create(dir, resulttest.Header()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second run in the same directory: %v", err)
	}
	boot := resulttest.Boot(1)
	cell := resulttest.Cells(boot)[0]
	if err := w.Cell(cell); err == nil || !strings.Contains(err.Error(), `boot "cpus=1", which is not among the boots`) {
		t.Errorf("a cell without its boot: %v", err)
	}
	if err := w.Boot(boot); err != nil {
		t.Fatal(err)
	}
	if err := w.Cell(cell); err != nil {
		t.Fatal(err)
	}
	if err := w.Cell(cell); err == nil || !strings.Contains(err.Error(), "is the ID of cells[0] of the same boot too") {
		t.Errorf("the same cell twice: %v", err)
	}
}

// A histogram that cannot be read and a rate that is no number cost a warning,
// not the cell.
func TestDamagedCell(t *testing.T) {
	w, dir := create(t, resulttest.Header())
	boot := resulttest.Boot(1)
	if err := w.Boot(boot); err != nil {
		t.Fatal(err)
	}
	cell := resulttest.Cells(boot)[0]
	cell.Hists = []result.Hist{{Name: "intended-to-read", Unit: "ns", N: 7, P50: 9, Encoded: "HISTnothing"}}
	cell.Hists = append(cell.Hists,
		result.Hist{Name: "lateness", Unit: "ns", Encoded: wide(t)},
		result.Hist{Name: "report-cost", Unit: "ns", N: 2, Min: 3, P50: 1})
	for i, rate := range []float64{math.Inf(1), math.NaN(), -1, 1e308, 1e-320} {
		cell.ID, cell.Flood.Rate = fmt.Sprint(i), rate
		if err := w.Cell(cell); err != nil {
			t.Fatal(err)
		}
		got := load(t, dir).Cells[i]
		all := strings.Join(got.Warnings, "\n")
		if len(got.Warnings) != 4 || got.Flood.Rate != 0 || !strings.Contains(all, fmt.Sprintf("which gives %v per second", rate)) {
			t.Errorf("rate %v became %v; warnings: %q", rate, got.Flood.Rate, got.Warnings)
		}
		for _, name := range []string{"intended-to-read", "lateness", "report-cost"} {
			if !strings.Contains(all, fmt.Sprintf("the histogram %q was lost", name)) {
				t.Errorf("no word of the lost histogram %q: %q", name, got.Warnings)
			}
		}
		if len(got.Hists) != 0 {
			t.Errorf("lost histograms are recorded: %+v", got.Hists)
		}
	}
	logs, err := os.ReadDir(filepath.Join(dir, "hdr"))
	if err != nil || len(logs) != 0 {
		t.Errorf("logs of lost histograms: %v %v", logs, err)
	}
}

// wide is the payload of a histogram that is small in a log and large in memory.
func wide(t *testing.T) string {
	t.Helper()
	payload, err := hdrhistogram.New(1, math.MaxInt64, 5).EncodeV2()
	if err != nil {
		t.Fatal(err)
	}
	return string(payload)
}

// What Load would refuse is refused when it is recorded, and the record stays
// as it was.
func TestWriterRefusesWhatLoadDoes(t *testing.T) {
	w, dir := create(t, resulttest.Header())
	boot := resulttest.Boot(1)
	if err := w.Boot(boot); err != nil {
		t.Fatal(err)
	}
	var e *result.InvalidError
	for _, change := range []func(*result.Cell){
		func(c *result.Cell) { c.ID = "" },
		func(c *result.Cell) { c.ID = strings.Repeat("x", 201) },
		func(c *result.Cell) { c.FS = "ext4\x1b[2J" },
		func(c *result.Cell) { c.CPUs = -1 },
		func(c *result.Cell) { c.Hists = make([]result.Hist, 17) },
	} {
		c := resulttest.Cells(boot)[0]
		change(&c)
		if err := w.Cell(c); !errors.As(err, &e) {
			t.Errorf("cell %q: %v", c.ID, err)
		}
	}
	boot.Serial = "../serial"
	if err := w.Boot(boot); !errors.As(err, &e) {
		t.Errorf("a boot with its console elsewhere: %v", err)
	}
	if r := load(t, dir); len(r.Cells) != 0 || r.Boots[0].Serial != "" {
		t.Errorf("recorded nevertheless: %+v %+v", r.Boots, r.Cells)
	}
	header := resulttest.Header()
	header.Planned = -1
	dir = filepath.Join(t.TempDir(), "run")
	if _, err := result.Create(dir, header); !errors.As(err, &e) {
		t.Errorf("a header with %d cells: %v", header.Planned, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory was made for it: %v", err)
	}
}

func TestCreate(t *testing.T) {
	tests := []struct {
		name  string
		setup func(dir string) error // dir does not exist yet
		want  string                 // of the error, "" for none
		taken bool                   // the error is fs.ErrExist
	}{
		{"new", func(dir string) error { return nil }, "", false},
		{"empty", func(dir string) error { return os.MkdirAll(dir, 0o755) }, "", false},
		{"link to an empty one", func(dir string) error {
			return errors.Join(os.MkdirAll(dir+"2", 0o755), os.Symlink(filepath.Base(dir)+"2", dir))
		}, "", false},
		{"a run", func(dir string) error {
			return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, result.RunFile), nil, 0o644))
		}, "run.json: a run is recorded there already; give another directory", true},
		{"a link for a run", func(dir string) error {
			return errors.Join(os.MkdirAll(dir, 0o755), os.Symlink("nowhere", filepath.Join(dir, result.RunFile)))
		}, "run.json: a run is recorded there already; give another directory", true},
		{"a report", func(dir string) error {
			return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "report.md"), []byte("mine"), 0o644))
		}, `the directory is not empty, it holds "report.md"; give another directory`, true},
		{"a hidden file", func(dir string) error {
			return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, ".x"), nil, 0o644))
		}, `the directory is not empty, it holds ".x"; give another directory`, true},
		{"logs", func(dir string) error { return os.MkdirAll(filepath.Join(dir, "hdr"), 0o755) },
			`the directory is not empty, it holds "hdr"; give another directory`, true},
		{"a file", func(dir string) error {
			return errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.WriteFile(dir, nil, 0o644))
		}, "give another directory", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			top := t.TempDir()
			dir := filepath.Join(top, "run")
			if err := tt.setup(dir); err != nil {
				t.Fatal(err)
			}
			before := names(t, top)
			_, err := result.Create(dir, resulttest.Header())
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				load(t, dir)
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, fs.ErrExist) != tt.taken {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if d := cmp.Diff(before, names(t, top)); d != "" {
				t.Errorf("the directory changed (-before +after):\n%s", d)
			}
		})
	}
}

// names lists what is in dir, at any depth.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		out = append(out, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Of runs that start at once in one directory one has it.
func TestCreateAtOnce(t *testing.T) {
	for _, exists := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "run")
		if exists {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		const n = 16
		start, errs := make(chan struct{}), make(chan error)
		for range n {
			go func() {
				<-start
				_, err := result.Create(dir, resulttest.Header())
				errs <- err
			}()
		}
		close(start)
		won := 0
		for range n {
			switch err := <-errs; {
			case err == nil:
				won++
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%d of %d runs have the directory", won, n)
		}
	}
}

// Two cells whose IDs sanitise to the same name keep a log each.
func TestLogNames(t *testing.T) {
	w, dir := create(t, resulttest.Header())
	boot := resulttest.Boot(1)
	if err := w.Boot(boot); err != nil {
		t.Fatal(err)
	}
	files := map[string]bool{}
	for _, id := range []string{"a b", "a/b", "../../a b", strings.Repeat("x", 199), strings.Repeat("x", 200), "ä"} {
		c := resulttest.Cells(boot)[10]
		c.ID = id
		if len(c.Hists) == 0 {
			h, err := result.NewHist("lateness", "ns", hdrhistogram.New(1, 1000, 3))
			if err != nil {
				t.Fatal(err)
			}
			c.Hists = []result.Hist{h}
		}
		if err := w.Cell(c); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range load(t, dir).Cells {
		for _, h := range c.Hists {
			if files[h.File] || !strings.HasPrefix(h.File, "hdr/") {
				t.Errorf("%q: log %q is taken or elsewhere", c.ID, h.File)
			}
			files[h.File] = true
		}
	}
}

func TestEmptyHistogram(t *testing.T) {
	h, err := result.NewHist("lateness", "ns", hdrhistogram.New(1, 1000, 3))
	if err != nil {
		t.Fatal(err)
	}
	h.Encoded = ""
	if d := cmp.Diff(result.Hist{Name: "lateness", Unit: "ns"}, h); d != "" {
		t.Errorf("an empty histogram (-want +got):\n%s", d)
	}
}

const valid = `{"schema":1,"boots":[{"id":"b","mode":"tcg"}],"cells":[{"id":"c","boot":"b","hists":[{"name":"h","unit":"ns","n":1,"min":1,"p50":1,"p90":1,"p99":1,"p999":1,"max":1}]}]}`

// cells are the first n of a list, each with the number of its own in field.
func cells(n int, field string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"id":"%d","boot":"b",`+field+`},`, i, i)
	}
	return b.String()
}

func TestParse(t *testing.T) {
	if _, err := result.Parse([]byte(valid)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		old, new string // replaced in valid
		want     string
	}{
		{"newer", `"schema":1`, `"schema":4,"boots":7,"x":3`, "run.json: schema: 4 is newer than 3, the newest this wqfan reads: use the wqfan that wrote it, or a later one"},
		{"no schema", `"schema":1,`, ``, "run.json: schema: missing: this is no record of a run"},
		{"schema 0", `"schema":1`, `"schema":0`, "run.json: schema: 0 was never written"},
		{"truncated", `}]}]}`, `}]`, "run.json: truncated: the JSON ends at byte 165 in the middle of a value: unexpected EOF"},
		{"empty", valid, ``, "run.json: truncated: the JSON ends at byte 0 in the middle of a value: unexpected EOF"},
		{"no JSON", `{"schema"`, `schema`, "run.json: no JSON at byte 1: invalid character 's' looking for beginning of value"},
		{"two values", `}]}]}`, `}]}]}{}`, "run.json: no JSON at byte 169: invalid character '{' after top-level value"},
		{"wrong type", `"id":"c"`, `"id":3`, "run.json: cells.id: at byte 62: a JSON number where a string belongs"},
		{"no object", valid, `[1]`, "run.json: at byte 1: a JSON array where an object belongs"},
		{"mode", `"mode":"tcg"`, `"mode":"fast"`, `run.json: boots[0].mode: "fast" is none of kvm, host, tcg, icount`},
		{"boot twice", `"mode":"tcg"}`, `"mode":"tcg"},{"id":"b","mode":"tcg"}`, `run.json: boots[1].id: "b" is not the only one`},
		{"boot without id", `"id":"b"`, `"id":""`, `run.json: boots[0].id: empty`},
		{"boot id", `"id":"b"`, `"id":"b\u0007"`, `run.json: boots[0].id: "b\a" holds what cannot be printed`},
		{"serial elsewhere", `"mode":"tcg"`, `"mode":"tcg","serial":"../s"`, `run.json: boots[0].serial: "../s" is no plain name of a file in the run's directory`},
		{"serial a link", `"mode":"tcg"`, `"mode":"tcg","serial":"x](javascript:alert(1))"`, `run.json: boots[0].serial: "x](javascript:alert(1))" is no plain name of a file in the run's directory`},
		{"serial hidden", `"mode":"tcg"`, `"mode":"tcg","serial":".."`, `run.json: boots[0].serial: ".." is no plain name of a file in the run's directory`},
		{"boot cpus", `"mode":"tcg"`, `"mode":"tcg","cpus":-1`, `run.json: boots[0].cpus: -1: a count is not negative`},
		{"boot memory", `"mode":"tcg"`, `"mode":"tcg","mem_mib":-1`, `run.json: boots[0].mem_mib: -1: a count is not negative`},
		{"boot time", `"mode":"tcg"`, `"mode":"tcg","wall_s":-1`, `run.json: boots[0].wall_s: -1: a duration is not negative`},
		{"complete", `"schema":1`, `"schema":1,"planned":9,"complete":true`, `run.json: complete: true, with 1 cells of 9`},
		{"planned", `"schema":1`, `"schema":1,"planned":-1`, `run.json: planned: -1: a count is not negative`},
		{"wall", `"schema":1`, `"schema":1,"wall_s":-1`, `run.json: wall_s: -1: a duration is not negative`},
		{"at once", `"schema":1`, `"schema":1,"at_once":-1`, `run.json: at_once: -1: a count is not negative`},
		{"host cpus", `"schema":1`, `"schema":1,"host":{"cpus":-1}`, `run.json: host.cpus: -1: a count is not negative`},
		{"cell cpus", `"id":"c"`, `"id":"c","cpus":-2`, `run.json: cells[0].cpus: -2: a count is not negative`},
		{"targets", `"id":"c"`, `"id":"c","params":{"targets":-2}`, `run.json: cells[0].params.targets: -2: a count is not negative`},
		{"threads", `"id":"c"`, `"id":"c","params":{"threads":-2}`, `run.json: cells[0].params.threads: -2: a count is not negative`},
		{"rate tiny", `"id":"c"`, `"id":"c","flood":{"rate":1e-320}`, `run.json: cells[0].flood.rate: 1e-320 errors per second is neither 0, for unknown, nor within 0.001 and 1e+15`},
		{"rate huge", `"id":"c"`, `"id":"c","flood":{"rate":1.1e15}`, `run.json: cells[0].flood.rate: 1.1e+15 errors per second is neither 0, for unknown, nor within 0.001 and 1e+15`},
		{"rate negative", `"id":"c"`, `"id":"c","flood":{"rate":-1}`, `run.json: cells[0].flood.rate: -1 errors per second is neither 0, for unknown, nor within 0.001 and 1e+15`},
		{"rate beyond", `"id":"c"`, `"id":"c","flood":{"rate":1e309}`, `run.json: cells.flood.rate: at byte 86: a JSON number 1e309 where a float64 belongs`},
		{"timeline lengths", `"id":"c"`, `"id":"c","timeline":{"at":[1,2],"reported":[1,2],"read":[1]}`, `run.json: cells[0].timeline.at: 2 instants, but 2 reported, 1 read and 0 lost`},
		{"timeline falls", `"id":"c"`, `"id":"c","timeline":{"at":[2,1],"reported":[1,2],"read":[1,1]}`, `run.json: cells[0].timeline.at: the times do not rise from 0`},
		{"timeline sums", `"id":"c"`, `"id":"c","timeline":{"at":[1,2],"reported":[2,1],"read":[1,1]}`, `run.json: cells[0].timeline.reported: reported, read and lost are sums and never fall`},
		{"timeline long", `"id":"c"`, `"id":"c","timeline":{"at":[` + strings.Repeat("0,", 1000) + `0]}`, `run.json: cells[0].timeline.at: 1001 instants, at most 1000 are taken`},
		{"timeline signals", `"id":"c"`, `"id":"c","timeline":{"signals":[` + strings.Repeat("{},", 1000) + `{}]}`, `run.json: cells[0].timeline.signals: 1001, at most 1000 are taken`},
		{"cell id", `"id":"c"`, `"id":"c\n"`, `run.json: cells[0].id: "c\n" holds what cannot be printed`},
		{"scenario", `"id":"c"`, `"id":"c","scenario":"\u001b[2J"`, `run.json: cells[0].scenario: "\x1b[2J" holds what cannot be printed`},
		{"arm", `"id":"c"`, `"id":"c","arm":"` + strings.Repeat("a", 201) + `"`, `run.json: cells[0].arm: "` + strings.Repeat("a", 40) + `" and so on has 201 bytes, at most 200 are taken`},
		{"fs", `"id":"c"`, `"id":"c","fs":"\u202e"`, `run.json: cells[0].fs: "\u202e" holds what cannot be printed`},
		{"point", `"id":"c"`, `"id":"c","point":"\u0000"`, `run.json: cells[0].point: "\x00" holds what cannot be printed`},
		{"hist name", `"name":"h"`, `"name":"h\t"`, `run.json: cells[0].hists[0].name: "h\t" holds what cannot be printed`},
		{"hist unit", `"unit":"ns"`, `"unit":"n\ns"`, `run.json: cells[0].hists[0].unit: "n\ns" holds what cannot be printed`},
		{"file", `"name":"h"`, `"name":"h","file":"a\u0000"`, `run.json: cells[0].hists[0].file: "a\x00" holds what cannot be printed`},
		{"file twice", `"hists":[`, `"hists":[{"name":"h","unit":"ns","file":"a"},{"name":"g","unit":"ns","file":"./a"},`, `run.json: cells[0].hists[1].file: "a" is the raw data of another histogram too`},
		{"hist count", `"n":1`, `"n":-1`, `run.json: cells[0].hists[0].n: -1: a count is not negative`},
		{"many boots", `"boots":[`, `"boots":[` + strings.Repeat("{},", 4096), `run.json: boots: 4097, at most 4096 are taken`},
		{"many cells", `"cells":[`, `"cells":[` + strings.Repeat("{},", 100_000), `run.json: cells: 100001, at most 100000 are taken`},
		{"many cells first", `"cells":[`, `"Cells":[` + strings.Repeat("0,", 100_000) + `0],"cells":[`, `run.json: cells: 100001, at most 100000 are taken`},
		{"many hists", `"hists":[`, `"hists":[` + strings.Repeat("{},", 16), `run.json: cells[0].hists: 17, at most 16 are taken`},
		{"many arms", `"cells":[`, `"cells":[` + cells(64, `"arm":"a%d"`), `run.json: cells[64].arm: "" is one more than the 64 arms that a run may have`},
		{"many filesystems", `"cells":[`, `"cells":[` + cells(64, `"fs":"f%d"`), `run.json: cells[64].fs: "" is one more than the 64 filesystems that a run may have`},
		{"many combinations", `"cells":[`, `"cells":[` + cells(4096, `"cpus":%d,"scenario":"s"`), `run.json: cells[4096]: scenario "", arm "", fs "" and cpus 0 are one more than the 4096 combinations that a run may have`},
		{"cell without boot", `"boot":"b"`, `"boot":"z"`, `run.json: cells[0].boot: cell "c" was measured in boot "z", which is not among the boots`},
		{"cell twice", `"cells":[`, `"cells":[{"id":"c","boot":"b"},`, `run.json: cells[1].id: "c" is the ID of cells[0] of the same boot too`},
		{"cell without id", `"id":"c"`, `"id":""`, `run.json: cells[0].id: empty`},
		{"percentiles", `"p99":1`, `"p99":0`, `run.json: cells[0].hists[0].p99: the percentiles of "h" do not rise: min, p50, p90, p99, p99.9, max = 1 1 1 0 1 1`},
		{"unit", `"unit":"ns"`, `"unit":""`, `run.json: cells[0].hists[0].unit: empty: the numbers of "h" mean nothing`},
		{"negative", `"min":1`, `"min":-1`, `run.json: cells[0].hists[0].min: -1: a duration is not negative`},
		{"outside", `"name":"h"`, `"name":"h","file":"../../etc/passwd"`, `run.json: cells[0].hists[0].file: "../../etc/passwd" lies outside the run's directory`},
		{"encoded", `"name":"h"`, `"name":"h","encoded":"HIST"`, `run.json: cells[0].hists[0].encoded: the raw data belongs into an HDR log`},
		{"negative count", `"id":"c"`, `"id":"c","account":{"injected":-1}`, `run.json: cells.account.injected: at byte 89: a JSON number -1 where a uint64 belongs`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := strings.Replace(valid, tt.old, tt.new, 1)
			_, err := result.Parse([]byte(in))
			var e *result.InvalidError
			if !errors.As(err, &e) || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
	if _, err := result.Parse([]byte(valid[:40])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a truncated record is no io.ErrUnexpectedEOF: %v", err)
	}
	// An account that does not add up is a finding, not a reason to refuse.
	if _, err := result.Parse([]byte(strings.Replace(valid, `"id":"c"`, `"id":"c","account":{"injected":5}`, 1))); err != nil {
		t.Errorf("an account with a remainder: %v", err)
	}
}

// Schema 2 called lost silently what the last signal had told of by then.
func TestToldElsewhere(t *testing.T) {
	const timeline = `"timeline":{"at":[10,20,30,40],"reported":[3,6,9,9],"read":[1,2,3,4],"lost":[1,3,5,5],"signals":[{"at":5},{"at":25}]}`
	for _, tt := range []struct {
		name, schema, cell string
		silent, elsewhere  uint64
	}{
		{"some after the last signal", "2", `"account":{"signalled":1,"silent":4},` + timeline, 2, 2},
		{"no more than were after it", "2", `"account":{"signalled":4,"silent":1},` + timeline, 1, 0},
		{"counted", "2", `"account":{"signalled":1,"silent":4},"reader":{"loss_exact":true},` + timeline, 4, 0},
		{"no signal", "2", `"account":{"silent":5}`, 5, 0},
		{"the schema of today", "3", `"account":{"signalled":1,"silent":4},` + timeline, 4, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := strings.NewReplacer(`"schema":1`, `"schema":`+tt.schema, `"id":"c"`, `"id":"c",`+tt.cell).Replace(valid)
			r, err := result.Parse([]byte(in))
			if err != nil {
				t.Fatal(err)
			}
			c := r.Cells[0]
			if c.Account.Silent != tt.silent || c.Reader.Elsewhere != tt.elsewhere || c.Account.Lost() != 5 || fmt.Sprint(r.Schema) != tt.schema {
				t.Errorf("schema %d: %v, %d told elsewhere; want %d silent, %d elsewhere", r.Schema, c.Account, c.Reader.Elsewhere, tt.silent, tt.elsewhere)
			}
		})
	}
}

// one records one cell that has histograms, and returns the name of a log in dir.
func one(t *testing.T) (dir, log string) {
	t.Helper()
	w, dir := create(t, resulttest.Header())
	boot := resulttest.Boot(1)
	if err := w.Boot(boot); err != nil {
		t.Fatal(err)
	}
	all := resulttest.Cells(boot)
	i := slices.IndexFunc(all, func(c result.Cell) bool { return len(c.Hists) > 0 })
	if err := w.Cell(all[i]); err != nil {
		t.Fatal(err)
	}
	return dir, load(t, dir).Cells[0].Hists[0].File
}

func TestLoadRefusesRawData(t *testing.T) {
	setup := func(t *testing.T) (dir, log string) {
		dir, log = one(t)
		return dir, filepath.Join(dir, log)
	}
	t.Run("missing", func(t *testing.T) {
		dir, log := setup(t)
		if err := os.Remove(log); err != nil {
			t.Fatal(err)
		}
		if _, err := result.Load(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), log) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("truncated", func(t *testing.T) {
		dir, log := setup(t)
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(log, b[:len(b)-40], 0o644); err != nil {
			t.Fatal(err)
		}
		var e *result.InvalidError
		if _, err := result.Load(dir); !errors.As(err, &e) || e.File != log {
			t.Errorf("got %v", err)
		}
	})
	t.Run("another", func(t *testing.T) {
		dir, log := setup(t)
		h := hdrhistogram.New(1, 1000, 3)
		_ = h.RecordValue(5)
		var b bytes.Buffer
		if err := hdrhistogram.NewHistogramLogWriter(&b).OutputIntervalHistogram(h); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(log, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := result.Load(dir); err == nil || !strings.Contains(err.Error(), "the raw data is not what run.json sums up") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("wide", func(t *testing.T) {
		dir, log := setup(t)
		if err := os.WriteFile(log, []byte("0,0,0,"+wide(t)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		var e *result.InvalidError
		if _, err := result.Load(dir); !errors.As(err, &e) || e.File != log || !strings.Contains(err.Error(), "bytes of memory") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no directory", func(t *testing.T) {
		if _, err := result.Load(filepath.Join(t.TempDir(), "x")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no run", func(t *testing.T) {
		if _, err := result.Load(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

// What stands in the place of a file and is none, or leads away from the run's
// directory, is refused, and nothing waits for it.
func TestLoadRegularOnly(t *testing.T) {
	elsewhere, log := one(t)

	invalid := func(err error) bool { var e *result.InvalidError; return errors.As(err, &e) }
	open := func(err error) bool { var e *fs.PathError; return errors.As(err, &e) && e.Op == "open" }
	huge := func(size int64) func(string) error {
		return func(name string) error {
			return errors.Join(os.WriteFile(name, nil, 0o644), os.Truncate(name, size))
		}
	}
	tests := []struct {
		name   string
		file   string
		setup  func(name string) error
		refuse func(error) bool
		want   string
	}{
		{"FIFO", result.RunFile, func(name string) error { return unix.Mkfifo(name, 0o644) }, invalid, "no regular file (prw"},
		{"FIFO", log, func(name string) error { return unix.Mkfifo(name, 0o644) }, invalid, "no regular file (prw"},
		{"directory", result.RunFile, func(name string) error { return os.Mkdir(name, 0o755) }, invalid, "no regular file (drw"},
		{"directory", log, func(name string) error { return os.Mkdir(name, 0o755) }, invalid, "no regular file (drw"},
		{"socket", log, func(name string) error { return unix.Mknod(name, unix.S_IFSOCK|0o644, 0) }, open, "no such device or address"},
		{"link away", result.RunFile, func(name string) error { return os.Symlink(filepath.Join(elsewhere, result.RunFile), name) }, open, "path escapes from parent"},
		{"link away", log, func(name string) error { return os.Symlink(filepath.Join(elsewhere, log), name) }, open, "path escapes from parent"},
		{"link to a device", log, func(name string) error { return os.Symlink("/dev/zero", name) }, open, "path escapes from parent"},
		{"link to itself", log, func(name string) error { return os.Symlink(filepath.Base(name), name) }, open, "too many"},
		{"too large", result.RunFile, huge(256<<20 + 1), invalid, "larger than 256 MiB"},
		{"too large", log, huge(16<<20 + 1), invalid, "larger than 16 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+filepath.Base(tt.file), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(elsewhere)); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(dir, tt.file)
			if err := errors.Join(os.Remove(name), tt.setup(name)); err != nil {
				t.Fatal(err)
			}
			if _, err := result.Load(dir); !tt.refuse(err) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	t.Run("device", func(t *testing.T) {
		dir := t.TempDir()
		name := filepath.Join(dir, result.RunFile)
		if err := unix.Mknod(name, unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))); err != nil {
			if os.Getenv("CI") == "true" || !errors.Is(err, unix.EPERM) {
				t.Fatal(err)
			}
			t.Skip("to make a device node takes CAP_MKNOD")
		}
		if _, err := result.Load(dir); err == nil || !strings.Contains(err.Error(), name) ||
			!invalid(err) && !errors.Is(err, unix.EACCES) { // EACCES: the file system takes no devices
			t.Errorf("got %v", err)
		}
	})
	t.Run("link within", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(elsewhere)); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, log)
		if err := errors.Join(os.Rename(name, filepath.Join(dir, "log")), os.Symlink("../log", name)); err != nil {
			t.Fatal(err)
		}
		load(t, dir)
	})
}

func testWriteBench(t *testing.T, dir string) {
	r := load(t, dir)
	r.Cells[3].Err = "the guest panicked\nin the middle"
	var b bytes.Buffer
	if err := result.WriteBench(&b, r); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "bench.txt")
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("bench.txt (-want +got; -update writes it):\n%s", d)
	}

	results := 0
	rd := benchfmt.NewReader(&b, "bench.txt")
	for rd.Scan() {
		switch rec := rd.Result().(type) {
		case *benchfmt.Result:
			results++
			boot := "tcg"
			if strings.HasSuffix(string(rec.Name), "/cpus=1") {
				boot = "icount"
			}
			if got := rec.GetConfig("mode"); got != boot {
				t.Errorf("%s: mode %q", rec.Name, got)
			}
			for _, v := range rec.Values {
				if boot == "icount" && strings.HasSuffix(v.Unit, "sec") {
					t.Errorf("%s: %s: instructions are no seconds", rec.Name, v.Unit)
				}
			}
		case *benchfmt.SyntaxError:
			t.Errorf("benchfmt: %v", rec)
		}
	}
	if want := len(r.Cells) - 1; rd.Err() != nil || results != want {
		t.Errorf("benchfmt read %d results (%v), want %d", results, rd.Err(), want)
	}
}

func FuzzParse(f *testing.F) {
	dir := f.TempDir()
	w, err := result.Create(dir, resulttest.Header())
	if err != nil {
		f.Fatal(err)
	}
	boot := resulttest.Boot(1)
	if err := w.Boot(boot); err != nil {
		f.Fatal(err)
	}
	for _, c := range resulttest.Cells(boot)[12:20] {
		if err := w.Cell(c); err != nil {
			f.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, result.RunFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(valid))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := result.Parse(b)
		if err != nil {
			var e *result.InvalidError
			if r != nil || !errors.As(err, &e) {
				t.Fatalf("a run and an error, or another error: %v", err)
			}
			return
		}
		// What Parse takes, it takes again once written.
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		r2, err := result.Parse(again)
		if err != nil {
			t.Fatalf("what was parsed is refused when written: %v", err)
		}
		if d := cmp.Diff(r, r2, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
		if err := result.WriteBench(io.Discard, r); err != nil {
			t.Fatal(err)
		}
	})
}

// A sum has room for the values of all, however narrow the first is.
func TestSum(t *testing.T) {
	narrow, wide := hdrhistogram.New(1, 2000, 3), hdrhistogram.New(1, 1_000_000, 3)
	for h, v := range map[*hdrhistogram.Histogram]int64{narrow: 1500, wide: 900_000} {
		if err := h.RecordValue(v); err != nil {
			t.Fatal(err)
		}
	}
	sum := result.Sum(narrow, wide)
	if sum.TotalCount() != 2 || sum.Min() != 1500 || !sum.ValuesAreEquivalent(sum.Max(), 900_000) {
		t.Errorf("%d values from %d to %d", sum.TotalCount(), sum.Min(), sum.Max())
	}
	if narrow.TotalCount() != 1 || wide.TotalCount() != 1 {
		t.Errorf("the summands have %d and %d values", narrow.TotalCount(), wide.TotalCount())
	}
}
