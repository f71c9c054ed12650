// SPDX-License-Identifier: MIT

package monitor

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"wqfan/bench/flood"
	"wqfan/internal/inguest"
)

// soakEnv says how many errors TestGuestSoak makes.
const soakEnv = "WQFAN_SOAK"

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
	n := uint64(20_000)
	if s := os.Getenv(soakEnv); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
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
