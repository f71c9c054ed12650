// SPDX-License-Identifier: MIT

package patches_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"wqfan/bench/guest"
	"wqfan/bench/guest/guesttest"
	"wqfan/bench/kernel"
	"wqfan/internal/need"
)

// races is how long each race of TestDebug runs.
var races = flag.Duration("races", 0, "run all tests on the debug kernel, and each race for so long")

// testsDir is where the tests are in the guest.
const testsDir = "/selftests"

// The whole series passes its own tests. TestDebug has both filesystems and both
// numbers of CPUs; here that would take too long.
func TestPatched(t *testing.T) {
	im := image(t, kernel.Options{})
	tests := compile(t, im)
	for i, fs := range []string{"xfs", "ext4"} {
		t.Run(fmt.Sprintf("%s/cpus=%d", fs, i+1), func(t *testing.T) {
			boot(t, guesttest.Options{
				Kernel: im.Path, Run: "^TestGuestSelftests$", CPUs: i + 1, Files: tests, FS: []string{fs},
				Env: map[string]string{skippable: compat},
			})
		})
	}
}

// skippable names the tests that may be skipped.
const skippable = "WQFAN_SKIPPABLE"

const (
	counts = "watch_queue.counts" // in fdinfo, which has none without the series
	compat = "watch_queue.compat" // 32-bit calls, for which only kunit's and debug's kernels are configured
)

// Those who watch keys see no difference: the same program passes with the series
// (TestPatched) and without.
func TestOldUsers(t *testing.T) {
	boot(t, guesttest.Options{
		Kernel: image(t, kernel.Options{Variant: "stock"}).Path, Run: "^TestGuestSelftests$", CPUs: 2, FS: []string{"ext4"},
		Files: find(compile(t, image(t, kernel.Options{})), "watch_queue_test"),
		Env:   map[string]string{skippable: counts + " " + compat},
	})
}

// KUnit's tests pass, and those of 32-bit calls, which are possible there.
func TestKUnit(t *testing.T) {
	im := image(t, kernel.Options{Variant: "kunit"})
	boot(t, guesttest.Options{
		Kernel: im.Path, Run: "^TestGuest(KUnit|Selftests|Cgroup)$", FS: []string{"ext4"},
		Files: find(compile(t, im), "watch_queue_test"),
	})
}

// racesTable is what TestDebug found out, beside the patches.
const racesTable = "races.txt"

// Nothing that the kernel can find out about itself goes wrong, however long the
// races last.
func TestDebug(t *testing.T) {
	if *races == 0 {
		t.Skip("takes long: make races")
	}
	im := image(t, kernel.Options{Variant: "debug"})
	tests := compile(t, im)
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "make races RACETIME=%s\nLinux %s, %s, %d patches, series %s\n\n", *races, im.Release, im.Base, len(im.Patches), im.Series)
	fmt.Fprintln(w, "CPUs\tprogram/filesystem\ttests\tseconds\tresult")
	guests := []int{1, 4}
	ran := 0
	for _, cpus := range guests {
		reported := "no report from the kernel"
		if !t.Run(fmt.Sprintf("cpus=%d", cpus), func(t *testing.T) {
			ran++
			const number, filesystems = 8, 2
			boot(t, guesttest.Options{
				Kernel: im.Path, Run: "^TestGuest", CPUs: cpus, MemMiB: 1024, Files: tests,
				Env:     map[string]string{"FSERROR_RACE_MS": fmt.Sprint(races.Milliseconds())},
				Timeout: 30*time.Minute + number*filesystems*2**races,
				Say: func(_ string, lines []string) {
					for _, l := range lines {
						if _, l, ok := strings.Cut(l, ": program: "); ok {
							fmt.Fprintf(w, "%d\t%s\n", cpus, strings.ReplaceAll(l, " ", "\t"))
						}
					}
				},
			})
		}) {
			reported = "FAILED"
		}
		fmt.Fprintf(w, "%d\tall\t\t\t%s\n", cpus, reported)
	}
	w.Flush()
	t.Logf("\n%s", table.String())
	if ran < len(guests) { // -run has left one out
		return
	}
	if err := os.WriteFile(racesTable, table.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

// image finds a built kernel.
func image(t *testing.T, o kernel.Options) *kernel.Image {
	t.Helper()
	if need.InGuest() {
		t.Skip("this is the host's side of the test")
	}
	if testing.Short() {
		t.Skip("boots a guest")
	}
	im, err := kernel.Find(t.Context(), o)
	if err != nil {
		need.Missing(t, "needs the %s kernel: %v", o.Variant, err)
	}
	return im
}

// compile makes the selftests that an image's kernel has.
func compile(t *testing.T, im *kernel.Image) []guest.File {
	t.Helper()
	need.Programs(t, "cc")
	dir := t.TempDir()
	var files []guest.File
	root := im.File("tools/testing/selftests")
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.c") {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(path), ".c")
		bin := filepath.Join(dir, name)
		cmd := exec.CommandContext(t.Context(), "cc", "-static", "-O2", "-isystem", im.Headers(), "-I", root, "-o", bin, path)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", cmd, err, out)
		}
		files = append(files, guest.File{Path: filepath.Join(testsDir, name), Host: bin})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// scratch is the serial of the disk that tests may mount and spoil.
const scratch = "scratch"

// boot runs the guest's side of the tests.
func boot(t *testing.T, o guesttest.Options) {
	t.Helper()
	disk, err := guest.Image{FS: "ext4"}.Create(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o.Disks = []guest.Disk{{Image: disk, Serial: scratch}}
	guesttest.Run(t, o)
}

// The selftests pass on each filesystem.
func TestGuestSelftests(t *testing.T) {
	need.Guest(t)
	programs, err := filepath.Glob(testsDir + "/*")
	if err != nil || len(programs) == 0 {
		t.Fatalf("no programs in %s: %v", testsDir, err)
	}
	mounts, err := filepath.Glob("/mnt/*")
	if err != nil || len(mounts) == 0 {
		t.Fatalf("nothing is mounted: %v", err)
	}
	device, err := guest.FindDisk(scratch)
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		for _, dir := range mounts {
			name, tests, start, result := filepath.Base(program)+"/"+filepath.Base(dir), 0, time.Now(), "pass"
			if !t.Run(name, func(t *testing.T) {
				cmd := exec.CommandContext(t.Context(), program)
				cmd.Env = append(os.Environ(), "FSERROR_TEST_DIR="+dir, "FSERROR_SCRATCH_DEV="+device)
				out, err := cmd.CombinedOutput()
				tests = report(t, out)
				if err != nil {
					t.Errorf("%v: %v\n%s", cmd, err, out)
				}
			}) {
				result = "FAIL"
			}
			t.Logf("program: %s %d %.0f %s", name, tests, time.Since(start).Seconds(), result)
		}
	}
}

// KUnit's tests have passed while the kernel booted.
func TestGuestKUnit(t *testing.T) {
	need.Guest(t)
	for _, suite := range []string{"watch_queue", "fserror", "ext4_error_record"} {
		out, err := os.ReadFile("/sys/kernel/debug/kunit/" + suite + "/results")
		if suite == "watch_queue" && errors.Is(err, fs.ErrNotExist) {
			t.Skip("needs the kunit kernel")
		}
		if err != nil {
			t.Fatal(err)
		}
		report(t, out)
	}
}

// verdict is what KTAP has for a test: "ok 1 name # SKIP why". Names of KUnit's
// suites are indented less than those of their tests.
var verdict = regexp.MustCompile(`(?m)^\s*(not )?ok \d+ (?:- )?(\S+)(?:.*# (SKIP.*))?`)

// report makes subtests of KTAP, and returns their number; none of them may be
// skipped but those that are named.
func report(t *testing.T, ktap []byte) int {
	t.Helper()
	results := verdict.FindAllSubmatch(ktap, -1)
	for _, m := range results {
		t.Run(string(m[2]), func(t *testing.T) {
			switch {
			case m[3] != nil && slices.Contains(strings.Fields(os.Getenv(skippable)), string(m[2])):
				t.Skipf("%s", m[3])
			case m[1] != nil || m[3] != nil:
				t.Errorf("%s", m[0])
			}
		})
	}
	if len(results) == 0 || t.Failed() {
		t.Errorf("%d results:\n%s", len(results), bytes.TrimSpace(ktap))
	}
	return len(results)
}
