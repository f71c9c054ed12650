// SPDX-License-Identifier: MIT

package result

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"

	"golang.org/x/perf/benchfmt"
)

// benchUnits tells benchstat which way is better. A unit that is not listed
// has no better way: more errors injected is neither.
var benchUnits = []struct{ unit, better string }{
	{"detailed", "higher"},
	{"lost-signalled", "lower"},
	{"lost-silent", "lower"},
}

// WriteBench writes the cells of r in Go's benchmark format: one line per
// cell, the terms of its account and the percentiles of its histograms as
// units, the environment as configuration lines. Repeated boots give repeated
// lines, which is what benchstat makes its intervals of. The mode is
// configuration, so benchstat never puts two modes into one table.
//
// A failed cell is evidence and no result: it appears as a comment.
func WriteBench(w io.Writer, r *Run) error {
	bw := benchfmt.NewWriter(w)
	for _, u := range benchUnits {
		m := &benchfmt.UnitMetadata{UnitMetadataKey: benchfmt.UnitMetadataKey{Unit: u.unit, Key: "better"}, OrigUnit: u.unit, Value: u.better}
		if err := bw.Write(m); err != nil {
			return err
		}
	}
	var failed []Cell
	for _, boot := range r.Boots {
		config := benchConfig(r, boot)
		for _, c := range r.Cells {
			switch {
			case c.Boot != boot.ID:
				continue
			case c.Err != "":
				failed = append(failed, c)
				continue
			}
			res := &benchfmt.Result{Config: config, Name: benchName(c), Iters: 1, Values: benchValues(c)}
			if err := bw.Write(res); err != nil {
				return err
			}
		}
	}
	for _, c := range failed {
		if _, err := fmt.Fprintf(w, "# failed: %s: %s\n", c.ID, oneLine(c.Err)); err != nil {
			return err
		}
	}
	return nil
}

// benchConfig holds nothing that differs between boots of the same kernel in
// the same mode: benchstat would take them for different experiments.
func benchConfig(r *Run, b Boot) []benchfmt.Config {
	var out []benchfmt.Config
	for _, kv := range [][2]string{
		{"goos", "linux"},
		{"pkg", "wqfan"},
		{"cpu", r.Host.CPU},
		{"kernel", b.Kernel.Release},
		{"variant", b.Kernel.Variant},
		{"series", b.Kernel.Series},
		{"config", b.Kernel.Config},
		{"mode", string(b.Mode)},
		{"qemu", r.Host.QEMU},
	} {
		if v := oneLine(kv[1]); v != "" {
			out = append(out, benchfmt.Config{Key: kv[0], Value: []byte(v), File: true})
		}
	}
	return out
}

// benchName puts the CPUs last: benchstat takes a trailing -N for GOMAXPROCS,
// and a point may end in one.
func benchName(c Cell) benchfmt.Name {
	var b strings.Builder
	scenario := benchWord(c.Scenario)
	if scenario == "" {
		scenario = "cell"
	}
	b.WriteString(strings.ToUpper(scenario[:1]) + scenario[1:])
	for _, part := range append([]string{"fs=" + c.FS, "arm=" + c.Arm}, strings.Fields(c.Point)...) {
		b.WriteString("/" + benchWord(part))
	}
	fmt.Fprintf(&b, "/cpus=%d", c.CPUs)
	return benchfmt.Name(b.String())
}

func benchWord(s string) string {
	return strings.Map(func(r rune) rune {
		if r == 'µ' { // as in 100µs
			return 'u'
		}
		if r == '/' || r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
}

func benchValues(c Cell) []benchfmt.Value {
	var out []benchfmt.Value
	add := func(v float64, unit string) { out = append(out, benchfmt.Value{Value: v, Unit: unit}) }
	a := c.Account
	add(float64(a.Injected), "injected")
	add(float64(a.Refused), "refused")
	add(float64(a.Detailed), "detailed")
	add(float64(a.Coalesced), "coalesced")
	add(float64(a.Filtered), "filtered")
	add(float64(a.Signalled), "lost-signalled")
	add(float64(a.Silent), "lost-silent")
	add(float64(c.Reader.Records), "records")
	if c.Flood.Rate > 0 {
		add(math.Round(c.Flood.Rate), "offered/s")
	}
	for _, h := range c.Hists {
		// A reader that preempts the reporter is inside the time of its report.
		if h.N == 0 || h.Name == "report-cost" && c.Params.Reader != "unread" {
			continue
		}
		// p50-intended-to-read-instructions; benchstat makes seconds of what
		// ends in -ns, and emulated-sec of emulated-ns.
		unit := benchWord(h.Name) + "-" + strings.ReplaceAll(benchWord(h.Unit), "_", "-")
		add(float64(h.P50), "p50-"+unit)
		add(float64(h.P99), "p99-"+unit)
		add(float64(h.Max), "max-"+unit)
	}
	return out
}

// oneLine is text from elsewhere without what a terminal or a parser obeys.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) }), " ")
}
