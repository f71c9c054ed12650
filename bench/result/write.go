// SPDX-License-Identifier: MIT

package result

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The names in a run's directory.
const (
	RunFile   = "run.json"
	BenchFile = "bench.txt"
	histDir   = "hdr"
)

// unfinished is what run.json says about itself until Finish, so it is what
// the record of a killed run says.
const unfinished = "the run is still going on, or was killed before it could say why it ended"

// Writer records a run while it goes on: after each call run.json on disk is
// whole and valid. It is safe for concurrent use.
type Writer struct {
	dir string

	mu   sync.Mutex
	run  Run
	ids  map[string]bool
	logs map[string]bool
}

// Create makes dir and records header in it. It refuses a directory that
// already holds a run, with an error that is fs.ErrExist.
func Create(dir string, header *Run) (*Writer, error) {
	if err := os.MkdirAll(filepath.Join(dir, histDir), 0o755); err != nil {
		return nil, fmt.Errorf("make the run's directory: %w", err)
	}
	name := filepath.Join(dir, RunFile)
	if _, err := os.Stat(name); err == nil {
		return nil, fmt.Errorf("%s: a run is recorded there already; give another directory: %w", name, fs.ErrExist)
	}
	w := &Writer{dir: dir, run: *header, ids: map[string]bool{}, logs: map[string]bool{}}
	w.run.Schema = Schema
	w.run.Complete, w.run.Reason = false, unfinished
	w.run.Boots, w.run.Cells = nil, nil
	for _, b := range header.Boots {
		w.setBoot(b)
	}
	if len(header.Cells) != 0 {
		return nil, errors.New("a new run has no cells yet: record them with Cell")
	}
	return w, w.save()
}

// Boot records a boot when it starts, and again, under the same ID, when it
// has ended.
func (w *Writer) Boot(b Boot) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.setBoot(b)
	return w.save()
}

func (w *Writer) setBoot(b Boot) {
	for i := range w.run.Boots {
		if w.run.Boots[i].ID == b.ID {
			w.run.Boots[i] = b
			return
		}
	}
	w.run.Boots = append(w.run.Boots, b)
}

// Cell records what was measured in a cell. The histograms' payloads go into
// HDR logs beside run.json. A payload that cannot be read, or a rate that is
// no number, becomes a warning of the cell: what was measured beside it stays.
func (w *Writer) Cell(c Cell) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case c.ID == "":
		return errors.New("record a cell: it has no ID")
	case w.ids[c.ID]:
		return fmt.Errorf("record cell %q: a cell of that ID is recorded already", c.ID)
	case !w.hasBoot(c.Boot):
		return fmt.Errorf("record cell %q: boot %q is not recorded", c.ID, c.Boot)
	}

	c.Warnings = append([]string(nil), c.Warnings...)
	if math.IsNaN(c.Flood.Rate) || math.IsInf(c.Flood.Rate, 0) {
		c.Flood.Rate = 0
		c.Warnings = append(c.Warnings, "the offered rate is unknown: no guest time passed while the errors were made")
	}
	hists := c.Hists
	c.Hists = make([]Hist, len(hists))
	for i, h := range hists {
		if h.Encoded != "" {
			var err error
			if h, err = w.moveLog(c.ID, h); err != nil {
				h = Hist{Name: h.Name, Unit: h.Unit}
				c.Warnings = append(c.Warnings, fmt.Sprintf("the histogram %s was lost: %v", h.Name, err))
			}
		}
		c.Hists[i] = h
	}
	w.ids[c.ID] = true
	w.run.Cells = append(w.run.Cells, c)
	return w.save()
}

func (w *Writer) hasBoot(id string) bool {
	for _, b := range w.run.Boots {
		if b.ID == id {
			return true
		}
	}
	return false
}

// moveLog writes the payload of h into a log and returns h with its file and
// with the summary of what really is in the log.
func (w *Writer) moveLog(cell string, h Hist) (Hist, error) {
	data, err := hdrhistogram.Decode([]byte(h.Encoded))
	if err != nil {
		return h, fmt.Errorf("decode the payload from the guest: %w", err)
	}
	b, err := encodeLog(cell, h.Name, h.Unit, data)
	if err != nil {
		return h, fmt.Errorf("encode the HDR log: %w", err)
	}
	file := w.logName(cell + "." + h.Name)
	if err := WriteFile(filepath.Join(w.dir, filepath.FromSlash(file)), b); err != nil {
		return h, err
	}
	h = h.summarised(data)
	h.File, h.Encoded = file, ""
	return h, nil
}

// logName makes a file name of s that is portable and not taken yet.
func (w *Writer) logName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("._=+-", r):
			return r
		}
		return '_'
	}, s)
	s = strings.TrimLeft(s, ".")
	s = s[max(0, len(s)-200):] // file systems take 255 bytes
	name := path.Join(histDir, s+".hlog")
	for n := 2; w.logs[name]; n++ {
		name = path.Join(histDir, fmt.Sprintf("%s~%d.hlog", s, n))
	}
	w.logs[name] = true
	return name
}

// Finish says how the run ended. A run with fewer cells than planned is not
// complete, whatever the caller says.
func (w *Writer) Finish(complete bool, reason string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.run.Cells); complete && n < w.run.Planned {
		complete, reason = false, fmt.Sprintf("%d of %d cells were measured", n, w.run.Planned)
	}
	w.run.Complete, w.run.Reason = complete, reason
	return w.save()
}

// save replaces run.json.
func (w *Writer) save() error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(&w.run); err != nil {
		return fmt.Errorf("encode %s: %w", RunFile, err)
	}
	return WriteFile(filepath.Join(w.dir, RunFile), b.Bytes())
}

// WriteFile replaces the file name with data, so that a reader sees the old
// content or the new one and nothing between.
func WriteFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".tmp-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
