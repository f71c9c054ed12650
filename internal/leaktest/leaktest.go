// SPDX-License-Identifier: MIT

// Package leaktest is a TestMain that fails when tests leave goroutines or
// descriptors behind.
package leaktest

import (
	"fmt"
	"maps"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests and exits.
func Main(m *testing.M) {
	// The runtime opens its poller with the first pollable file and keeps it.
	r, w, err := os.Pipe()
	if err != nil {
		fatal(err)
	}
	r.Close()
	w.Close()

	before := descriptors()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fatal(err)
		}
		after := descriptors()
		maps.DeleteFunc(after, func(fd, file string) bool { return before[fd] == file })
		if len(after) > 0 {
			fatal(fmt.Errorf("descriptors left open: %v", after))
		}
	}
	os.Exit(code)
}

// descriptors returns what each open descriptor stands for.
func descriptors() map[string]string {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		fatal(err)
	}
	open := make(map[string]string)
	for _, e := range entries {
		// The descriptor that reads dir is closed by now.
		if file, err := os.Readlink(dir + "/" + e.Name()); err == nil {
			open[e.Name()] = file
		}
	}
	return open
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "leaktest:", err)
	os.Exit(1)
}
