// SPDX-License-Identifier: MIT

package result_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/perf/benchfmt"

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

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	resulttest.Write(t, dir)
	r := load(t, dir)
	if !r.Complete || r.Reason != "" || len(r.Cells) != r.Planned {
		t.Errorf("complete %v (%q), %d of %d cells", r.Complete, r.Reason, len(r.Cells), r.Planned)
	}

	boots := []result.Boot{resulttest.Boot(1), resulttest.Boot(2)}
	if d := cmp.Diff(boots, r.Boots); d != "" {
		t.Errorf("boots (-want +got):\n%s", d)
	}
	want := append(resulttest.Cells(boots[0]), resulttest.Cells(boots[1])...)
	for i, w := range want {
		got := r.Cells[i]
		for j := range w.Hists {
			h := &got.Hists[j]
			raw, err := hdrhistogram.Decode([]byte(w.Hists[j].Encoded))
			if err != nil {
				t.Fatal(err)
			}
			if h.Data == nil || !h.Data.Equals(raw) {
				t.Fatalf("%s: histogram %s is not the one that was written", w.ID, h.Name)
			}
			w.Hists[j].Encoded, w.Hists[j].File = "", h.File
			h.Data = nil
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
func TestDeterministic(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	resulttest.Write(t, a)
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
	if err := w.Finish(true, ""); err != nil {
		t.Fatal(err)
	}
	r := load(t, dir)
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
	if err := w.Cell(cell); err == nil || !strings.Contains(err.Error(), `boot "cpus=1" is not recorded`) {
		t.Errorf("a cell without its boot: %v", err)
	}
	if err := w.Boot(boot); err != nil {
		t.Fatal(err)
	}
	if err := w.Cell(cell); err != nil {
		t.Fatal(err)
	}
	if err := w.Cell(cell); err == nil || !strings.Contains(err.Error(), "recorded already") {
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
	cell.Flood.Rate = math.Inf(1)
	if err := w.Cell(cell); err != nil {
		t.Fatal(err)
	}
	got := load(t, dir).Cells[0]
	if len(got.Warnings) != 2 || !strings.Contains(strings.Join(got.Warnings, "\n"), "the histogram intended-to-read was lost") {
		t.Errorf("warnings: %q", got.Warnings)
	}
	if h := got.Hists[0]; h.N != 0 || h.P50 != 0 || h.File != "" {
		t.Errorf("a lost histogram keeps numbers: %+v", h)
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
	for _, id := range []string{"a b", "a/b", "../../a b", strings.Repeat("x", 300), strings.Repeat("x", 301), "ä"} {
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

func TestParse(t *testing.T) {
	if _, err := result.Parse([]byte(valid)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		old, new string // replaced in valid
		want     string
	}{
		{"newer", `"schema":1`, `"schema":2,"boots":7,"x":3`, "run.json: schema: 2 is newer than 1, the newest this wqfan reads: use the wqfan that wrote it, or a later one"},
		{"no schema", `"schema":1,`, ``, "run.json: schema: missing: this is no record of a run"},
		{"schema 0", `"schema":1`, `"schema":0`, "run.json: schema: 0 was never written"},
		{"truncated", `}]}]}`, `}]`, "run.json: truncated: the JSON ends at byte 165 in the middle of a value: unexpected EOF"},
		{"empty", valid, ``, "run.json: truncated: the JSON ends at byte 0 in the middle of a value: unexpected EOF"},
		{"no JSON", `{"schema"`, `schema`, "run.json: no JSON at byte 1: invalid character 's' looking for beginning of value"},
		{"two values", `}]}]}`, `}]}]}{}`, "run.json: no JSON at byte 169: invalid character '{' after top-level value"},
		{"wrong type", `"id":"c"`, `"id":3`, "run.json: cells.id: at byte 62: a JSON number where a string belongs"},
		{"mode", `"mode":"tcg"`, `"mode":"fast"`, `run.json: boots[0].mode: "fast" is none of kvm, host, tcg, icount`},
		{"boot twice", `"mode":"tcg"}`, `"mode":"tcg"},{"id":"b","mode":"tcg"}`, `run.json: boots[1].id: "b" is empty or not the only one`},
		{"cell without boot", `"boot":"b"`, `"boot":"z"`, `run.json: cells[0].boot: cell "c" was measured in boot "z", which is not among the boots`},
		{"cell twice", `"cells":[`, `"cells":[{"id":"c","boot":"b"},`, `run.json: cells[1].id: "c" is the ID of cells[0] too`},
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

func TestLoadRefusesRawData(t *testing.T) {
	setup := func(t *testing.T) (dir, log string) {
		w, dir := create(t, resulttest.Header())
		boot := resulttest.Boot(1)
		if err := w.Boot(boot); err != nil {
			t.Fatal(err)
		}
		for _, c := range resulttest.Cells(boot) {
			if c.Scenario != "latency" {
				continue
			}
			if err := w.Cell(c); err != nil {
				t.Fatal(err)
			}
			return dir, filepath.Join(dir, load(t, dir).Cells[0].Hists[0].File)
		}
		t.Fatal("no histogram in the sample")
		return
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
	t.Run("no run", func(t *testing.T) {
		if _, err := result.Load(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

func TestWriteBench(t *testing.T) {
	dir := t.TempDir()
	resulttest.Write(t, dir)
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
