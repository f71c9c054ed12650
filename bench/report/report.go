// SPDX-License-Identifier: MIT

// Package report makes tables and plots of a recorded run. It reads only what
// is in the run's directory, so a report can be made again without a guest,
// and equal records make equal bytes.
package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"

	"wqfan/bench/result"
)

// The names that Write makes in a run's directory, beside result.BenchFile.
const (
	File     = "report.md"
	PageFile = "report.html"
	MailFile = "lkml.txt"
	plotDir  = "plots"
)

// Write reads the run in dir and writes report.md, report.html, lkml.txt, bench.txt
// and the plots beside it. Plots of an earlier report that have no data any more are
// removed. It does not touch run.json and the raw data. When the context ends
// before all is drawn, an old report stays as it is.
func Write(ctx context.Context, dir string) error {
	run, err := result.Load(dir)
	if err != nil {
		return err
	}
	files, err := render(ctx, run)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, plotDir), 0o755); err != nil {
		return fmt.Errorf("make the directory of the plots: %w", err)
	}
	for _, f := range files {
		if err := result.WriteFile(filepath.Join(dir, filepath.FromSlash(f.name)), f.data); err != nil {
			return err
		}
	}
	return removeStale(dir, files)
}

// file is one file of the report; its name has slashes.
type file struct {
	name string
	data []byte
}

// render makes all files in memory, so that an error leaves an old report whole.
func render(ctx context.Context, run *result.Run) ([]file, error) {
	var bench bytes.Buffer
	if err := result.WriteBench(&bench, run); err != nil {
		return nil, fmt.Errorf("write %s: %w", result.BenchFile, err)
	}
	files := []file{{result.BenchFile, bench.Bytes()}}

	d := newData(run)
	figs := figures(d)
	drawn, err := drawAll(ctx, figs)
	if err != nil {
		return nil, err
	}
	svgs := map[string][]byte{}
	for i, f := range figs {
		svgs[f.name] = drawn[i].svg
		files = append(files, file{path.Join(plotDir, f.name+".svg"), drawn[i].svg}, file{path.Join(plotDir, f.name+".png"), drawn[i].png})
	}
	md := markdown(d, figs)
	html, err := page(md, svgs)
	if err != nil {
		return nil, err
	}
	return append(files, file{File, []byte(md)}, file{PageFile, html}, file{MailFile, []byte(lkml(d))}), nil
}

// pictures are the two files of a figure.
type pictures struct {
	svg, png []byte
	err      error
}

// drawAll draws figures side by side, as many as there are CPUs.
func drawAll(ctx context.Context, figs []*figure) ([]pictures, error) {
	drawn := make([]pictures, len(figs))
	next := make(chan int)
	var painters sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		painters.Go(func() {
			for i := range next {
				p := &drawn[i]
				p.svg, p.png, p.err = figs[i].render()
			}
		})
	}
	for i := range figs {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	painters.Wait()
	for i, p := range drawn {
		if p.err != nil {
			return nil, fmt.Errorf("draw %s: %w", figs[i].name, p.err)
		}
	}
	return drawn, ctx.Err()
}

// plotName is what the files of figures are called, in this version and before.
// A picture of any other name is somebody else's.
var plotName = regexp.MustCompile(`^(effect|fate|heat|kept|latency|load|loss|size|tail|timeline)(-[A-Za-z0-9_-]+)?\.(svg|png)$`)

// removeStale removes plots that an earlier report made and this one did not.
func removeStale(dir string, files []file) error {
	have := map[string]bool{}
	for _, f := range files {
		have[f.name] = true
	}
	entries, err := os.ReadDir(filepath.Join(dir, plotDir))
	if err != nil {
		return fmt.Errorf("look for old plots: %w", err)
	}
	for _, e := range entries {
		name := path.Join(plotDir, e.Name())
		if !plotName.MatchString(e.Name()) || have[name] {
			continue
		}
		if err := os.Remove(filepath.Join(dir, plotDir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an old plot: %w", err)
		}
	}
	return nil
}
