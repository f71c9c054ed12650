// SPDX-License-Identifier: MIT

package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"golang.org/x/sys/unix"
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

// What a run's directory is read with. A whole matrix has about a thousand
// cells and 400 KiB of raw data; what is far beyond is not of a run, and would
// take the reader's memory.
const (
	maxRunFile  = 256 << 20 // bytes of run.json
	maxLogFile  = 16 << 20  // bytes of an HDR log
	maxHist     = 1 << 20   // bytes of a histogram in memory; three digits up to an hour take a third
	maxHistsAll = 2 << 30   // bytes of all histograms in memory
)

// Load reads and checks the run in dir with the raw histograms beside it. It
// takes an interrupted run, and one whose accounts do not add up: those are
// findings. It refuses what contradicts itself or is beyond belief, with an
// [InvalidError]. It reads regular files only, and none outside dir.
func Load(dir string) (*Run, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("load a run: %w", err)
	}
	defer root.Close()
	b, err := readFile(root, RunFile, maxRunFile)
	if err != nil {
		return nil, fmt.Errorf("load a run: %w", err)
	}
	r, err := Parse(b)
	if err != nil {
		var e *InvalidError
		if errors.As(err, &e) {
			e.File = filepath.Join(dir, RunFile)
		}
		return nil, err
	}
	room := maxHistsAll
	for i := range r.Cells {
		for j := range r.Cells[i].Hists {
			h := &r.Cells[i].Hists[j]
			if h.File == "" {
				continue
			}
			if err := loadHist(root, h); err != nil {
				return nil, err
			}
			if room -= h.Data.ByteSize(); room < 0 {
				return nil, &InvalidError{File: filepath.Join(dir, RunFile), Field: fmt.Sprintf("cells[%d].hists[%d].file", i, j),
					Problem: fmt.Sprintf("with %q the raw data takes more than %d MiB of memory", h.File, maxHistsAll>>20)}
			}
		}
	}
	return r, nil
}

// readFile reads a regular file below root that has at most limit bytes. A
// FIFO without a writer does not hold it up: the file is opened without waiting.
func readFile(root *os.Root, name string, limit int64) ([]byte, error) {
	full := filepath.Join(root.Name(), name)
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		var e *fs.PathError
		if errors.As(err, &e) {
			err = &fs.PathError{Op: "open", Path: full, Err: e.Err}
		}
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &InvalidError{File: full, Problem: fmt.Sprintf("no regular file (%v)", info.Mode())}
	}
	var b []byte
	if info.Size() <= limit { // and may grow while it is read
		if b, err = io.ReadAll(io.LimitReader(f, limit+1)); err != nil {
			return nil, err
		}
	}
	if info.Size() > limit || int64(len(b)) > limit {
		return nil, &InvalidError{File: full, Problem: fmt.Sprintf("larger than %d MiB, which no run leaves", limit>>20)}
	}
	return b, nil
}

func loadHist(root *os.Root, h *Hist) error {
	name := filepath.FromSlash(h.File)
	b, err := readFile(root, name, maxLogFile)
	if err != nil {
		return fmt.Errorf("load the raw data of a run: %w", err)
	}
	name = filepath.Join(root.Name(), name)
	data, err := decodeLog(b)
	if err != nil {
		return &InvalidError{File: name, Problem: "unreadable", Err: err}
	}
	h.Data, h.Highest = reach(data, max(data.Max(), 2*data.LowestTrackableValue())), data.HighestTrackableValue()
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
		Schema *int   `json:"schema"`
		Boots  length `json:"boots"`
		Cells  length `json:"cells"`
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
	case head.Boots > maxBoots:
		return nil, invalid("boots", "%d, at most %d are taken", head.Boots, maxBoots)
	case head.Cells > maxCells:
		return nil, invalid("cells", "%d, at most %d are taken", head.Cells, maxCells)
	}
	var lists struct {
		Cells []struct {
			Hists length `json:"hists"`
		} `json:"cells"`
	}
	if err := decode(b, &lists); err != nil {
		return nil, err
	}
	for i, c := range lists.Cells {
		if c.Hists > maxHists {
			return nil, invalid(fmt.Sprintf("cells[%d].hists", i), "%d, at most %d are taken", c.Hists, maxHists)
		}
	}
	r := new(Run)
	if err := decode(b, r); err != nil {
		return nil, err
	}
	if err := check(r); err != nil {
		return nil, err
	}
	if r.Schema == 2 {
		for i := range r.Cells {
			r.Cells[i].tellElsewhere()
		}
	}
	return r, nil
}

// tellElsewhere takes from the errors that schema 2 calls lost silently those
// that were lost before the last signal was read: the timeline has both.
func (c *Cell) tellElsewhere() {
	t := c.Timeline
	if t == nil || len(t.Lost) == 0 || len(t.Signals) == 0 || c.Reader.LossExact {
		return
	}
	last := t.Signals[len(t.Signals)-1].At
	after := t.Lost[len(t.Lost)-1]
	for i, at := range t.At {
		if at <= last {
			after = t.Lost[len(t.Lost)-1] - t.Lost[i]
		}
	}
	told := c.Account.Silent - min(c.Account.Silent, after)
	c.Account.Silent -= told
	c.Account.Signalled += told
	c.Reader.Elsewhere += told
}

// length is how many elements a JSON array has, found without room for them:
// an element takes two bytes in the file and hundreds in memory. Of a key that
// comes twice it keeps the greater; what is no array is for others to refuse.
type length int

func (n *length) UnmarshalJSON(b []byte) error {
	var elements []struct{}
	_ = json.Unmarshal(b, &elements)
	*n = max(*n, length(len(elements)))
	return nil
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
		want := "a " + typ.Type.String()
		if typ.Type.Kind() == reflect.Struct {
			want = "an object"
		}
		return &InvalidError{File: RunFile, Field: typ.Field, Problem: fmt.Sprintf("at byte %d: a JSON %s where %s belongs", typ.Offset, typ.Value, want)}
	}
	return &InvalidError{File: RunFile, Problem: "unreadable", Err: err}
}
