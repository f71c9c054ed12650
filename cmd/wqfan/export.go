// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"wqfan/bench/export"
	"wqfan/bench/guest"
	"wqfan/bench/result"
)

type exportCmd struct {
	Format string `arg:"" enum:"ktap,kcidb,prometheus" help:"ktap, for kunit.py and other readers of kernel tests; kcidb, JSON of schema v5.3; prometheus, for node_exporter's textfile collector."`
	Dir    string `arg:"" help:"Directory of a run: it holds run.json." type:"existingdir"`
	Origin string `help:"The CI system that submits to KCIDB." default:"wqfan" placeholder:"NAME"`
}

func (e *exportCmd) Run() error {
	run, err := result.Load(e.Dir)
	if err != nil {
		return &guest.Error{Kind: guest.RunnerFailed, Err: err}
	}
	// Into memory first: what reads the output must not get half of it.
	var out bytes.Buffer
	switch e.Format {
	case "ktap":
		err = export.KTAP(&out, run)
	case "kcidb":
		if err = export.KCIDB(&out, run, e.Origin); err != nil {
			return usage(err)
		}
	case "prometheus":
		err = export.Prometheus(&out, run)
	}
	if err == nil {
		_, err = io.Copy(os.Stdout, &out)
	}
	if err != nil {
		return &guest.Error{Kind: guest.RunnerFailed, Msg: "export " + e.Dir + " as " + e.Format, Err: err}
	}
	return nil
}

// serveMetrics serves the metrics of a run at address until stop is called.
func serveMetrics(ctx context.Context, address string, m *export.Metrics) (at string, stop func(), err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", nil, fmt.Errorf("--metrics %s: %w", address, err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", m.Handler())
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintf(os.Stderr, "wqfan: metrics are served no more: %v\n", err)
		}
	}()
	return "http://" + l.Addr().String() + "/metrics", func() { s.Close(); <-done }, nil
}
