// SPDX-License-Identifier: MIT

// Package resulttest makes records of runs that never happened, for the tests
// of what reads such records. The accounts follow what Linux 7.3 does: a watch
// queue keeps its ring's worth, fanotify one record per worker. The times are
// invented.
package resulttest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"wqfan/bench/result"
	"wqfan/fserr"
)

// Header is the part of a run that is known before it starts.
func Header() *result.Run {
	return &result.Run{
		Started: time.Date(2021, 2, 10, 10, 9, 0, 0, time.UTC),
		Command: []string{"run", "overflow", "latency", "loss"},
		Host: result.Host{
			Kernel: "6.18.5", CPU: "Example CPU @ 2.50GHz", CPUs: 4, Go: "go1.26.8",
			QEMU: "QEMU emulator version 7.2.22", Revision: "0123456789abcdef0123456789abcdef01234567",
			KVM: "no: /dev/kvm opens, and no kernel boots under it",
		},
	}
}

// Boot is a boot of the sample: icount with one CPU, TCG with more.
func Boot(cpus int) result.Boot {
	b := result.Boot{
		ID: fmt.Sprintf("cpus=%d", cpus), Mode: result.TCG, CPUs: cpus, MemMiB: 512,
		Kernel: result.Kernel{
			Release: "7.3.4-wqfan", Variant: "patched", Base: "7.3.4 (Debian 7.3.4-1~bpo13+1)",
			Series: "9f2c51aa03d14c3b", Config: "77ab019e55d2f0c1", CC: "gcc 12.2.0",
			Cmdline: "console=ttyS0 panic=-1 nokaslr",
		},
		QEMU:    []string{"-machine", "q35", "-kernel", "bzImage"},
		Clock:   result.Calibration{ReadP50: 120, Resolution: 1, EmptyFan: 900, EmptyWQ: 700},
		Verdict: "ok", WallSecs: 41.5,
	}
	if cpus == 1 {
		b.Mode = result.ICount
	}
	return b
}

// Cells returns the cells that a quick run measures in a boot, with their
// histograms still encoded.
func Cells(boot result.Boot) []result.Cell {
	var out []result.Cell
	for _, fs := range []string{"ext4", "xfs"} {
		for _, arm := range []string{"fan", "wq-base", "wq-base-worker"} {
			s := sample{boot: boot, fs: fs, arm: arm}
			out = append(out, s.overflow()...)
			out = append(out, s.latency(time.Millisecond))
			for _, gap := range []time.Duration{time.Millisecond, 100 * time.Microsecond, 30 * time.Microsecond, 10 * time.Microsecond, 3 * time.Microsecond, 0} {
				out = append(out, s.loss(gap))
			}
		}
	}
	return out
}

// Corruption returns a cell of real corruption.
func Corruption(boot result.Boot) result.Cell {
	s := sample{boot: boot, fs: "ext4", arm: "wq-base"}
	c := s.cell("corruption", "case=directory")
	c.Params.Schedule = "real"
	c.Account = fserr.Account{Injected: 1, Detailed: 1}
	c.Reader.Records, c.Reader.Counted = 1, 1
	c.Events = []string{"error EFSCORRUPTED class=metadata fsid=0a1b2c3d.4e5f6071 ino=12 gen=1187465 seq=1"}
	return c
}

// Write records the whole sample in dir.
func Write(t testing.TB, dir string) {
	t.Helper()
	boots := []result.Boot{Boot(1), Boot(2)}
	header := Header()
	for _, b := range boots {
		header.Planned += len(Cells(b))
	}
	header.Planned++
	w, err := result.Create(dir, header)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range boots {
		if err := w.Boot(b); err != nil {
			t.Fatal(err)
		}
		for _, c := range Cells(b) {
			if err := w.Cell(c); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Cell(Corruption(boots[0])); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(true, ""); err != nil {
		t.Fatal(err)
	}
}

type sample struct {
	boot result.Boot
	fs   string
	arm  string
}

func (s sample) fanotify() bool { return s.arm == "fan" }

func (s sample) cell(scenario, point string) result.Cell {
	return result.Cell{
		ID:       fmt.Sprintf("%s/fs=%s/cpus=%d/arm=%s/%s", scenario, s.fs, s.boot.CPUs, s.arm, point),
		Scenario: scenario, Arm: s.arm, FS: s.fs, CPUs: s.boot.CPUs, Point: point, Boot: s.boot.ID,
		Params: result.Params{Scope: "fs", Class: "metadata", Errno: "EFSCORRUPTED", Threads: 1, Reader: "live"},
		Kernel: result.Counters{Source: "fdinfo", Known: true},
		Reader: result.Reader{LossAfter: -1, LossDelay: -1, FirstLost: -1},
	}
}

func (s sample) overflow() []result.Cell {
	type queue struct{ size, filler uint64 }
	queues := []queue{{32, 0}, {512, 0}}
	if s.fanotify() {
		queues = []queue{{16384, 0}, {16, 15}, {16, 16}}
	}
	var out []result.Cell
	for _, q := range queues {
		for _, n := range []uint64{1, 10, 100, 1000, 10_000} {
			point := fmt.Sprintf("queue=%d burst=%d", q.size, n)
			if q.filler > 0 {
				point = fmt.Sprintf("queue=%d filler=%d burst=%d", q.size, q.filler, n)
			}
			c := s.cell("overflow", point)
			c.Params.Errors, c.Params.Schedule, c.Params.Queue, c.Params.Filler, c.Params.Reader = n, "flat", q.size, q.filler, "unread"
			free := q.size - q.filler
			kept := min(n, free)
			lost := n - kept
			if s.fanotify() {
				kept = min(n, free, uint64(s.boot.CPUs))
				lost = 0
				if free <= 1 { // the full check runs before the merge
					lost = n - kept
				}
			}
			c.Account = fserr.Account{Injected: n, Detailed: kept, Coalesced: n - kept - lost, Signalled: lost}
			c.Kernel.Posted, c.Kernel.Merged, c.Kernel.Dropped = kept, c.Account.Coalesced, lost
			c.Reader.Records, c.Reader.Counted, c.Reader.Others = kept, kept+c.Account.Coalesced, q.filler
			if lost > 0 {
				c.Reader.LossEvents, c.Reader.LossAfter, c.Reader.FirstLost = 1, int64(kept), int64(kept)
			}
			c.Flood.Attempted, c.Flood.Accepted = n, n
			out = append(out, c)
		}
	}
	return out
}

// times returns n durations around a median, with a tail.
func (s sample) times(median float64, n int) *hdrhistogram.Histogram {
	rng := rand.New(rand.NewPCG(uint64(len(s.fs)), uint64(s.boot.CPUs)<<8|uint64(len(s.arm))))
	h := hdrhistogram.New(1, 3_600_000_000_000, 3)
	spread := 0.02
	if s.boot.Mode != result.ICount {
		spread = 0.4
	}
	for range n {
		v := median * math.Exp(spread*rng.NormFloat64())
		if rng.IntN(100) == 0 {
			v *= 3 + rng.Float64()*4
		}
		_ = h.RecordValue(int64(v)) // far below the highest value
	}
	return h
}

// hists are those that were made already: a test takes the sample many times.
var hists sync.Map

func (s sample) hist(name string, median float64, n int) result.Hist {
	key := fmt.Sprint(s.boot.CPUs, s.boot.Mode, s.fs, s.arm, name, median, n)
	if h, ok := hists.Load(key); ok {
		return h.(result.Hist)
	}
	h, err := result.NewHist(name, s.boot.Mode.Unit(), s.times(median, n))
	if err != nil {
		panic(err)
	}
	hists.Store(key, h)
	return h
}

func (s sample) latency(pace time.Duration) result.Cell {
	c := s.cell("latency", "pace="+pace.String())
	const n = 500
	c.Params.Errors, c.Params.Schedule, c.Params.Interval, c.Params.Seed = n, "poisson", pace.Nanoseconds(), 1
	c.Account = fserr.Account{Injected: n, Detailed: n}
	if s.fanotify() {
		c.Account.Detailed, c.Account.Coalesced = n-3, 3
		c.Warnings = []string{"4 of 497 records name another inode than the error of that rank: delivered out of order, their latency is that of a neighbour"}
	}
	c.Kernel.Posted = n
	c.Reader.Records, c.Reader.Counted = c.Account.Detailed, n
	c.Flood.Attempted, c.Flood.Accepted, c.Flood.Rate = n, n, 1e9/float64(pace.Nanoseconds())
	median := map[string]float64{"fan": 26_400, "wq-base": 9_800, "wq-base-worker": 18_200}[s.arm]
	c.Hists = []result.Hist{s.hist("report-cost", 1300, n), s.hist("lateness", 350, n), s.hist("intended-to-read", median, n)}
	return c
}

func (s sample) loss(gap time.Duration) result.Cell {
	point, schedule, rate := "gap="+gap.String(), "fixed", 520_000.0
	if gap > 0 {
		rate = math.Min(rate, 1e9/float64(gap.Nanoseconds()))
	} else {
		point, schedule = "gap=flat", "flat"
	}
	c := s.cell("loss", point)
	const n = 2000
	c.Params.Errors, c.Params.Schedule, c.Params.Interval = n, schedule, gap.Nanoseconds()
	capacity := map[string]float64{"fan": 60_000, "wq-base": 180_000, "wq-base-worker": 90_000}[s.arm]
	over := uint64(n * math.Max(0, 1-capacity/rate))
	c.Account = fserr.Account{Injected: n, Detailed: n - over}
	if s.fanotify() {
		c.Account.Coalesced = over
	} else {
		lost := uint64(max(0, int64(over)-512)) // the ring holds the rest
		c.Account.Detailed, c.Account.Signalled = n-lost, lost
	}
	c.Reader.Records, c.Reader.Counted = c.Account.Detailed, c.Account.Delivered()
	c.Flood.Attempted, c.Flood.Accepted, c.Flood.Rate = n, n, rate
	c.Hists = []result.Hist{s.hist("report-cost", 1300, n)}
	return c
}
