// SPDX-License-Identifier: MIT

package monitor

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"wqfan/fserr"
)

var quietly = slog.New(slog.DiscardHandler)

func anError(n int) *taken {
	return &taken{Event: fserr.Event{Kind: fserr.Error, Has: fserr.HasErrno | fserr.HasInode | fserr.HasRecord, Errno: 5, Ino: uint64(n),
		Record: fserr.Record{Bytes: []byte{1}}}, by: Fan, now: time.Now()}
}

// An output that takes nothing blocks nobody: what does not fit the queue is
// counted, and said when there is room again.
func TestSlowOutput(t *testing.T) {
	r, w := io.Pipe()
	m := New(Options{Output: w, JSON: true, Log: quietly})
	var end sync.WaitGroup
	end.Go(func() { m.output.run() })
	const n = 5 * queued
	for i := range n {
		m.take(anError(i + 1))
	}
	close(m.output.events)
	var written, dropped uint64
	go func() { end.Wait(); w.Close() }()
	for d := json.NewDecoder(r); ; {
		var e Event
		if err := d.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if e.Kind == "dropped" {
			dropped += *e.Count
		} else {
			written++
		}
	}
	if written+dropped != n || dropped < n-queued-1 {
		t.Errorf("%d written and %d dropped of %d", written, dropped, n)
	}
	if got := testutil.ToFloat64(m.metrics.dropped.WithLabelValues("output")); got != float64(dropped) {
		t.Errorf("the metrics say %v dropped, the output %d", got, dropped)
	}
	if got := testutil.ToFloat64(m.metrics.errors.WithLabelValues("unknown", "EIO")); got != n {
		t.Errorf("the metrics say %v errors of %d", got, n)
	}
}

// The bytes of an event belong to its source, which uses them again.
func TestOfferKeeps(t *testing.T) {
	s := newSink(func() {})
	e := anError(1)
	s.offer(e)
	e.Record.Bytes[0] = 9
	if got := <-s.events; got.Record.Bytes[0] != 1 {
		t.Error("the event has changed in the queue")
	}
}

// fickle is a disk that is full for two writes, in the middle of a line.
type fickle struct {
	bytes.Buffer
	writes int
}

func (f *fickle) Write(b []byte) (int, error) {
	if f.writes++; f.writes != 2 && f.writes != 3 {
		return f.Buffer.Write(b)
	}
	f.Buffer.Write(b[:len(b)/2])
	return len(b) / 2, os.ErrDeadlineExceeded
}

// A full disk ends nothing. What could not be written is counted, and said when
// there is room again, or at the end.
func TestFullDisk(t *testing.T) {
	const n = 5
	write := func(w io.Writer) (unwritten int, said string) {
		var log bytes.Buffer
		o := &output{sink: newSink(func() {}), w: w, json: true, paths: newResolver(), log: slog.New(slog.NewTextHandler(&log, nil)),
			unwritten: func() { unwritten++ }}
		for i := range n {
			o.offer(anError(i + 1))
		}
		close(o.events)
		if err := o.run(); err != nil {
			t.Errorf("a full disk ends it: %v", err)
		}
		return unwritten, log.String()
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if unwritten, said := write(full); unwritten != n || !strings.Contains(said, `msg="events were not written" count=5`) {
		t.Errorf("%d unwritten, want %d; the log:\n%s", unwritten, n, said)
	}

	var disk fickle
	unwritten, said := write(&disk)
	var whole, dropped int
	for line := range strings.Lines(disk.String()) {
		var e Event
		if json.Unmarshal([]byte(line), &e) != nil {
			continue
		}
		if e.Kind == "dropped" {
			dropped += int(*e.Count)
		} else {
			whole++
		}
	}
	if unwritten != 1 || dropped != 1 || whole != n-1 || strings.Contains(said, "were not written") {
		t.Errorf("%d unwritten, %d said, %d whole lines around torn ones:\n%s\nthe log:\n%s", unwritten, dropped, whole, disk.String(), said)
	}
}

func script(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func newHook(t *testing.T, program string, results *[]string) *hook {
	return &hook{sink: newSink(func() {}), program: program, limit: 10 * time.Second, paths: newResolver(), log: quietly,
		result: func(r string) { *results = append(*results, r) }}
}

// A hook gets each event as JSON, and is told how many it was not given.
func TestHook(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	var results []string
	h := newHook(t, script(t, "cat >> "+out+"\n"), &results)
	for i := range queued + 5 {
		h.offer(anError(i + 1))
	}
	for len(h.events) > 2 {
		<-h.events
	}
	close(h.events)
	h.run(t.Context())
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var got []Event
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		var e Event
		if d.Decode(&e) != nil {
			break
		}
		got = append(got, e)
	}
	if len(got) != 2 || got[0].Skipped != 5 || got[1].Skipped != 0 || got[0].Ino != queued-1 || got[0].Error != "EIO" {
		t.Errorf("the hook got %s", b)
	}
	if strings.Join(results, " ") != "ok ok" {
		t.Errorf("results: %v", results)
	}
}

func TestHookFails(t *testing.T) {
	var results []string
	h := newHook(t, script(t, "echo broken; exit 3\n"), &results)
	if err := h.call(t.Context(), Event{}); err == nil || !strings.Contains(err.Error(), `exit status 3: "broken\n"`) {
		t.Errorf("got %v", err)
	}
	// One that hangs is killed with all that it started.
	h = newHook(t, script(t, "sleep 1000 & wait\n"), &results)
	h.limit = 50 * time.Millisecond
	if err := h.call(t.Context(), Event{}); err == nil || !strings.Contains(err.Error(), "took longer than 50ms") {
		t.Errorf("got %v", err)
	}
	h = newHook(t, "/none", &results)
	if err := h.call(t.Context(), Event{}); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
}

// What a hook writes is quoted, and takes no memory however much it is.
func TestHookFloods(t *testing.T) {
	var results []string
	h := newHook(t, script(t, "head -c 64M /dev/zero; exit 3\n"), &results)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := h.call(t.Context(), Event{})
	runtime.ReadMemStats(&after)
	if want := `exit status 3: "` + strings.Repeat(`\x00`, quoted) + `"`; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("it took %d bytes", n)
	}
}
