// SPDX-License-Identifier: MIT

package resulttest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"wqfan/bench/result"
)

// Repeated is a run of several boots of one kernel with one CPU: wq-base and
// fanotify, latency and a burst that nobody reads.
type Repeated struct {
	Boots  int
	Seed   uint64  // of the noise
	Slower float64 // factor on the times of wq-base; 0 is 1
	Series string  // of the kernel

	Edit func(*result.Run, *result.Boot, *result.Cell) // the header with no boot and no cell; then each boot; then each cell
}

// Write records the run in dir.
func (r Repeated) Write(dir string) error {
	header := Header()
	if r.Edit != nil {
		r.Edit(header, nil, nil)
	}
	w, err := result.Create(dir, header)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(r.Seed, 0))
	for i := range r.Boots {
		boot := Boot(1)
		boot.ID = fmt.Sprintf("boot%d", i)
		if r.Series != "" {
			boot.Kernel.Series = r.Series
		}
		if r.Edit != nil {
			r.Edit(header, &boot, nil)
		}
		if err := w.Boot(boot); err != nil {
			return err
		}
		for _, arm := range []string{"fan", "wq-base"} {
			for _, c := range r.cells(rng, boot, arm) {
				if r.Edit != nil {
					r.Edit(header, &boot, &c)
				}
				if err := w.Cell(c); err != nil {
					return err
				}
			}
		}
	}
	return w.Finish(true, "")
}

func (r Repeated) cells(rng *rand.Rand, boot result.Boot, arm string) []result.Cell {
	s := sample{boot: boot, fs: "ext4", arm: arm}
	// Boots scatter by 0.2 %, values within a boot by 2 %.
	level := math.Exp(0.002 * rng.NormFloat64())
	if r.Slower != 0 && arm == "wq-base" {
		level *= r.Slower
	}
	noisy := func(name string, median float64, n, windows int) result.Hist {
		h := hdrhistogram.New(1, 3_600_000_000_000, 3)
		var w []int64
		for i := range n {
			v := int64(median * level * math.Exp(0.02*rng.NormFloat64()))
			_ = h.RecordValue(v) // far below the highest value
			if windows > 0 && i%(n/windows) == 0 {
				w = append(w, v)
			}
		}
		out, err := result.NewHist(name, boot.Mode.Unit(), h)
		if err != nil {
			panic(err)
		}
		out.Windows = w
		return out
	}
	latency := s.latency(10 * time.Millisecond)
	latency.Warnings = nil
	latency.Params.Seed = 1 + rng.Uint64N(1<<32)
	latency.Hists = []result.Hist{noisy("intended-to-read", map[string]float64{"fan": 15_600, "wq-base": 9_320}[arm], 500, 25)}
	out := []result.Cell{latency}
	for _, c := range s.overflow() {
		if c.Params.Errors == 100 && c.Params.Filler == 0 && c.Params.Queue >= 512 {
			c.Hists = []result.Hist{noisy("report-cost", map[string]float64{"fan": 530, "wq-base": 1026}[arm], 100, 0)}
			out = append(out, c)
		}
	}
	return out
}

// Load writes the run into dir and reads it again.
func (r Repeated) Load(dir string) (*result.Run, error) {
	werr := r.Write(dir)
	run, err := result.Load(dir)
	return run, errors.Join(werr, err)
}
