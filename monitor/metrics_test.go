// SPDX-License-Identifier: MIT

package monitor

import (
	"bytes"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"wqfan/fserr"
	"wqfan/internal/need"
	"wqfan/internal/stream"
)

// busy is a monitor with something in each of its metrics.
func busy() *Monitor {
	m := New(Options{Log: quietly})
	m.table.update([]Mount{{ID: 1, Dir: "/srv", Type: "xfs", Source: "/dev/sda1"}, {ID: 2, Dir: "/mnt", Type: "ext4", Source: "/dev/sdb"}})
	srv := m.table.current()[1]
	m.table.set(srv, WQ, nil)
	m.metrics.opened(WQ)
	now := stream.Now()
	for _, e := range []fserr.Event{
		{Kind: fserr.Error, Has: fserr.HasErrno | fserr.HasCount, Errno: fserr.EFSCORRUPTED, Count: 998},
		{Kind: fserr.Error, Has: fserr.HasErrno | fserr.HasTime, Errno: 5, Time: now - 1e6, Recv: now},
		{Kind: fserr.Error, Has: fserr.HasErrno, Errno: 4000},
		{Kind: fserr.Error},
		{Kind: fserr.Lost},
		{Kind: fserr.Lost, Has: fserr.HasCount, Count: 7},
	} {
		m.take(&taken{Event: e, from: srv, by: WQ, now: time.Now()})
	}
	m.metrics.seen(WQ, 12)
	m.metrics.seen(WQ, 3)
	return m
}

const scrape = `
# HELP wqfan_errors_total Filesystem errors that the events stand for, with those that the kernel only counted.
# TYPE wqfan_errors_total counter
wqfan_errors_total{errno="EFSCORRUPTED",mount="/srv"} 998
wqfan_errors_total{errno="EIO",mount="/srv"} 1
wqfan_errors_total{errno="none",mount="/srv"} 1
wqfan_errors_total{errno="other",mount="/srv"} 1
# HELP wqfan_events_total Error events that were read.
# TYPE wqfan_events_total counter
wqfan_events_total{errno="EFSCORRUPTED",mount="/srv"} 1
wqfan_events_total{errno="EIO",mount="/srv"} 1
wqfan_events_total{errno="none",mount="/srv"} 1
wqfan_events_total{errno="other",mount="/srv"} 1
# HELP wqfan_lost_events_total Events that the kernel says it lost because a queue was full.
# TYPE wqfan_lost_events_total counter
wqfan_lost_events_total{backend="wq"} 7
# HELP wqfan_mount_watched Whether the errors of a mounted filesystem are watched.
# TYPE wqfan_mount_watched gauge
wqfan_mount_watched{backend="",device="sdb",fstype="ext4",mount="/mnt"} 0
wqfan_mount_watched{backend="wq",device="sda1",fstype="xfs",mount="/srv"} 1
# HELP wqfan_queue_high_water_events The most events that were ever found waiting in a queue.
# TYPE wqfan_queue_high_water_events gauge
wqfan_queue_high_water_events{backend="wq"} 12
# HELP wqfan_uncounted_losses_total Times that the kernel said it lost an unknown number of events because a queue was full.
# TYPE wqfan_uncounted_losses_total counter
wqfan_uncounted_losses_total{backend="wq"} 1
`

func TestMetrics(t *testing.T) {
	m := busy()
	if err := testutil.GatherAndCompare(m.Metrics(), bytes.NewBufferString(scrape), "wqfan_errors_total", "wqfan_events_total",
		"wqfan_lost_events_total", "wqfan_mount_watched", "wqfan_queue_high_water_events", "wqfan_uncounted_losses_total"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(m.metrics.delay); n != 1 {
		t.Errorf("%d histograms of delivery, want 1", n)
	}
	problems, err := testutil.GatherAndLint(m.Metrics())
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}

// No label has more values than there are mounts, and of these a bounded number.
func TestCardinality(t *testing.T) {
	m := New(Options{Log: quietly})
	for i := range 10 * maxMounts {
		w := &watched{Mount: Mount{Dir: fmt.Sprintf("/mnt/%d", i)}}
		m.take(&taken{Event: fserr.Event{Kind: fserr.Error, Has: fserr.HasErrno | fserr.HasInode, Errno: fserr.Errno(1000 + i), Ino: uint64(i)}, from: w, by: Fan})
	}
	if n := testutil.CollectAndCount(m.metrics.events); n != maxMounts+1 {
		t.Errorf("%d series, want %d", n, maxMounts+1)
	}
	if got := testutil.ToFloat64(m.metrics.events.WithLabelValues("other", "other")); got != 9*maxMounts {
		t.Errorf("%v events of further mounts", got)
	}
}

// text returns what a scrape gets.
func (m *Monitor) text(t *testing.T) []byte {
	t.Helper()
	families, err := m.Metrics().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// promtool runs Prometheus's own tool, which scripts/promtool finds for make test.
func promtool(t *testing.T, stdin []byte, args ...string) {
	t.Helper()
	need.Programs(t, "promtool")
	cmd := exec.Command("promtool", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}

func TestPromtool(t *testing.T) { promtool(t, busy().text(t), "check", "metrics") }
