// SPDX-License-Identifier: MIT

package result

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// NewHist summarises h, whose values are in unit, and encodes it for its way
// to the [Writer].
func NewHist(name, unit string, h *hdrhistogram.Histogram) (Hist, error) {
	payload, err := h.EncodeV2()
	if err != nil {
		return Hist{}, fmt.Errorf("encode histogram %q: %w", name, err)
	}
	return Hist{Name: name, Unit: unit, Encoded: string(payload)}.summarised(h), nil
}

// summarised returns s with the numbers of h. An empty histogram has only
// zeros: the library would call its minimum math.MaxInt64.
func (s Hist) summarised(h *hdrhistogram.Histogram) Hist {
	s.N, s.Min, s.P50, s.P90, s.P99, s.P999, s.Max, s.Mean = h.TotalCount(), 0, 0, 0, 0, 0, 0, 0
	if s.N == 0 {
		return s
	}
	p := h.ValueAtPercentilesSlice([]float64{50, 90, 99, 99.9})
	s.Min, s.P50, s.P90, s.P99, s.P999, s.Max, s.Mean = h.Min(), p[0], p[1], p[2], p[3], h.Max(), h.Mean()
	return s
}

// Again returns h, which Load has read, encoded for its way to another [Writer],
// which makes the same file of it.
func (h Hist) Again() (Hist, error) {
	if h.Data == nil {
		return h, nil
	}
	again, err := NewHist(h.Name, h.Unit, reach(h.Data, h.Highest))
	again.Windows = h.Windows
	return again, err
}

// Sum returns a histogram of the values of all hs, which are of one precision
// and at least one, and changes none of them.
func Sum(hs ...*hdrhistogram.Histogram) *hdrhistogram.Histogram {
	var highest int64
	for _, h := range hs {
		highest = max(highest, h.HighestTrackableValue())
	}
	sum := reach(hs[0], highest)
	for _, h := range hs[1:] {
		sum.Merge(h)
	}
	return sum
}

// reach returns h with a range up to highest, which is not below its values.
func reach(h *hdrhistogram.Histogram, highest int64) *hdrhistogram.Histogram {
	other := hdrhistogram.New(h.LowestTrackableValue(), highest, int(h.SignificantFigures()))
	other.Merge(h)
	return other
}

// monotone reports the first field that is smaller than the one before it.
func (s Hist) monotone() (field string, ok bool) {
	last := s.Min
	for _, v := range []struct {
		name  string
		value int64
	}{{"p50", s.P50}, {"p90", s.P90}, {"p99", s.P99}, {"p999", s.P999}, {"max", s.Max}} {
		if v.value < last {
			return v.name, false
		}
		last = v.value
	}
	return "", true
}

// encodeLog returns one histogram as an HDR log that other HDR tools read. It
// has no dates, so equal histograms make equal files.
func encodeLog(cell, name, unit string, h *hdrhistogram.Histogram) ([]byte, error) {
	var b bytes.Buffer
	w := hdrhistogram.NewHistogramLogWriter(&b)
	err := errors.Join(
		w.OutputLogFormatVersion(),
		w.OutputComment(fmt.Sprintf("[wqfan %q of cell %q in %s; Interval_Max is divided by 1000000]", name, cell, unit)),
		w.OutputLegend(),
		w.OutputIntervalHistogram(h))
	return b.Bytes(), err
}

// decodeLog reads a log of exactly one histogram.
func decodeLog(b []byte) (*hdrhistogram.Histogram, error) {
	r := hdrhistogram.NewHistogramLogReader(bytes.NewReader(b))
	h, err := r.NextIntervalHistogram()
	switch {
	case errors.Is(err, io.EOF), err == nil && h == nil:
		return nil, errors.New("no histogram in the HDR log")
	case err != nil:
		return nil, fmt.Errorf("the HDR log is damaged: %w", err)
	}
	if more, err := r.NextIntervalHistogram(); more != nil || err != nil {
		return nil, errors.New("more than one line of data in the HDR log")
	}
	return h, checkSize(h)
}

// checkSize refuses a histogram of a range and a precision that no cell asks
// for: a hundred bytes of log can be fifty megabytes of zeros.
func checkSize(h *hdrhistogram.Histogram) error {
	if n := h.ByteSize(); n > maxHist {
		return fmt.Errorf("a histogram from %d to %d with %d digits takes %d bytes of memory, of which at most %d are given",
			h.LowestTrackableValue(), h.HighestTrackableValue(), h.SignificantFigures(), n, maxHist)
	}
	return nil
}
