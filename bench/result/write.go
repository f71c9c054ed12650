// SPDX-License-Identifier: MIT

package result

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

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

	mu    sync.Mutex
	run   Run        // its cells are in cells
	cells []recorded // in the order of their boots
	check *checker
	logs  map[string]bool
}

// recorded is a cell as it stands in run.json.
type recorded struct {
	boot string
	json []byte
}

// byBoot orders the IDs of boots: boot9 comes before boot10. Boots may go on at
// the same time, and what is recorded of them does not tell.
func byBoot(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// Create makes dir and records header in it. It refuses a directory that holds
// anything, and one that another run takes at the same time, with an error that
// is fs.ErrExist: what a run writes over is its own.
func Create(dir string, header *Run) (*Writer, error) {
	w := &Writer{dir: dir, run: *header, check: newChecker(), logs: map[string]bool{}}
	w.run.Schema = Schema
	w.run.Complete, w.run.Reason = false, unfinished
	w.run.Boots, w.run.Cells = nil, nil
	if len(header.Cells) != 0 {
		return nil, errors.New("a new run has no cells yet: record them with Cell")
	}
	if err := checkHeader(header); err != nil {
		return nil, fmt.Errorf("record a run: %w", err)
	}
	for _, b := range header.Boots {
		if err := w.setBoot(b); err != nil {
			return nil, err
		}
	}
	if err := claim(dir); err != nil {
		return nil, err
	}
	return w, w.save()
}

// claim makes dir, or takes an empty one. It belongs to whoever makes the
// directory of the logs in it.
func claim(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("make the run's directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the run's directory: %w", err)
	}
	if err := Vacant(dir); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, histDir), 0o755); err != nil {
		return fmt.Errorf("take the run's directory; give another directory: %w", err)
	}
	return nil
}

// Vacant refuses, with an error that is fs.ErrExist, a directory that holds
// anything: Create would.
func Vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make the run's directory: give another directory: %w", err)
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == RunFile }) {
		return fmt.Errorf("%s: a run is recorded there already; give another directory: %w", filepath.Join(dir, RunFile), fs.ErrExist)
	}
	if len(entries) != 0 {
		return fmt.Errorf("%s: the directory is not empty, it holds %q; give another directory: %w", dir, entries[0].Name(), fs.ErrExist)
	}
	return nil
}

// Boot records a boot when it starts, and again, under the same ID, when it
// has ended.
func (w *Writer) Boot(b Boot) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.setBoot(b); err != nil {
		return err
	}
	return w.save()
}

func (w *Writer) setBoot(b Boot) error {
	i := slices.IndexFunc(w.run.Boots, func(have Boot) bool { return have.ID == b.ID })
	if i < 0 {
		i = len(w.run.Boots)
	}
	if err := w.check.boot(i, &b); err != nil {
		return fmt.Errorf("record boot %q: %w", b.ID, err)
	}
	if i < len(w.run.Boots) {
		w.run.Boots[i] = b
		return nil
	}
	w.run.Boots = append(w.run.Boots, b)
	slices.SortStableFunc(w.run.Boots, func(a, b Boot) int { return byBoot(a.ID, b.ID) })
	return nil
}

// Cell records what was measured in a cell. The histograms' payloads go into
// HDR logs beside run.json. A histogram that cannot be read or contradicts
// itself, and a rate beyond belief, become warnings of the cell: what was
// measured beside them stays.
func (w *Writer) Cell(c Cell) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := len(w.cells)
	c.Warnings = slices.Clone(c.Warnings)
	if !credibleRate(c.Flood.Rate) {
		c.Warnings = append(c.Warnings, fmt.Sprintf("the offered rate is unknown: guest time stood still or ran away while the errors were made, which gives %v per second", c.Flood.Rate))
		c.Flood.Rate = 0
	}
	if err := w.check.checkCell(fmt.Sprintf("cells[%d].", i), &c); err != nil {
		return fmt.Errorf("record cell %q: %w", c.ID, err)
	}
	hists := c.Hists
	c.Hists = make([]Hist, 0, len(hists))
	for _, h := range hists {
		kept, err := h, error(nil)
		if h.Encoded != "" {
			kept, err = w.moveLog(&c, h)
		}
		if err == nil {
			err = checkHist("", &kept)
		}
		if err != nil {
			c.Warnings = append(c.Warnings, fmt.Sprintf("the histogram %q was lost: %v", h.Name, err))
			continue
		}
		c.Hists = append(c.Hists, kept)
	}
	if err := w.check.cell(i, &c); err != nil {
		return fmt.Errorf("record cell %q: %w", c.ID, err)
	}
	b, err := encode(&c, "\t\t")
	if err != nil {
		return err
	}
	at, _ := slices.BinarySearchFunc(w.cells, c.Boot, func(r recorded, boot string) int {
		return cmp.Or(byBoot(r.boot, boot), -1) // after those of its boot
	})
	w.cells = slices.Insert(w.cells, at, recorded{c.Boot, b})
	return w.save()
}

// moveLog writes the payload of h, which is c's, into a log and returns h with its file and
// with the summary of what really is in the log.
func (w *Writer) moveLog(c *Cell, h Hist) (Hist, error) {
	data, err := hdrhistogram.Decode([]byte(h.Encoded))
	if err != nil {
		return h, fmt.Errorf("decode the payload from the guest: %w", err)
	}
	if err := checkSize(data); err != nil {
		return h, err
	}
	b, err := encodeLog(c.ID, h.Name, h.Unit, data)
	if err != nil {
		return h, fmt.Errorf("encode the HDR log: %w", err)
	}
	file := w.logName(c.ID + "." + h.Name + "." + c.Boot)
	if err := WriteFile(filepath.Join(w.dir, filepath.FromSlash(file)), b); err != nil {
		return h, err
	}
	h = h.summarised(data)
	h.File, h.Encoded = file, ""
	return h, nil
}

// logName makes a file name of s that is portable and not taken yet.
func (w *Writer) logName(s string) string {
	s = strings.Map(portable, s)
	s = strings.TrimLeft(s, ".")
	s = s[max(0, len(s)-200):] // file systems take 255 bytes
	name := path.Join(histDir, s+".hlog")
	for n := 2; w.logs[name]; n++ {
		name = path.Join(histDir, fmt.Sprintf("%s~%d.hlog", s, n))
	}
	w.logs[name] = true
	return name
}

// Took says for how long the run went on, with so many guests at the same time.
// It is recorded by Finish.
func (w *Writer) Took(d time.Duration, atOnce int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.run.WallSecs, w.run.AtOnce = d.Round(time.Millisecond).Seconds(), atOnce
}

// Finish says how the run ended. A run with fewer cells than planned is not
// complete, whatever the caller says.
func (w *Writer) Finish(complete bool, reason string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.cells); complete && n < w.run.Planned {
		complete, reason = false, fmt.Sprintf("%d of %d cells were measured", n, w.run.Planned)
	}
	w.run.Complete, w.run.Reason = complete, reason
	return w.save()
}

// save replaces run.json. A cell is encoded once, when it is recorded, and put
// where the list ends that the record without its cells ends with.
func (w *Writer) save() error {
	b, err := encode(&w.run, "")
	if err != nil {
		return err
	}
	if len(w.cells) > 0 {
		b = bytes.TrimSuffix(b, []byte("null\n}"))
		b = append(b, "[\n\t\t"...)
		for i, c := range w.cells {
			if i > 0 {
				b = append(b, ",\n\t\t"...)
			}
			b = append(b, c.json...)
		}
		b = append(b, "\n\t]\n}"...)
	}
	return WriteFile(filepath.Join(w.dir, RunFile), append(b, '\n'))
}

// encode returns v as it stands in run.json, where prefix comes before it.
func encode(v any, prefix string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent(prefix, "\t")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %s: %w", RunFile, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
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
