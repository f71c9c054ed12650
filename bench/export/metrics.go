// SPDX-License-Identifier: MIT

package export

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"wqfan/bench/result"
)

// Metrics are the metrics of a run, whole or while it goes on. It is safe for
// concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	errors   *prometheus.CounterVec
	cells    *prometheus.CounterVec
	planned  prometheus.Gauge
	complete prometheus.Gauge
	started  prometheus.Gauge
	info     *prometheus.GaugeVec

	mu      sync.Mutex
	latency map[result.Mode]*prometheus.HistogramVec
}

// The labels of what was measured in a cell.
var (
	cellLabels    = []string{"scenario", "kernel", "arm", "fs", "cpus", "mode"}
	latencyLabels = append(cellLabels[:len(cellLabels):len(cellLabels)], "point")
)

// NewMetrics returns the metrics of the run whose header is r: of its cells
// only those that [Metrics.Cell] is told of.
func NewMetrics(r *result.Run) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "wqfan_errors_total",
			Help: "Filesystem errors injected, by what became of them."}, append(cellLabels[:len(cellLabels):len(cellLabels)], "fate")),
		cells: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "wqfan_cells_total",
			Help: "Cells of the matrix that were measured, by whether that went well."}, []string{"scenario", "outcome"}),
		planned:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "wqfan_cells_planned", Help: "Cells in the plan of the run."}),
		complete: prometheus.NewGauge(prometheus.GaugeOpts{Name: "wqfan_run_complete", Help: "1 when every planned cell was measured."}),
		started:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "wqfan_run_start_timestamp_seconds", Help: "When the run began."}),
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "wqfan_boot_info",
			Help: "1 for each boot, with what was booted."}, []string{"boot", "release", "variant", "series", "mode", "cpus"}),
		latency: map[result.Mode]*prometheus.HistogramVec{},
	}
	m.registry.MustRegister(m.errors, m.cells, m.planned, m.complete, m.started, m.info)
	m.planned.Set(float64(r.Planned))
	if !r.Started.IsZero() {
		m.started.Set(float64(r.Started.Unix()))
	}
	return m
}

// Boot tells of a boot.
func (m *Metrics) Boot(b result.Boot) {
	m.info.WithLabelValues(b.ID, b.Kernel.Release, b.Kernel.Variant, b.Kernel.Series, string(b.Mode), strconv.Itoa(b.CPUs)).Set(1)
}

// Cell adds a measured cell of boot b. Its histograms may still be encoded.
func (m *Metrics) Cell(b result.Boot, c *result.Cell) error {
	if problem(c) != "" {
		m.cells.WithLabelValues(c.Scenario, "failed").Inc()
		return nil
	}
	m.cells.WithLabelValues(c.Scenario, "ok").Inc()
	labels := []string{c.Scenario, c.Variant, c.Arm, c.FS, strconv.Itoa(c.CPUs), string(b.Mode)}
	a := c.Account
	for _, f := range []struct {
		name string
		n    uint64
	}{{"refused", a.Refused}, {"detailed", a.Detailed}, {"coalesced", a.Coalesced}, {"filtered", a.Filtered}, {"lost_signalled", a.Signalled}, {"lost_silent", a.Silent}} {
		m.errors.WithLabelValues(append(labels[:len(labels):len(labels)], f.name)...).Add(float64(f.n))
	}
	h := c.Hist(result.IntendedToRead)
	if h == nil {
		return nil
	}
	data := h.Data
	if data == nil && h.Encoded == "" {
		return nil // not in the record
	}
	if data == nil {
		var err error
		if data, err = hdrhistogram.Decode([]byte(h.Encoded)); err != nil {
			return fmt.Errorf("metrics of cell %s: %w", c.ID, err)
		}
	}
	vec, scale, err := m.histogram(b.Mode)
	if err != nil {
		return err
	}
	into := vec.WithLabelValues(append(labels, c.Point)...)
	if n := data.TotalCount(); n < 0 || n > mostValues {
		return fmt.Errorf("metrics of cell %s: %d latencies, where a cell has at most %d errors", c.ID, n, int64(mostValues))
	}
	for _, bar := range data.Distribution() {
		v := (float64(bar.From) + float64(bar.To)) / 2 / scale
		for range bar.Count {
			into.Observe(v)
		}
	}
	return nil
}

// mostValues is more latencies than the injector can log errors.
const mostValues = 1 << 26

// histogram returns the latency's histogram in the unit of a mode, and how many
// units of guest time one of its is. It is native, with classic buckets beside.
func (m *Metrics) histogram(mode result.Mode) (*prometheus.HistogramVec, float64, error) {
	name, scale, buckets := "wqfan_latency_seconds", 1e9, prometheus.ExponentialBuckets(1e-6, 4, 13)
	help := "Time from when an error was due until it was read."
	switch mode {
	case result.ICount:
		name, scale, buckets = "wqfan_latency_instructions", 1, prometheus.ExponentialBuckets(1000, 2, 16)
		help = "Guest instructions from when an error was due until it was read."
	case result.TCG:
		name, help = "wqfan_latency_emulated_seconds", "Time of emulated CPUs from when an error was due until it was read: never that of hardware."
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.latency[mode]; v != nil {
		return v, scale, nil
	}
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets, NativeHistogramBucketFactor: 1.1}, latencyLabels)
	var have prometheus.AlreadyRegisteredError
	if err := m.registry.Register(v); errors.As(err, &have) { // kvm and host share seconds
		v = have.ExistingCollector.(*prometheus.HistogramVec)
	} else if err != nil {
		return nil, 0, err
	}
	m.latency[mode] = v
	return v, scale, nil
}

// Finish says whether every planned cell was measured.
func (m *Metrics) Finish(complete bool) {
	if complete {
		m.complete.Set(1)
	}
}

// Handler serves the metrics. A scraper that asks for protocol buffers gets the
// native histograms.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Prometheus writes the metrics of r as node_exporter's textfile collector
// reads them.
func Prometheus(w io.Writer, r *result.Run) error {
	m := NewMetrics(r)
	boots := map[string]result.Boot{}
	for _, b := range r.Boots {
		boots[b.ID] = b
		m.Boot(b)
	}
	for i := range r.Cells {
		if err := m.Cell(boots[r.Cells[i].Boot], &r.Cells[i]); err != nil {
			return err
		}
	}
	m.Finish(r.Complete)
	families, err := m.registry.Gather()
	if err != nil {
		return err
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return err
		}
	}
	return nil
}
