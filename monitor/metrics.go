// SPDX-License-Identifier: MIT

package monitor

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"wqfan/fserr"
)

// maxMounts bounds the values of the label mount: further mounts are "other".
const maxMounts = 256

// metrics is what a scrape sees. No label has a value per inode or path.
type metrics struct {
	registry *prometheus.Registry

	events    *prometheus.CounterVec
	errors    *prometheus.CounterVec
	lost      *prometheus.CounterVec
	uncounted *prometheus.CounterVec
	high      *prometheus.GaugeVec
	delay     *prometheus.HistogramVec
	dropped   *prometheus.CounterVec
	hooks     *prometheus.CounterVec
	unwritten prometheus.Counter

	mu     sync.Mutex
	mounts map[string]bool   // values of the label
	most   map[string]uint64 // by backend: the high water mark
}

func newMetrics(watches prometheus.Collector) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		mounts:   make(map[string]bool),
		most:     make(map[string]uint64),
		events: counter("wqfan_events_total",
			"Error events that were read.", "mount", "errno"),
		errors: counter("wqfan_errors_total",
			"Filesystem errors that the events stand for, with those that the kernel only counted.", "mount", "errno"),
		lost: counter("wqfan_lost_events_total",
			"Events that the kernel says it lost because a queue was full.", "backend"),
		uncounted: counter("wqfan_uncounted_losses_total",
			"Times that the kernel said it lost an unknown number of events because a queue was full.", "backend"),
		high: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "wqfan_queue_high_water_events",
			Help: "The most events that were ever found waiting in a queue."}, []string{"backend"}),
		delay: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "wqfan_delivery_seconds",
			Help:    "From the kernel's report of an error until it was read, where the channel carries a timestamp.",
			Buckets: prometheus.ExponentialBuckets(1e-5, 4, 11)}, []string{"backend"}),
		dropped: counter("wqfan_dropped_events_total",
			"Events that were read and counted, but not passed on because the sink was too slow.", "sink"),
		hooks: counter("wqfan_hook_runs_total",
			"Runs of the hook.", "result"),
		unwritten: prometheus.NewCounter(prometheus.CounterOpts{Name: "wqfan_unwritten_events_total",
			Help: "Events that could not be written to the output."}),
	}
	m.registry.MustRegister(m.events, m.errors, m.lost, m.uncounted, m.high, m.delay, m.dropped, m.hooks, m.unwritten,
		watches, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// What can go wrong is there from the start: an alert needs a zero to rise from.
	m.dropped.WithLabelValues("output")
	m.dropped.WithLabelValues("exec")
	m.hooks.WithLabelValues("ok")
	m.hooks.WithLabelValues("failed")
	return m
}

// opened makes a channel's series.
func (m *metrics) opened(backend string) {
	m.lost.WithLabelValues(backend)
	m.uncounted.WithLabelValues(backend)
	m.high.WithLabelValues(backend)
}

// seen notes how many events were in a queue at once.
func (m *metrics) seen(backend string, n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > m.most[backend] {
		m.most[backend] = n
		m.high.WithLabelValues(backend).Set(float64(n))
	}
}

// mount bounds the label.
func (m *metrics) mount(dir string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.mounts[dir] {
		if len(m.mounts) == maxMounts {
			return "other"
		}
		m.mounts[dir] = true
	}
	return dir
}

// errno bounds the label: an error number without a name could be any.
func errno(e *fserr.Event) string {
	if !e.Is(fserr.HasErrno) {
		return "none"
	}
	if name := e.Errno.String(); !strings.HasPrefix(name, "errno ") {
		return name
	}
	return "other"
}

// count adds an event to the metrics.
func (m *metrics) count(t *taken) {
	switch t.Kind {
	case fserr.Error:
		mount := "unknown"
		if t.from != nil {
			mount = m.mount(t.from.Dir)
		}
		number := errno(&t.Event)
		m.events.WithLabelValues(mount, number).Inc()
		m.errors.WithLabelValues(mount, number).Add(float64(t.Errors()))
		if d, ok := t.delay(); ok {
			m.delay.WithLabelValues(t.by).Observe(d.Seconds())
		}
	case fserr.Lost:
		if t.Is(fserr.HasCount) {
			m.lost.WithLabelValues(t.by).Add(float64(t.Count))
		} else {
			m.uncounted.WithLabelValues(t.by).Inc()
		}
	}
}

// watchedDesc describes what a table of watches collects.
var watchedDesc = prometheus.NewDesc("wqfan_mount_watched", "Whether the errors of a mounted filesystem are watched.",
	[]string{"mount", "device", "fstype", "backend"}, nil)

// Describe implements [prometheus.Collector].
func (w *table) Describe(ch chan<- *prometheus.Desc) { ch <- watchedDesc }

// Collect implements [prometheus.Collector].
func (w *table) Collect(ch chan<- prometheus.Metric) {
	for i, m := range w.list() {
		if i == maxMounts {
			return
		}
		value := 1.0
		if m.backend == "" {
			value = 0
		}
		ch <- prometheus.MustNewConstMetric(watchedDesc, prometheus.GaugeValue, value, m.Dir, m.Device(), m.Type, m.backend)
	}
}
