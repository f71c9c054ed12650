// SPDX-License-Identifier: MIT

package fanlimit_test

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"wqfan/internal/fanlimit"
	"wqfan/internal/need"
)

// Whoever comes at the same time finds the limit as it was, and leaves it so.
func TestWith(t *testing.T) {
	need.Root(t)
	before, err := fanlimit.Get()
	if err != nil {
		t.Fatal(err)
	}
	failed := errors.New("failed")
	var all sync.WaitGroup
	for n := range uint64(8) {
		all.Go(func() {
			for range 50 {
				err := fanlimit.With(n, func() error {
					b, err := os.ReadFile("/proc/sys/fs/fanotify/max_queued_events")
					if err != nil {
						return err
					}
					if got := strings.TrimSpace(string(b)); got != string('0'+byte(n)) {
						t.Errorf("the limit is %s, want %d", got, n)
					}
					return failed
				})
				if !errors.Is(err, failed) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if after, err := fanlimit.Get(); err != nil || after != before {
		t.Errorf("the limit is %d, %v, and was %d", after, err, before)
	}
}
