// SPDX-License-Identifier: MIT

package export_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"wqfan/bench/export"
	"wqfan/bench/result"
	"wqfan/bench/result/resulttest"
	"wqfan/internal/need"
)

// sample is a run with a cell that failed, one that does not add up, and names
// that mean something in the formats.
func sample(t *testing.T) *result.Run {
	t.Helper()
	dir := t.TempDir()
	resulttest.Write(t, filepath.Join(dir, "run"))
	r, err := result.Load(filepath.Join(dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	r.Cells[0].Err = "open the group: no # such\nok 7 thing"
	r.Cells[1].Account.Injected += 3
	r.Cells[2].Point = "odd/point #1 {x=\"y\"}"
	r.Cells[2].ID += " # SKIP not really"
	return r
}

func TestKTAP(t *testing.T) {
	r := sample(t)
	var b bytes.Buffer
	if err := export.KTAP(&b, r); err != nil {
		t.Fatal(err)
	}
	tally := map[string]int{}
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "    ok ") {
			tally["ok"]++
		} else if strings.HasPrefix(line, "    not ok ") {
			tally["not ok"]++
		}
	}
	if tally["not ok"] != 2 || tally["ok"] != len(r.Cells)-2 {
		t.Errorf("%v of %d cells", tally, len(r.Cells))
	}
	if !strings.Contains(b.String(), "\nok 5 complete\n") || !strings.Contains(b.String(), "    # open the group: no _ such ok 7 thing\n") {
		t.Errorf("%.2000s", b.String())
	}

	r.Complete, r.Reason = false, "interrupted"
	b.Reset()
	if err := export.KTAP(&b, r); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(b.String(), "cells were measured: interrupted\nnot ok 5 complete\n") {
		t.Error("an interrupted run is complete")
	}
}

// The kernel tree's own parser takes the output, and counts what was measured.
func TestKTAPParses(t *testing.T) {
	need.Programs(t, "python3")
	kunit := kunit(t)
	r := sample(t)
	name := filepath.Join(t.TempDir(), "run.ktap")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := export.KTAP(f, r); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", kunit, "parse", "--json="+name+".json", name)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	out, _ := cmd.CombinedOutput() // its status is that of the tests
	got := string(out)
	if strings.Contains(got, "[ERROR]") || !strings.Contains(got, "passed: "+itoa(len(r.Cells)-2+1)) || !strings.Contains(got, "failed: 2") {
		t.Errorf("%d cells, two of them failed:\n%s", len(r.Cells), got[max(0, len(got)-2000):])
	}
}

// kunit finds the parser in the tree of $KSRC, or in those that kernels were
// built from.
func kunit(t *testing.T) string {
	t.Helper()
	cache := os.Getenv("WQFAN_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(user, "wqfan")
	}
	trees, err := filepath.Glob(filepath.Join(cache, "trees", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tree := range append([]string{os.Getenv("KSRC")}, trees...) {
		name := filepath.Join(tree, "tools/testing/kunit/kunit.py")
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	need.Missing(t, "needs an unpacked kernel source with tools/testing/kunit: set KSRC, or `make kernel`")
	return ""
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

func TestKCIDB(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("testdata/kcidb-v5.3.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(b []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	r := sample(t)
	var b bytes.Buffer
	if err := export.KCIDB(&b, r, "wqfan_ci"); err != nil {
		t.Fatal(err)
	}
	if err := validate(b.Bytes()); err != nil {
		t.Error(err)
	}
	var got struct {
		Checkouts, Builds []struct{ ID string }
		Tests             []struct {
			ID, Path, Status string
			BuildID          string `json:"build_id"`
			Number           *struct {
				Value float64
				Unit  string
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Checkouts) != 1 || len(got.Builds) != 1 || len(got.Tests) != len(r.Cells) {
		t.Fatalf("%d checkouts, %d builds, %d tests of %d cells", len(got.Checkouts), len(got.Builds), len(got.Tests), len(r.Cells))
	}
	ids := map[string]bool{}
	status := map[string]int{}
	for i, test := range got.Tests {
		if ids[test.ID] || test.BuildID != got.Builds[0].ID {
			t.Errorf("test %q of build %q", test.ID, test.BuildID)
		}
		ids[test.ID] = true
		status[test.Status]++
		h := r.Cells[i].Hist(result.IntendedToRead)
		if (h != nil) != (test.Number != nil) || h != nil && (test.Number.Value != float64(h.P50) || test.Number.Unit != h.Unit) {
			t.Errorf("%s: number %v", test.Path, test.Number)
		}
	}
	if status["ERROR"] != 1 || status["FAIL"] != 1 || status["DONE"] != 12 {
		t.Errorf("statuses %v", status)
	}

	// The schema is one that finds mistakes.
	for _, wrong := range []string{`"status": "GOOD"`, `"statuss": "PASS"`, `"status": "PASS", "duration": "1s"`} {
		if validate(bytes.Replace(b.Bytes(), []byte(`"status": "PASS"`), []byte(wrong), 1)) == nil {
			t.Errorf("%s is valid", wrong)
		}
	}
	if err := export.KCIDB(io.Discard, r, "My CI"); err == nil {
		t.Error("an origin with a space is taken")
	}
	if b.Reset(); export.KCIDB(&b, &result.Run{}, "wqfan") != nil || validate(b.Bytes()) != nil {
		t.Errorf("an empty run: %s", b.String())
	}
}

func families(t *testing.T, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	f, err := p.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPrometheus(t *testing.T) {
	r := sample(t)
	var b bytes.Buffer
	if err := export.Prometheus(&b, r); err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(bytes.NewReader(b.Bytes())).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	if strings.Contains(b.String(), " # {") {
		t.Error("exemplars in a text file")
	}
	f := families(t, b.Bytes())
	var errors, want float64
	for _, m := range f["wqfan_errors_total"].GetMetric() {
		errors += m.GetCounter().GetValue()
	}
	timed := uint64(0)
	for i := range r.Cells {
		c := &r.Cells[i]
		if c.Err != "" || c.Account.Unexplained() != 0 {
			continue
		}
		want += float64(c.Account.Injected)
		if h := c.Hist(result.IntendedToRead); h != nil {
			timed += uint64(h.N)
		}
	}
	if errors != want {
		t.Errorf("%v errors, want %v", errors, want)
	}
	var observed uint64
	for _, name := range []string{"wqfan_latency_instructions", "wqfan_latency_emulated_seconds"} {
		for _, m := range f[name].GetMetric() {
			observed += m.GetHistogram().GetSampleCount()
			if n := len(m.GetHistogram().GetBucket()); n < 10 {
				t.Errorf("%s has %d classic buckets", name, n)
			}
		}
	}
	if observed != timed {
		t.Errorf("%d latencies, want %d", observed, timed)
	}
	if f["wqfan_latency_seconds"] != nil {
		t.Error("time of no hardware is given in seconds")
	}
}

// While a run goes on a scrape has what was measured so far; one that asks for
// protocol buffers has native histograms with classic buckets beside.
func TestLive(t *testing.T) {
	boot := resulttest.Boot(1)
	m := export.NewMetrics(&result.Run{Planned: 9})
	s := httptest.NewServer(m.Handler())
	defer s.Close()
	get := func(accept string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	text, err := io.ReadAll(get("text/plain").Body)
	if err != nil {
		t.Fatal(err)
	}
	if f := families(t, text); f["wqfan_cells_total"] != nil || f["wqfan_cells_planned"].GetMetric()[0].GetGauge().GetValue() != 9 {
		t.Errorf("before the first cell:\n%s", text)
	}
	m.Boot(boot)
	for _, c := range resulttest.Cells(boot) { // as the guest sends them: encoded
		if err := m.Cell(boot, &c); err != nil {
			t.Fatal(err)
		}
	}
	resp := get(string(expfmt.NewFormat(expfmt.TypeProtoDelim)))
	d := expfmt.NewDecoder(resp.Body, expfmt.ResponseFormat(resp.Header))
	native := 0
	for {
		var f dto.MetricFamily
		if err := d.Decode(&f); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, m := range f.GetMetric() {
			if h := m.GetHistogram(); h != nil {
				if len(h.GetPositiveSpan()) == 0 || len(h.GetBucket()) == 0 {
					t.Errorf("%s: %d native spans, %d classic buckets", f.GetName(), len(h.GetPositiveSpan()), len(h.GetBucket()))
				}
				native++
			}
		}
	}
	if native == 0 {
		t.Error("no native histogram")
	}
}
