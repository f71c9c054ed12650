// SPDX-License-Identifier: MIT

package monitor

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"wqfan/bench/flood"
	"wqfan/fserr"
	"wqfan/internal/inguest"
)

// soakEnv says how many errors TestGuestSoak makes.
const soakEnv = "WQFAN_SOAK"

// errorsToSoak is how many errors the environment asks for, or n.
func errorsToSoak(t *testing.T, n uint64) uint64 {
	t.Helper()
	s := os.Getenv(soakEnv)
	if s == "" {
		return n
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSoakEngine is what `make soak` does without a kernel: ten times as many
// events as errors there, all of different files, none of which leaves anything
// behind.
func TestSoakEngine(t *testing.T) {
	n := 10 * errorsToSoak(t, 20_000)
	m := New(Options{Output: io.Discard, JSON: true, Log: quietly})
	m.table.update([]Mount{{ID: 1, Dir: "/srv", Type: "xfs", Source: "/dev/sda1"}})
	srv := m.table.current()[0]
	m.table.set(srv, WQ, nil)
	var end sync.WaitGroup
	end.Go(func() { m.output.run() })
	t.Logf("engine: %12s %12s %12s %10s", "events", "counted", "dropped", "heap KiB")
	const steps = 10
	var first int64
	begin := time.Now()
	for step := range uint64(steps) {
		for i := range n / steps {
			m.take(&taken{Event: fserr.Event{Kind: fserr.Error, Has: fserr.HasErrno | fserr.HasInode, Errno: 5, Ino: step*n/steps + i}, from: srv, by: WQ, now: begin})
		}
		for len(m.output.events) > 0 {
			runtime.Gosched()
		}
		runtime.GC()
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		counted := testutil.ToFloat64(m.metrics.events.WithLabelValues("/srv", "EIO"))
		t.Logf("engine: %12d %12.0f %12.0f %10d", (step+1)*n/steps, counted, testutil.ToFloat64(m.metrics.dropped.WithLabelValues("output")), mem.HeapAlloc>>10)
		if counted != float64((step+1)*n/steps) {
			t.Errorf("%v events are counted of %d", counted, (step+1)*n/steps)
		}
		if step == 0 {
			first = int64(mem.HeapAlloc)
		} else if grown := int64(mem.HeapAlloc) - first; grown > 1<<20 {
			t.Errorf("the heap has grown by %d bytes since the first %d events", grown, n/steps)
		}
	}
	close(m.output.events)
	end.Wait()
	t.Logf("engine: %d events in %v", n, time.Since(begin).Round(time.Second))
}

// TestSoak is `make soak`.
func TestSoak(t *testing.T) {
	if os.Getenv(soakEnv) == "" {
		t.Skipf("takes long: %s says how many errors", soakEnv)
	}
	inAGuest(t, "patched", 2, "^TestGuestSoak$", 2*time.Hour)
}

// A monitor that lives through many errors does not grow, and accounts for each
// of them.
func TestGuestSoak(t *testing.T) {
	inguest.Series(t)
	n := errorsToSoak(t, 20_000)
	for _, backend := range []string{Fan, WQ} {
		t.Run(backend, func(t *testing.T) { soak(t, backend, n) })
	}
}

func soak(t *testing.T, backend string, n uint64) {
	dir := os.Getenv(inguest.EXT4Env)
	var files []*os.File
	for i := range 10 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint("soak", i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	m, stop := start(t, Options{Dirs: []string{dir}, Backend: backend})
	defer stop()
	m.output.w = null // nothing is printed yet
	m.watches(1)
	t.Logf("%s: %12s %12s %12s %10s %10s %10s", backend, "injected", "errors", "lost", "events", "heap KiB", "RSS KiB")
	const steps = 10
	var injected uint64
	var first int64
	begin := time.Now()
	for step := range steps {
		r := inguest.Inject(t, flood.Spec{Count: n / steps, PerInode: true, Errno: 5}, files...)
		injected += r.Accepted
		m.until("the account", func() bool { return m.sum("wqfan_errors_total")+m.sum("wqfan_lost_events_total") == float64(injected) })
		m.until("the output", func() bool { return len(m.output.events) == 0 })
		runtime.GC()
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		rss := residentKiB(t)
		t.Logf("%s: %12d %12.0f %12.0f %10.0f %10d %10d", backend, injected, m.sum("wqfan_errors_total"), m.sum("wqfan_lost_events_total"),
			m.sum("wqfan_events_total"), mem.HeapAlloc>>10, rss)
		if step == 0 {
			first = int64(mem.HeapAlloc)
		} else if grown := int64(mem.HeapAlloc) - first; grown > 1<<20 {
			t.Errorf("the heap has grown by %d bytes since the first %d errors", grown, n/steps)
		}
	}
	if u := m.sum("wqfan_uncounted_losses_total"); u != 0 {
		t.Errorf("%v losses without a count", u)
	}
	t.Logf("%s: %d errors in %v, %v events dropped by the output, queue at most %v", backend, injected, time.Since(begin).Round(time.Second),
		m.sum("wqfan_dropped_events_total"), m.sum("wqfan_queue_high_water_events"))
}

// residentKiB returns VmRSS of proc(5).
func residentKiB(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * os.Getpagesize() >> 10
}
