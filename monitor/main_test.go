// SPDX-License-Identifier: MIT

package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"wqfan/internal/leaktest"
)

func TestMain(m *testing.M) {
	if dir, backend, ok := strings.Cut(os.Getenv(childEnv), ":"); ok {
		err := New(Options{Dirs: []string{dir}, Backend: backend, Output: os.Stdout, JSON: true, Drop: true,
			Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}).Run(context.Background())
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	leaktest.Main(m)
}

// contextOf is a context that ends when the test says so, before its cleanup.
func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(context.WithoutCancel(t.Context()))
}
