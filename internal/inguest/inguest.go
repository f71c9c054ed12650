// SPDX-License-Identifier: MIT

// Package inguest runs the tests of a backend in a guest: on the kernels that
// `wqfan kernel build` made, with the kernel's own sample readers beside them.
package inguest

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"wqfan/bench/guest"
	"wqfan/bench/guest/guesttest"
	"wqfan/bench/kernel"
	"wqfan/bench/result"
	"wqfan/internal/clayout"
	"wqfan/internal/golden"
	"wqfan/internal/need"
)

// Where things are in the guest. Tests read these from the environment.
const (
	EXT4Env    = "WQFAN_EXT4"    // a mounted ext4 filesystem
	XFSEnv     = "WQFAN_XFS"     // a mounted XFS filesystem
	SamplesEnv = "WQFAN_SAMPLES" // a folder with fs-monitor and watch_test
	VariantEnv = "WQFAN_VARIANT" // patched, base or stock
)

// Patched runs the tests that match a pattern on the kernel with the series, on
// one CPU and on two.
func Patched(t *testing.T, pattern string) {
	for _, cpus := range []int{1, 2} {
		t.Run(fmt.Sprintf("cpus=%d", cpus), func(t *testing.T) { run(t, "patched", cpus, pattern) })
	}
}

// Base runs them on the kernel with the patches that leave the queue as mainline
// has it.
func Base(t *testing.T, pattern string) { run(t, "base", 1, pattern) }

// Stock runs them on the same kernel without the series.
func Stock(t *testing.T, pattern string) { run(t, "stock", 1, pattern) }

// BesideC runs TestInstructionsBesideC in a guest that counts instructions, beside
// the channel's decoder in C.
func BesideC(t *testing.T, channel string) {
	im := image(t, "patched")
	guesttest.Run(t, guesttest.Options{
		Kernel: im.Path, Mode: result.ICount, Run: "^TestInstructionsBesideC$", FS: []string{"ext4"},
		Files: []guest.File{{Path: golden.GuestProgram, Host: clayout.Decoder(t, channel)}},
	})
}

// Kernel runs the tests of the package in dir that match a pattern on a kernel of
// the whole series, or nearly.
func Kernel(t *testing.T, im *kernel.Image, dir, pattern string) {
	boot(t, im, dir, "patched", 1, pattern)
}

func run(t *testing.T, variant string, cpus int, pattern string) {
	t.Helper()
	boot(t, image(t, variant), "", variant, cpus, pattern)
}

func boot(t *testing.T, im *kernel.Image, dir, variant string, cpus int, pattern string) {
	t.Helper()
	guesttest.Run(t, guesttest.Options{
		Kernel: im.Path,
		Dir:    dir,
		Run:    pattern,
		CPUs:   cpus,
		Env: map[string]string{
			EXT4Env:    "/mnt/ext4",
			XFSEnv:     "/mnt/xfs",
			SamplesEnv: "/samples",
			VariantEnv: variant,
		},
		Files: programs(t, im),
	})
}

// image finds a built kernel.
func image(t *testing.T, variant string) *kernel.Image {
	t.Helper()
	if need.InGuest() {
		t.Skip("this is the host's side of the test")
	}
	if testing.Short() {
		t.Skip("boots a guest")
	}
	im, err := kernel.Find(t.Context(), kernel.Options{Variant: variant})
	if err != nil {
		need.Missing(t, "needs the %s kernel: %v", variant, err)
	}
	return im
}

// Series skips a test in a guest whose kernel lacks the series.
func Series(t testing.TB) {
	t.Helper()
	need.Guest(t)
	if os.Getenv(VariantEnv) == "stock" {
		t.Skip("needs a kernel with the series, this one is stock")
	}
}

// WholeSeries skips a test in a guest whose kernel has only the patches that leave
// the queue as mainline has it, or none.
func WholeSeries(t testing.TB) {
	t.Helper()
	need.Guest(t)
	if v := os.Getenv(VariantEnv); v != "patched" {
		t.Skipf("needs a kernel with the whole series, this one is %s", v)
	}
}

// lineBuffered makes a program write whole lines also into a pipe: the samples
// never end, so what stays in stdio's buffer is never seen.
//
//go:embed testdata/linebuffered.c
var lineBuffered []byte

// programs compiles the kernel's own readers from its source.
func programs(t *testing.T, im *kernel.Image) []guest.File {
	t.Helper()
	need.Programs(t, "cc")
	dir := t.TempDir()
	helper := filepath.Join(dir, "linebuffered.c")
	if err := os.WriteFile(helper, lineBuffered, 0o666); err != nil {
		t.Fatal(err)
	}
	var files []guest.File
	for _, src := range []string{"samples/fanotify/fs-monitor.c", "samples/watch_queue/watch_test.c"} {
		name := strings.TrimSuffix(filepath.Base(src), ".c")
		bin := filepath.Join(dir, name)
		cmd := exec.CommandContext(t.Context(), "cc", "-static", "-O2", "-isystem", im.Headers(), "-o", bin, im.File(src), helper)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
		files = append(files, guest.File{Path: "/samples/" + name, Host: bin})
	}
	return files
}
