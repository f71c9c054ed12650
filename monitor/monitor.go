// SPDX-License-Identifier: MIT

package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"

	"wqfan/fan"
	"wqfan/fserr"
	"wqfan/healthmon"
	"wqfan/wq"
)

// The backends. Auto takes wq where the kernel has a source of filesystem errors
// for it, and fan elsewhere. It leaves the health monitor alone: a mount has only
// one, and xfs_healer may want it.
const (
	Auto      = "auto"
	Fan       = "fan"
	WQ        = "wq"
	HealthMon = "healthmon"
)

// Options describe a monitor.
type Options struct {
	Dirs    []string // mount points; none: all filesystems on block devices
	Backend string   // Auto, Fan, WQ or HealthMon

	Output io.Writer // one line per event; nil: none
	JSON   bool      // the lines are JSON, not for people

	Exec         string        // program to run for events; "": none
	ExecInterval time.Duration // at least so long between two runs
	ExecTimeout  time.Duration // so long may a run take

	Listen string // address of the metrics; "": none. Without a host it is loopback's
	Drop   bool   // give up all capabilities but Needs when everything is open
	Log    *slog.Logger
}

// checkEvery is how often what failed is tried again, and how often the kernel's
// counters are read for losses that no event tells of.
const checkEvery = 10 * time.Second

// maxScrapers is how many connections the metrics are served on at a time.
const maxScrapers = 64

// batch is how many events one Read takes: more than one read(2) can give.
const batch = 2048

// Monitor watches filesystems.
type Monitor struct {
	Options
	table   table
	metrics *metrics
	paths   *resolver
	output  *output
	hook    *hook
	reload  chan struct{}

	ctx     context.Context // of Run
	readers sync.WaitGroup
	group   *fan.Group
	queue   *wq.Queue
	noQueue error // why the kernel has no watch_queue for us
	health  map[*watched]*health
}

// New prepares a monitor. It opens nothing.
func New(o Options) *Monitor {
	m := &Monitor{Options: o, paths: newResolver(), reload: make(chan struct{}, 1), health: make(map[*watched]*health)}
	for i, d := range m.Dirs {
		if abs, err := filepath.Abs(d); err == nil {
			m.Dirs[i] = abs
		}
	}
	m.metrics = newMetrics(&m.table)
	if o.Output != nil {
		m.output = &output{sink: newSink(m.metrics.dropped.WithLabelValues("output").Inc), w: o.Output, json: o.JSON,
			paths: m.paths, log: o.Log, unwritten: m.metrics.unwritten.Inc}
	}
	if o.Exec != "" {
		m.hook = &hook{sink: newSink(m.metrics.dropped.WithLabelValues("exec").Inc), program: o.Exec, interval: o.ExecInterval,
			limit: o.ExecTimeout, paths: m.paths, log: o.Log, result: func(r string) { m.metrics.hooks.WithLabelValues(r).Inc() }}
	}
	return m
}

// Metrics returns what a scrape gets.
func (m *Monitor) Metrics() prometheus.Gatherer { return m.metrics.registry }

// Reload makes the monitor look at all mounts again, try at once what has
// failed, and ask for paths anew.
func (m *Monitor) Reload() {
	select {
	case m.reload <- struct{}{}:
	default:
	}
}

// Run watches until the context ends, which is no error.
func (m *Monitor) Run(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	m.ctx = ctx
	manager, err := newNotifier()
	if err != nil {
		return err
	}
	defer manager.close()
	_, stop, err := m.serve()
	if err != nil {
		return err
	}
	defer stop()
	changed, stopMounts, err := followMounts()
	if err != nil {
		return err
	}
	defer stopMounts()
	if m.Drop {
		if err := DropAllBut(Needs()); err != nil {
			return err
		}
	}

	var sinks sync.WaitGroup
	if m.output != nil {
		sinks.Go(func() {
			if err := m.output.run(); err != nil {
				cancel(err)
			}
		})
	}
	if m.hook != nil {
		sinks.Go(func() { m.hook.run(ctx) })
	}
	defer func() {
		m.close()
		done := make(chan struct{})
		go func() { sinks.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(time.Second): // an output that blocks is no reason to stay
		}
	}()

	behind := false // what has changed could not be read
	if err := m.reconcile(); err != nil {
		return err
	}
	if err := m.hopeless(); err != nil {
		return err
	}
	m.waiting()
	manager.say("READY=1\nSTATUS=%s", m.table.status())
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	var alive <-chan time.Time
	if manager.every > 0 {
		t := time.NewTicker(manager.every)
		defer t.Stop()
		alive = t.C
	}
	for {
		select {
		case <-ctx.Done():
			if parent.Err() != nil {
				return nil
			}
			return context.Cause(ctx)
		case <-alive:
			manager.say("WATCHDOG=1")
			continue
		case <-changed:
		case <-check.C:
			m.counters()
			if !behind && !m.table.failing() {
				continue
			}
		case <-m.reload:
			manager.reloading()
			m.paths.forget()
		}
		err := m.reconcile()
		if behind = err != nil; behind {
			m.Log.Error("mounts cannot be read; it is tried again", "error", err)
		}
		manager.say("READY=1\nSTATUS=%s", m.table.status())
	}
}

// close ends the readers, then the sinks that they feed.
func (m *Monitor) close() {
	if m.group != nil {
		m.group.Close()
	}
	if m.queue != nil {
		m.queue.Close()
	}
	for _, h := range m.health {
		h.Close()
	}
	m.readers.Wait()
	if m.output != nil {
		close(m.output.events)
	}
	if m.hook != nil {
		close(m.hook.events)
	}
}

// serve answers scrapes, at the address that it returns.
func (m *Monitor) serve() (addr string, stop func(), err error) {
	if m.Listen == "" {
		return "", func() {}, nil
	}
	host, port, err := net.SplitHostPort(m.Listen)
	if err != nil {
		return "", nil, fmt.Errorf("listen on %q: %w", m.Listen, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.metrics.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 8}))
	var open atomic.Int64
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(m.Log.Handler(), slog.LevelWarn),
		// Who connects must not take the descriptors that it takes to watch.
		ConnState: func(c net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				if open.Add(1) > maxScrapers {
					c.Close()
				}
			case http.StateClosed:
				open.Add(-1)
			}
		}}
	m.Log.Info("metrics", "url", "http://"+l.Addr().String()+"/metrics")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	return l.Addr().String(), func() { s.Close(); <-done }, nil
}

// reconcile watches what is mounted and not watched, and forgets what is gone.
// To watch again what is watched changes nothing, and must be done: between two
// looks a filesystem can be unmounted and mounted again.
func (m *Monitor) reconcile() error {
	mounts, err := wanted(m.Dirs)
	if err != nil {
		return err
	}
	for _, w := range m.table.update(mounts) {
		m.Log.Info("unmounted", "mount", w.Dir)
		if w.backend == Fan { // the others' kernels say so
			m.take(&taken{Event: fserr.Event{Kind: fserr.Removed}, from: w, by: Fan, now: time.Now()})
		}
	}
	for _, w := range m.table.current() {
		backend, err := m.watch(w)
		if said := m.table.set(w, backend, err); said == "" {
			continue
		} else if err != nil {
			m.Log.Warn("not watched", "mount", w.Dir, "device", w.Device(), "error", err)
		} else {
			m.Log.Info("watching", "mount", w.Dir, "device", w.Device(), "type", w.Type, "backend", backend)
		}
	}
	return nil
}

// waiting says which of the folders that it was to watch nothing is mounted at.
func (m *Monitor) waiting() {
	mounted := m.table.list()
	for _, dir := range m.Dirs {
		if !slices.ContainsFunc(mounted, func(w watched) bool { return w.Dir == dir }) {
			m.Log.Warn("nothing is mounted there: waiting for it", "mount", dir)
		}
	}
	if len(m.Dirs) == 0 && len(mounted) == 0 {
		m.Log.Warn("no filesystem on a block device is mounted: waiting for one")
	}
}

// hopeless is the error of a monitor that cannot watch anything it was to.
func (m *Monitor) hopeless() error {
	var errs []error
	for _, w := range m.table.list() {
		if w.backend != "" {
			return nil
		}
		errs = append(errs, errors.New(w.failed))
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("no filesystem can be watched: %w", errs[0])
}

// watch sees to it that the filesystem is watched.
func (m *Monitor) watch(w *watched) (backend string, err error) {
	fsid, magic, err := statfs(func(st *unix.Statfs_t) error { return unix.Statfs(w.Dir, st) })
	if err != nil {
		return "", err
	}
	m.table.identify(w, fsid, magic)
	switch m.Backend {
	case Fan:
		return Fan, m.watchFan(w)
	case WQ:
		return WQ, m.watchWQ(w)
	case HealthMon:
		return HealthMon, m.watchHealth(w)
	}
	if m.noQueue == nil {
		err := m.watchWQ(w)
		if err == nil {
			return WQ, nil
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			m.Log.Debug("no watch queue", "mount", w.Dir, "error", err)
		} else {
			m.noQueue = err
		}
	}
	return Fan, m.watchFan(w)
}

func (m *Monitor) watchFan(w *watched) error {
	if m.group == nil {
		g, err := fan.Open(fan.Config{Detailed: true, MergeWhenFull: true, OverflowCount: true})
		if errors.Is(err, errors.ErrUnsupported) {
			g, err = fan.Open(fan.Config{})
		}
		if err != nil {
			return err
		}
		m.group = g
		m.start(g, Fan, nil)
	}
	return m.group.Watch(w.Dir)
}

func (m *Monitor) watchWQ(w *watched) error {
	if m.queue == nil {
		q, err := wq.Open(wq.Config{Notes: 4096, LossCount: true})
		if err != nil {
			q, err = wq.Open(wq.Config{})
		}
		if err != nil {
			return err
		}
		m.queue = q
		m.start(q, WQ, nil)
	}
	err := m.queue.Watch(w.Dir, w.id, wq.Direct)
	if errors.Is(err, unix.EBUSY) { // watched already
		return nil
	}
	return err
}

// health is the health monitor of a mount.
type health struct {
	*healthmon.Monitor
	w    *watched
	done chan struct{} // closed when its reader has ended

	mu        sync.Mutex
	signalled uint64 // lost, by the events that were read
	told      uint64 // lost, and passed on
}

func (m *Monitor) watchHealth(w *watched) error {
	if h := m.health[w]; h != nil {
		select {
		case <-h.done:
			h.Close()
			delete(m.health, w)
		default:
			return nil
		}
	}
	monitor, err := healthmon.Open(w.Dir, healthmon.Config{})
	if err != nil {
		return err
	}
	h := &health{Monitor: monitor, w: w, done: make(chan struct{})}
	m.health[w] = h
	m.start(h, HealthMon, h)
	return nil
}

// counters reads the kernel's, for what events do not tell.
func (m *Monitor) counters() {
	if m.queue != nil {
		if s, err := m.queue.Stats(); err == nil {
			m.metrics.seen(WQ, s.High)
		}
	}
	for w, h := range m.health {
		m.unsignalled(h)
		select {
		case <-h.done: // unmounted
			h.Close()
			delete(m.health, w)
		default:
		}
	}
}

// unsignalled passes on a loss that no event has told of: XFS queues that event
// with the next one that finds room, which may never come.
func (m *Monitor) unsignalled(h *health) {
	if s, err := h.Stats(); err == nil {
		m.lost(h, s.Lost)
	}
}

// lost passes on what is new in a number of lost events.
func (m *Monitor) lost(h *health, total uint64) {
	h.mu.Lock()
	n := int64(total - h.told)
	h.told = max(h.told, total)
	h.mu.Unlock()
	if n > 0 {
		m.take(&taken{Event: fserr.Event{Kind: fserr.Lost, Has: fserr.HasCount, Count: uint64(n)}, from: h.w, by: HealthMon, now: time.Now()})
	}
}

// start reads a channel in a goroutine of its own.
func (m *Monitor) start(s fserr.Source, backend string, h *health) {
	m.metrics.opened(backend)
	m.readers.Go(func() {
		if h != nil {
			defer close(h.done)
		}
		m.read(s, backend, h)
	})
}

// read takes events until the channel ends. It waits for nothing else.
func (m *Monitor) read(s fserr.Source, backend string, h *health) {
	events := make([]fserr.Event, batch)
	for {
		n, err := s.Read(m.ctx, events)
		now := time.Now()
		m.metrics.seen(backend, uint64(n))
		for i := range events[:n] {
			t := taken{Event: events[i], by: backend, now: now}
			switch {
			case h == nil:
				t.from = m.table.find(&t.Event)
			case t.Kind == fserr.Lost:
				h.signalled += t.Count
				m.lost(h, h.signalled)
				continue
			default:
				t.from = h.w
			}
			m.take(&t)
		}
		switch {
		case err == nil:
		case m.ctx.Err() != nil || errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, io.EOF):
			m.unsignalled(h)
			return
		default:
			m.Log.Error("a channel cannot be read", "backend", backend, "error", err)
			if !errors.As(err, new(*fserr.FormatError)) {
				select { // it may come back, and must not be asked all the time
				case <-m.ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}
	}
}

// take counts an event and offers it to the sinks.
func (m *Monitor) take(t *taken) {
	m.metrics.count(t)
	if t.Kind != fserr.Error && t.Kind != fserr.Lost && t.Kind != fserr.Removed {
		return
	}
	if m.output != nil {
		m.output.offer(t)
	}
	if m.hook != nil {
		m.hook.offer(t)
	}
}
