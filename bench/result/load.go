// SPDX-License-Identifier: MIT

package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
)

// InvalidError says what in a run's directory is not as a [Writer] leaves it.
type InvalidError struct {
	File    string // path as given to Load, or name
	Field   string // where in the file: cells[3].hists[0].p99; "" for all of it
	Problem string
	Err     error // the cause, where there is one
}

func (e *InvalidError) Error() string {
	s := e.File + ": "
	if e.Field != "" {
		s += e.Field + ": "
	}
	s += e.Problem
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *InvalidError) Unwrap() error { return e.Err }

// Load reads and checks the run in dir with the raw histograms beside it. It
// takes an interrupted run, and one whose accounts do not add up: those are
// findings. It refuses what contradicts itself, with an [InvalidError].
func Load(dir string) (*Run, error) {
	name := filepath.Join(dir, RunFile)
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("load a run: %w", err)
	}
	r, err := Parse(b)
	if err != nil {
		var e *InvalidError
		if errors.As(err, &e) {
			e.File = name
		}
		return nil, err
	}
	for i := range r.Cells {
		for j := range r.Cells[i].Hists {
			if err := loadHist(dir, &r.Cells[i].Hists[j]); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func loadHist(dir string, h *Hist) error {
	if h.File == "" {
		return nil
	}
	name := filepath.Join(dir, filepath.FromSlash(h.File))
	b, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("load the raw data of a run: %w", err)
	}
	if h.Data, err = decodeLog(b); err != nil {
		return &InvalidError{File: name, Problem: "unreadable", Err: err}
	}
	raw := h.summarised(h.Data)
	if raw.N != h.N || raw.Min != h.Min || raw.P50 != h.P50 || raw.P90 != h.P90 || raw.P99 != h.P99 || raw.P999 != h.P999 || raw.Max != h.Max {
		return &InvalidError{File: name, Problem: fmt.Sprintf(
			"the raw data is not what %s sums up: n, min, p50, p90, p99, p99.9, max are %d %d %d %d %d %d %d here and %d %d %d %d %d %d %d there", RunFile,
			raw.N, raw.Min, raw.P50, raw.P90, raw.P99, raw.P999, raw.Max, h.N, h.Min, h.P50, h.P90, h.P99, h.P999, h.Max)}
	}
	return nil
}

// Parse decodes and checks the bytes of a run.json, without the raw data.
func Parse(b []byte) (*Run, error) {
	var head struct {
		Schema *int `json:"schema"`
	}
	if err := decode(b, &head); err != nil {
		return nil, err
	}
	switch {
	case head.Schema == nil:
		return nil, invalid("schema", "missing: this is no record of a run")
	case *head.Schema > Schema:
		return nil, invalid("schema", "%d is newer than %d, the newest this wqfan reads: use the wqfan that wrote it, or a later one", *head.Schema, Schema)
	case *head.Schema < 1:
		return nil, invalid("schema", "%d was never written", *head.Schema)
	}
	r := new(Run)
	if err := decode(b, r); err != nil {
		return nil, err
	}
	if err := check(r); err != nil {
		return nil, err
	}
	return r, nil
}

func invalid(field, format string, a ...any) error {
	return &InvalidError{File: RunFile, Field: field, Problem: fmt.Sprintf(format, a...)}
}

// decode reads the one JSON value that b holds.
func decode(b []byte, v any) error {
	err := json.Unmarshal(b, v)
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(b)):
		return &InvalidError{File: RunFile, Problem: fmt.Sprintf("truncated: the JSON ends at byte %d in the middle of a value", len(b)), Err: io.ErrUnexpectedEOF}
	case errors.As(err, &syntax):
		return &InvalidError{File: RunFile, Problem: fmt.Sprintf("no JSON at byte %d", syntax.Offset), Err: err}
	case errors.As(err, &typ):
		return &InvalidError{File: RunFile, Field: typ.Field, Problem: fmt.Sprintf("at byte %d: a JSON %s where a %v belongs", typ.Offset, typ.Value, typ.Type)}
	}
	return &InvalidError{File: RunFile, Problem: "unreadable", Err: err}
}

func check(r *Run) error {
	if r.Planned < 0 {
		return invalid("planned", "%d cells", r.Planned)
	}
	boots := map[string]bool{}
	for i, b := range r.Boots {
		at := fmt.Sprintf("boots[%d]", i)
		switch b.Mode {
		case KVM, Native, TCG, ICount:
		default:
			return invalid(at+".mode", "%q is none of %s, %s, %s, %s", b.Mode, KVM, Native, TCG, ICount)
		}
		if b.ID == "" || boots[b.ID] {
			return invalid(at+".id", "%q is empty or not the only one", b.ID)
		}
		boots[b.ID] = true
	}
	cells := map[string]int{}
	for i, c := range r.Cells {
		at := fmt.Sprintf("cells[%d]", i)
		if c.ID == "" {
			return invalid(at+".id", "empty")
		}
		if first, ok := cells[c.ID]; ok {
			return invalid(at+".id", "%q is the ID of cells[%d] too", c.ID, first)
		}
		cells[c.ID] = i
		switch {
		case !boots[c.Boot]:
			return invalid(at+".boot", "cell %q was measured in boot %q, which is not among the boots", c.ID, c.Boot)
		case c.Flood.Rate < 0 || math.IsNaN(c.Flood.Rate):
			return invalid(at+".flood.rate", "%v", c.Flood.Rate)
		}
		for j, h := range c.Hists {
			if err := checkHist(fmt.Sprintf("%s.hists[%d]", at, j), h); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkHist(at string, h Hist) error {
	switch {
	case h.Name == "":
		return invalid(at+".name", "empty")
	case h.Unit == "":
		return invalid(at+".unit", "empty: the numbers of %q mean nothing", h.Name)
	case h.N < 0:
		return invalid(at+".n", "%d", h.N)
	case h.Min < 0:
		return invalid(at+".min", "%d: a duration is not negative", h.Min)
	case h.File != "" && !filepath.IsLocal(filepath.FromSlash(h.File)):
		return invalid(at+".file", "%q lies outside the run's directory", h.File)
	case h.Encoded != "":
		return invalid(at+".encoded", "the raw data belongs into an HDR log")
	}
	if f, ok := h.monotone(); !ok {
		return invalid(at+"."+f, "the percentiles of %q do not rise: min, p50, p90, p99, p99.9, max = %d %d %d %d %d %d",
			h.Name, h.Min, h.P50, h.P90, h.P99, h.P999, h.Max)
	}
	return nil
}
