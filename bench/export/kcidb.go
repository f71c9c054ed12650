// SPDX-License-Identifier: MIT

package export

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"wqfan/bench/result"
)

// The version of the KCIDB schema that KCIDB writes: kcidb_io/schema/v05_03.py
// in https://github.com/kernelci/kcidb-io.
const (
	kcidbMajor = 5
	kcidbMinor = 3
)

// The objects of the schema, with those of their properties that a run has.
type (
	kcidb struct {
		Version   kcidbVersion    `json:"version"`
		Checkouts []kcidbCheckout `json:"checkouts"`
		Builds    []kcidbBuild    `json:"builds"`
		Tests     []kcidbTest     `json:"tests"`
	}
	kcidbVersion struct {
		Major int `json:"major"`
		Minor int `json:"minor"`
	}
	kcidbCheckout struct {
		ID      string         `json:"id"`
		Origin  string         `json:"origin"`
		Comment string         `json:"comment,omitempty"`
		Valid   bool           `json:"valid"`
		Misc    map[string]any `json:"misc,omitempty"`
	}
	kcidbBuild struct {
		ID           string         `json:"id"`
		Origin       string         `json:"origin"`
		CheckoutID   string         `json:"checkout_id"`
		Architecture string         `json:"architecture"`
		Compiler     string         `json:"compiler,omitempty"`
		ConfigName   string         `json:"config_name,omitempty"`
		Status       string         `json:"status"`
		Misc         map[string]any `json:"misc,omitempty"`
	}
	kcidbTest struct {
		ID          string           `json:"id"`
		Origin      string           `json:"origin"`
		BuildID     string           `json:"build_id"`
		Path        string           `json:"path"`
		Comment     string           `json:"comment,omitempty"`
		Status      string           `json:"status"`
		Number      *kcidbNumber     `json:"number,omitempty"`
		StartTime   string           `json:"start_time,omitempty"`
		LogExcerpt  string           `json:"log_excerpt,omitempty"`
		Environment kcidbEnvironment `json:"environment"`
		Misc        map[string]any   `json:"misc"`
	}
	kcidbNumber struct {
		Value float64 `json:"value"`
		Unit  string  `json:"unit"`
	}
	kcidbEnvironment struct {
		Comment string         `json:"comment"`
		Misc    map[string]any `json:"misc"`
	}
)

// maxExcerpt is how long a log_excerpt may be.
const maxExcerpt = 16384

var (
	originOK = regexp.MustCompile(`^[a-z0-9_]+$`)
	notPath  = regexp.MustCompile(`[^a-zA-Z0-9_-]+`)
)

// KCIDB writes r as the JSON that kernel CI systems submit to KCIDB: one
// checkout and one build for each kernel, one test for each cell. Origin names
// the submitting system: lower-case letters, digits and underscores. A cell is
// DONE with the median of its latency where it has one, else PASS; FAIL where an
// account does not add up, ERROR where it could not be measured.
func KCIDB(w io.Writer, r *result.Run, origin string) error {
	if !originOK.MatchString(origin) {
		return fmt.Errorf("origin %q: KCIDB takes lower-case letters, digits and underscores", origin)
	}
	out := kcidb{Version: kcidbVersion{kcidbMajor, kcidbMinor}, Checkouts: []kcidbCheckout{}, Builds: []kcidbBuild{}, Tests: []kcidbTest{}}
	id := func(parts ...string) string { return origin + ":" + strings.Join(parts, "/") }
	started, run := "", "undated"
	if !r.Started.IsZero() {
		started, run = r.Started.UTC().Format(time.RFC3339), r.Started.UTC().Format("20060102T150405Z")
	}
	seen := map[string]bool{}
	boots := map[string]result.Boot{}
	builds := map[string]string{} // by boot
	for _, b := range r.Boots {
		boots[b.ID] = b
		k := b.Kernel
		checkout := id(oneLine(k.Release), orNone(k.Series))
		build := checkout + "/" + orNone(k.Config)
		builds[b.ID] = build
		if !seen[checkout] {
			seen[checkout] = true
			out.Checkouts = append(out.Checkouts, kcidbCheckout{ID: checkout, Origin: origin, Valid: true, Comment: "Linux " + oneLine(k.Base) + ", " + oneLine(k.Variant),
				Misc: map[string]any{"base": k.Base, "series": k.Series}})
		}
		if !seen[build] {
			seen[build] = true
			out.Builds = append(out.Builds, kcidbBuild{ID: build, Origin: origin, CheckoutID: checkout, Architecture: "x86_64", Compiler: oneLine(k.CC),
				ConfigName: oneLine(k.Variant), Status: "PASS", Misc: map[string]any{"config": k.Config}})
		}
	}
	for i := range r.Cells {
		c := &r.Cells[i]
		b := boots[c.Boot]
		t := kcidbTest{
			ID: id(run, c.Boot, c.ID), Origin: origin, BuildID: builds[c.Boot], Path: kcidbPath(c), Comment: oneLine(c.Scenario + ": " + c.Arm + " on " + c.FS + ", " + c.Point),
			Status: "PASS", StartTime: started,
			Environment: kcidbEnvironment{Comment: fmt.Sprintf("QEMU guest, mode %s, %d CPUs, %d MiB", b.Mode, b.CPUs, b.MemMiB), Misc: map[string]any{"cpu": r.Host.CPU, "qemu": r.Host.QEMU}},
			Misc:        map[string]any{"account": c.Account, "warnings": c.Warnings},
		}
		if h := c.Hist(result.IntendedToRead); h != nil {
			t.Status, t.Number = "DONE", &kcidbNumber{float64(h.P50), h.Unit}
		}
		if why := problem(c); why != "" {
			t.LogExcerpt = why[:min(len(why), maxExcerpt)]
			t.Status = "FAIL"
			if c.Err != "" {
				t.Status = "ERROR"
			}
		}
		out.Tests = append(out.Tests, t)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

// kcidbPath names the test for a cell: the same one in every run.
func kcidbPath(c *result.Cell) string {
	parts := []string{"wqfan", c.Scenario, c.Variant, c.FS, fmt.Sprintf("%dcpu", c.CPUs), c.Arm, c.Point}
	var path []string
	for _, p := range parts {
		if p = strings.Trim(notPath.ReplaceAllString(p, "_"), "_"); p != "" {
			path = append(path, p)
		}
	}
	return strings.Join(path, ".")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
