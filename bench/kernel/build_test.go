// SPDX-License-Identifier: MIT

package kernel

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

// patchedText is fs/fserror.c with both patches.
var patchedText = strings.NewReplacer("line 2\n", "line two\n", "line 30\n", "line thirty\n", "line 59\n", "line fifty-nine\n").Replace(fakeSource())

func TestBuildFromDirectory(t *testing.T) {
	ctx := t.Context()
	// What make inherits from a `make -n bench` must not reach the kernel's.
	t.Setenv("MAKEFLAGS", "n")
	t.Setenv("KBUILD_OUTPUT", "/nowhere")
	tree := fakeTree{}.write(t)
	before, err := listingHash(ctx, tree)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Source: tree, SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir()}

	if _, err := Find(ctx, o); !errors.Is(err, ErrNotBuilt) {
		t.Fatalf("Find before: %v, want ErrNotBuilt", err)
	}
	im, err := Build(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, im.Path); got != patchedText {
		t.Errorf("bzImage is not made of the patched source:\n%s", cmp.Diff(patchedText, got))
	}
	want := &Image{
		Variant: "patched", Release: "7.3.4-wqfan", Base: "7.3.4", Origin: tree, Source: before,
		Series: im.Series, Patches: []string{"0001-fserror-first.patch", "0002-fserror-second.patch"},
		Config: im.Config, CC: im.CC, Objects: 1, Built: im.Built, Seconds: im.Seconds, Path: im.Path,
		Size: int64(len(patchedText)), SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(patchedText))),
	}
	if d := cmp.Diff(want, im); d != "" {
		t.Errorf("image (-want +got):\n%s", d)
	}
	if len(im.Series) != 12 || len(im.Config) != 12 || !strings.Contains(im.CC, "gcc") {
		t.Errorf("series %q, config %q, compiler %q", im.Series, im.Config, im.CC)
	}
	for _, f := range []string{
		im.File("samples/fanotify/fs-monitor.c"), im.File("samples/watch_queue/watch_test.c"),
		im.File("tools/testing/selftests/watch_queue/test.c"),
		filepath.Join(im.Headers(), "linux", "watch_queue.h"),
		filepath.Join(im.Dir(), "config"), filepath.Join(im.Dir(), "System.map"), filepath.Join(im.Dir(), "build.log"),
	} {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
	if after, _ := listingHash(ctx, tree); after != before {
		t.Error("the user's tree was changed")
	}
	if l := leftovers(t, o.CacheDir, tmpDir, treesDir, sourcesDir, logsDir); len(l) > 0 {
		t.Errorf("left behind: %v", l)
	}

	// Again: from the cache, without a word.
	rec := &recorder{}
	o.Progress = rec
	again, err := Build(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(im, again); d != "" || len(rec.stages) > 0 {
		t.Errorf("second build: stages %v, image (-first +second):\n%s", rec.stages, d)
	}
	found, err := Find(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(im, found); d != "" {
		t.Errorf("Find (-built +found):\n%s", d)
	}

	// The stock kernel: same base and guest.config, no patch.
	o.Variant = "stock"
	stock, err := Build(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, stock.Path); got != fakeSource() {
		t.Errorf("the stock kernel is patched:\n%s", cmp.Diff(fakeSource(), got))
	}
	if stock.Series != "" || stock.Base != im.Base || stock.Release != "7.3.4-stock" || strings.Contains(readFile(t, filepath.Join(stock.Dir(), "config")), "FS_ERROR") {
		t.Errorf("stock image: %+v", stock)
	}
	images, err := List(o)
	if err != nil || len(images) != 2 {
		t.Errorf("List: %d images, %v", len(images), err)
	}

	// A change of the source is another kernel.
	o.Variant = ""
	writeFile(t, filepath.Join(tree, "fs", "new.c"), "int x;\n")
	if _, err := Find(ctx, o); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("Find after the source changed: %v, want ErrNotBuilt", err)
	}

	if err := Clean(o, true); err != nil {
		t.Fatal(err)
	}
	if l := leftovers(t, o.CacheDir, tmpDir, imagesDir, treesDir, sourcesDir, logsDir); len(l) > 0 {
		t.Errorf("Clean left %v", l)
	}
}

func TestBuildFromTarball(t *testing.T) {
	ctx := t.Context()
	o := Options{
		Source:    tarball(t, fakeTree{}.write(t), "linux-7.3.4.tar.xz"),
		SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir(), Upto: 1,
	}
	im, err := Build(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, im.Path); !strings.Contains(got, "line thirty") || strings.Contains(got, "fifty-nine") || len(im.Patches) != 1 {
		t.Errorf("with the first patch only: %v, source\n%s", im.Patches, got)
	}
	// The patched copy shares its files with the unpacked tree.
	kept := o.CacheDir + "/trees/" + im.Source[:12] + "/fs/fserror.c"
	if got := readFile(t, kept); got != fakeSource() {
		t.Errorf("the patch was written into the kept tree:\n%s", cmp.Diff(fakeSource(), got))
	}
	// All patches, from the same tree.
	o.Upto = 0
	rec := &recorder{}
	o.Progress = rec
	all, err := Build(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if all.Path == im.Path || readFile(t, all.Path) != patchedText {
		t.Error("the whole series gives the kernel of its first patch")
	}
	if slices.ContainsFunc(rec.stages, func(s string) bool { return strings.HasPrefix(s, "unpacking") }) {
		t.Errorf("unpacked twice: %v", rec.stages)
	}
}

// Inside a repository, git apply takes paths relative to it, and skips in
// silence what is elsewhere.
func TestBuildWithCacheInsideRepository(t *testing.T) {
	repo := t.TempDir()
	if out, err := (command{dir: repo}).output(t.Context(), "git", "init", "-q"); err != nil {
		t.Fatal(err, out)
	}
	im, err := Build(t.Context(), Options{
		Source: fakeTree{}.write(t), SeriesDir: fakeSeries(t, nil), CacheDir: filepath.Join(repo, "cache"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if readFile(t, im.Path) != patchedText {
		t.Error("the series was not applied")
	}
}

func TestTwoBuildsAtOnce(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	o := Options{
		Source:    fakeTree{before: "echo built >>" + count + "; sleep 0.3"}.write(t),
		SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir(),
	}
	var wg sync.WaitGroup
	paths := make([]string, 4)
	for i := range paths {
		wg.Go(func() {
			im, err := Build(t.Context(), o)
			if err != nil {
				t.Error(err)
				return
			}
			paths[i] = im.Path
		})
	}
	wg.Wait()
	if got := readFile(t, count); got != "built\n" {
		t.Errorf("built %d times", strings.Count(got, "\n"))
	}
	for _, p := range paths {
		if p != paths[0] {
			t.Errorf("different images: %v", paths)
		}
	}
}

// Several kernels are made in one tree, and are those that each alone would be.
func TestBuildAll(t *testing.T) {
	rec := &recorder{}
	o := Options{
		Source: fakeTree{}.write(t), CacheDir: t.TempDir(), Progress: rec,
		SeriesDir: fakeSeries(t, map[string]string{"config/kunit.config": "CONFIG_KUNIT=y\n"}),
	}
	names := []string{"kunit", "stock", "patched"}
	images, err := BuildAll(t.Context(), o, names...)
	if err != nil {
		t.Fatal(err)
	}
	copies := slices.DeleteFunc(slices.Clone(rec.stages), func(s string) bool { return !strings.HasPrefix(s, "copying ") })
	if len(copies) != 1 {
		t.Errorf("stages: %v: one copy of the source is enough", rec.stages)
	}
	o.CacheDir = t.TempDir()
	for i, name := range names {
		o.Variant = name
		alone, err := Build(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(alone, images[i], cmpopts.IgnoreFields(Image{}, "Path", "Built", "Seconds")); d != "" {
			t.Errorf("%s (-alone +in one tree):\n%s", name, d)
		}
		if filepath.Base(alone.Dir()) != filepath.Base(images[i].Dir()) {
			t.Errorf("%s: %s alone, %s in one tree", name, alone.Dir(), images[i].Dir())
		}
	}
}

// What was built before an error stays.
func TestBuildAllFails(t *testing.T) {
	o := Options{
		Source: fakeTree{}.write(t), CacheDir: t.TempDir(),
		SeriesDir: fakeSeries(t, map[string]string{"0002-fserror-second.patch": strings.ReplaceAll(fakePatch2, "line 5", "line 4")}),
	}
	_, err := BuildAll(t.Context(), o, "patched", "stock")
	if _, ok := errors.AsType[*ApplyError](err); !ok {
		t.Errorf("error %v, want *ApplyError", err)
	}
	o.Variant = "stock"
	if _, err := Find(t.Context(), o); err != nil {
		t.Error(err)
	}
	if l := leftovers(t, o.CacheDir, tmpDir); len(l) > 0 {
		t.Errorf("left behind: %v", l)
	}
}

func TestSourceThatIsNone(t *testing.T) {
	noKernel := t.TempDir()
	writeFile(t, filepath.Join(noKernel, "Makefile"), "all:\n")
	half := fakeTree{}.write(t)
	os.Remove(filepath.Join(half, "Kconfig"))
	old := fakeTree{version: "6.12"}.write(t)
	text := filepath.Join(t.TempDir(), "linux-7.3.tar.xz")
	writeFile(t, text, "no tarball")
	whole, err := os.ReadFile(tarball(t, fakeTree{}.write(t), "linux-7.3.tar.xz"))
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "linux-7.3.tar.xz")
	writeFile(t, cut, string(whole[:len(whole)/2]))

	fifo := filepath.Join(t.TempDir(), "fifo")
	badMake := filepath.Join(t.TempDir(), "tree")
	if err := errors.Join(unix.Mkfifo(fifo, 0o600), os.Mkdir(badMake, 0o700), unix.Mkfifo(filepath.Join(badMake, "Makefile"), 0o600)); err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct {
		name, source, want string
		as                 any
	}{
		{"FIFO", fifo, "neither a directory nor a regular file", new(*SourceError)},
		{"device", "/dev/zero", "neither a directory nor a regular file", new(*SourceError)},
		{"Makefile is a FIFO", badMake, "not a regular file", new(*SourceError)},
		{"not there", filepath.Join(noKernel, "nowhere"), "no such file or directory", new(*os.PathError)},
		{"empty directory", t.TempDir(), "no Makefile", new(*SourceError)},
		{"other project", noKernel, "names no VERSION", new(*SourceError)},
		{"half a tree", half, "no Kconfig", new(*SourceError)},
		{"other version", old, "Linux 6.12.4", new(*VersionError)},
		{"tarball of another version", tarball(t, old, "linux-6.12.tar.xz"), "Linux 6.12.4", new(*VersionError)},
		{"tarball of another project", tarball(t, noKernel, "other.tar.xz"), "names no VERSION", new(*SourceError)},
		{"text", text, "is damaged", new(*damagedError)},
		{"truncated", cut, "is damaged", new(*damagedError)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Source: tt.source, SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir()}
			_, err := Build(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.source) {
				t.Fatalf("error %v, want %q and the path", err, tt.want)
			}
			if !asAny(err, tt.as) {
				t.Errorf("error is a %T, want %T", err, tt.as)
			}
			if l := leftovers(t, o.CacheDir, tmpDir, imagesDir, treesDir); len(l) > 0 {
				t.Errorf("left behind: %v", l)
			}
		})
	}
}

func asAny(err error, target any) bool {
	switch t := target.(type) {
	case **os.PathError:
		return errors.As(err, t)
	case **SourceError:
		return errors.As(err, t)
	case **VersionError:
		return errors.As(err, t)
	case **damagedError:
		return errors.As(err, t)
	}
	return false
}

func TestOtherMinorIsAnnounced(t *testing.T) {
	rec := &recorder{}
	_, err := Build(t.Context(), Options{
		Source: fakeTree{version: "7.5"}.write(t), SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir(), Progress: rec,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(rec.notes) != 1 || !strings.Contains(rec.notes[0], "7.5.4") {
		t.Errorf("notes %q, want one about 7.5.4", rec.notes)
	}
}

func TestPatchThatDoesNotApply(t *testing.T) {
	moved := strings.Replace(fakeSource(), "line 30\n", "line thirty, but upstream\n", 1)
	for _, tt := range []struct {
		name   string
		source string
		extra  map[string]string
		want   ApplyError
	}{
		{"a hunk", moved, nil,
			ApplyError{Patch: "0001-fserror-first.patch", File: "fs/fserror.c", Hunk: 2, Line: 28, Why: "the lines it changes are not there"}},
		{"a file", "", map[string]string{"0002-fserror-second.patch": strings.ReplaceAll(fakePatch2, "fs/fserror.c", "fs/gone.c")},
			ApplyError{Patch: "0002-fserror-second.patch", File: "fs/gone.c", Why: "No such file or directory"}},
		{"a file that is there", "", map[string]string{"0002-fserror-second.patch": strings.ReplaceAll(fakePatch2, "watch_queue/test.c", "watch_queue/Makefile")},
			ApplyError{Patch: "0002-fserror-second.patch", File: "tools/testing/selftests/watch_queue/Makefile", Why: "already exists in working directory"}},
		{"a cut patch", "", map[string]string{"0001-fserror-first.patch": fakePatch1[:len(fakePatch1)-20]},
			ApplyError{Patch: "0001-fserror-first.patch", Why: "corrupt patch"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Source: fakeTree{source: tt.source}.write(t), SeriesDir: fakeSeries(t, tt.extra), CacheDir: t.TempDir()}
			_, err := Build(t.Context(), o)
			got, ok := errors.AsType[*ApplyError](err)
			if !ok {
				t.Fatalf("error %v (%T), want *ApplyError", err, err)
			}
			tt.want.Base = "Linux 7.3.4"
			if strings.HasPrefix(got.Why, tt.want.Why) { // where it is, versions of git say differently
				got.Why = tt.want.Why
			}
			if d := cmp.Diff(tt.want, *got); d != "" {
				t.Errorf("error (-want +got):\n%s", d)
			}
			if l := leftovers(t, o.CacheDir, tmpDir, imagesDir); len(l) > 0 {
				t.Errorf("left behind: %v", l)
			}
		})
	}
}

func TestDroppedOption(t *testing.T) {
	o := Options{Source: fakeTree{}.write(t), CacheDir: t.TempDir(), SeriesDir: fakeSeries(t, map[string]string{
		"config/guest.config": "CONFIG_SMP=y\nCONFIG_GONE_ONE=y\n# CONFIG_GONE_NO is not set\n",
	})}
	_, err := Build(t.Context(), o)
	got, ok := errors.AsType[*DroppedError](err)
	if !ok {
		t.Fatalf("error %v, want *DroppedError", err)
	}
	if d := cmp.Diff([]Dropped{{"CONFIG_GONE_ONE", "y", "n"}}, got.Options); d != "" {
		t.Errorf("options (-want +got):\n%s", d)
	}
	// An option of the whole series may be unknown to a part of it.
	o.SeriesDir = fakeSeries(t, map[string]string{"config/series.config": "CONFIG_GONE_WATCH=y\n"})
	if _, err := Build(t.Context(), o); err == nil {
		t.Error("the whole series builds without an option of series.config")
	}
	o.Upto = 1
	if _, err := Build(t.Context(), o); err != nil {
		t.Errorf("the first patch alone: %v", err)
	}
}

func TestFailedBuildShowsFirstError(t *testing.T) {
	o := Options{CacheDir: t.TempDir(), SeriesDir: fakeSeries(t, nil), Source: fakeTree{
		before: `echo "  CC      fs/a.o"; echo "fs/a.c:3:5: error: 'x' undeclared"; echo "    3 | x = 1;"; echo "fs/b.c:9:1: error: second"; seq 1000; false`,
	}.write(t)}
	_, err := Build(t.Context(), o)
	got, ok := errors.AsType[*BuildError](err)
	if !ok {
		t.Fatalf("error %v (%T), want *BuildError", err, err)
	}
	if len(got.Lines) == 0 || got.Lines[0] != "fs/a.c:3:5: error: 'x' undeclared" {
		t.Errorf("shows %q, want the first error first", got.Lines)
	}
	if n := strings.Count(err.Error(), "\n"); n > 6 {
		t.Errorf("the error has %d lines", n)
	}
	if log := readFile(t, got.Log); !strings.Contains(log, "\n1000\n") || !strings.Contains(err.Error(), got.Log) {
		t.Error("the log is not whole, or not named")
	}
	if l := leftovers(t, o.CacheDir, tmpDir, imagesDir); len(l) > 0 {
		t.Errorf("left behind: %v", l)
	}
}

// An image that has not what was linked in it is none.
func TestOtherPayload(t *testing.T) {
	o := Options{CacheDir: t.TempDir(), SeriesDir: fakeSeries(t, nil), Source: fakeTree{before: "touch fs/stale.c"}.write(t)}
	if im, err := Build(t.Context(), o); err == nil || !strings.Contains(err.Error(), "another kernel in it than the one that was linked") {
		t.Errorf("%+v, %v", im, err)
	}
	if im, err := Find(t.Context(), o); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("it was kept: %+v, %v", im, err)
	}
}

func TestInterrupt(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	o := Options{CacheDir: t.TempDir(), SeriesDir: fakeSeries(t, nil), Source: fakeTree{
		// The second one would not stop when asked to.
		before: "sleep 1000 & echo $$! >>" + pids + "; (trap '' TERM; sleep 1001) & echo $$! >>" + pids + "; echo $$$$ >>" + pids + "; wait",
	}.write(t)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for {
			if data, _ := os.ReadFile(pids); strings.Count(string(data), "\n") == 3 {
				cancel()
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	_, err := Build(ctx, o)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want context.Canceled", err)
	}
	if l := leftovers(t, o.CacheDir, tmpDir, imagesDir); len(l) > 0 {
		t.Errorf("left behind: %v", l)
	}
	for _, p := range strings.Fields(readFile(t, pids)) {
		if alive(t, p) {
			t.Errorf("process %s still runs", p)
		}
	}
	if _, err := Find(t.Context(), o); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("Find: %v, want ErrNotBuilt", err)
	}
}

// alive tells whether a process runs; one that ended and that nobody has
// waited for does not.
func alive(t *testing.T, pid string) bool {
	t.Helper()
	if _, err := strconv.Atoi(pid); err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// What a killed process left is removed by the next build; what a living one
// works on is not.
func TestSweep(t *testing.T) {
	o := Options{Source: fakeTree{}.write(t), SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir()}
	c := cache{o.CacheDir}
	if err := c.make(); err != nil {
		t.Fatal(err)
	}
	writeFile(t, c.path(tmpDir, "image-dead", "entry", "image.json"), "{}")
	writeFile(t, c.path(tmpDir, "image-live", "entry", "bzImage"), "half")
	unlock, err := c.lock(t.Context(), "image-live", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := Build(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"tmp/image-live"}, leftovers(t, o.CacheDir, tmpDir)); d != "" {
		t.Errorf("tmp (-want +got):\n%s", d)
	}
	if _, err := c.lock(t.Context(), "image-live", nil); !errors.Is(err, errBusy) {
		t.Errorf("second lock: %v, want errBusy", err)
	}
}

func TestNoCompiler(t *testing.T) {
	onlyTools(t, "git", "tar", "sh")
	_, err := Build(t.Context(), Options{Source: fakeTree{}.write(t), SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir()})
	got, ok := errors.AsType[*MissingError](err)
	if !ok {
		t.Fatalf("error %v, want *MissingError", err)
	}
	var names []string
	for _, tool := range got.Tools {
		names = append(names, tool.Name)
	}
	want := []string{"gcc", "ld", "make", "flex", "bison", "bc", "perl", "xz", "<gelf.h>", "<stdlib.h>"}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("missing (-want +got):\n%s", d)
	}
	for _, s := range []string{"apt-get install --no-install-recommends gcc ", "xz-utils", "elfutils-libelf-devel", "pacman -S", "wqfan run --kernel"} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
}

// What is built already needs no compiler.
func TestNoCompilerButAnImage(t *testing.T) {
	rec := &recorder{}
	o := Options{Source: fakeTree{}.write(t), SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir(), Progress: rec}
	onlyTools(t, buildTools...)
	want, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	// Two more compilers; the second is the newer entry, and damaged.
	for i, damage := range []string{"", "x"} {
		bin := onlyTools(t, buildTools...)
		gcc := filepath.Join(bin, "gcc")
		real, err := os.Readlink(gcc)
		if err != nil {
			t.Fatal(err)
		}
		os.Remove(gcc)
		writeFile(t, gcc, fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = --version ]; then echo gcc %d; else exec %s \"$@\"; fi\n", i, real))
		im, err := Build(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		im.Built = want.Built.Add(time.Hour)
		if err := writeJSON(filepath.Join(im.Dir(), "image.json"), im); err != nil {
			t.Fatal(err)
		}
		if damage == "" {
			want = im
			continue
		}
		writeFile(t, im.Path, readFile(t, im.Path)[:len(patchedText)-1]+damage)
	}

	onlyTools(t, "git", "tar", "sh")
	for name, get := range map[string]func(context.Context, Options) (*Image, error){"Build": Build, "Find": Find} {
		rec.notes = nil
		im, err := get(t.Context(), o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, im); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if d := cmp.Diff([]string{"no gcc here: taking the kernel that gcc 0 compiled"}, rec.notes); d != "" {
			t.Errorf("%s: notes (-want +got):\n%s", name, d)
		}
	}
	// Another series, configuration, variant or source is another kernel.
	for name, change := range map[string]func(*Options){
		"series": func(o *Options) { o.Upto = 1 },
		"config": func(o *Options) {
			o.SeriesDir = fakeSeries(t, map[string]string{"config/guest.config": "CONFIG_SMP=y\n"})
		},
		"variant": func(o *Options) { o.Variant = "stock" },
		"source":  func(o *Options) { o.Source = fakeTree{}.write(t) },
	} {
		o := o
		change(&o)
		if im, err := Find(t.Context(), o); !errors.Is(err, ErrNotBuilt) {
			t.Errorf("another %s: %+v, %v, want ErrNotBuilt", name, im, err)
		}
		if _, err := Build(t.Context(), o); !asMissing(err) {
			t.Errorf("another %s: %v, want *MissingError", name, err)
		}
	}
}

func asMissing(err error) bool {
	_, ok := errors.AsType[*MissingError](err)
	return ok
}

// A damaged entry does not count, is made again, and does not hide the others.
func TestDamagedImage(t *testing.T) {
	rec := &recorder{}
	o := Options{Source: fakeTree{}.write(t), SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir(), Progress: rec}
	im, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	other := o
	other.Variant = "stock"
	if _, err := Build(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(im.Dir(), "image.json")
	for _, tt := range []struct {
		name, file, text string
		listed           bool // List does not read the bzImage
	}{
		{"truncated", im.Path, patchedText[:100], false},
		{"empty", im.Path, "", false},
		{"other content", im.Path, strings.Repeat("x", len(patchedText)), true},
		{"broken record", record, `{"variant": "patc`, false},
		{"empty record", record, `{}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			writeFile(t, tt.file, tt.text)
			if _, err := Find(t.Context(), o); !errors.Is(err, ErrNotBuilt) || !strings.Contains(err.Error(), im.Dir()+" is damaged") {
				t.Errorf("Find: %v, want ErrNotBuilt and what is damaged", err)
			}
			rec.notes = nil
			images, err := List(o)
			if err != nil || len(images) != 1 && !tt.listed || len(rec.notes) != 1 && !tt.listed {
				t.Errorf("List: %d images, %v, notes %q", len(images), err, rec.notes)
			}
			rec.notes = nil
			again, err := Build(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if again.Path != im.Path || readFile(t, im.Path) != patchedText {
				t.Error("it is not made again")
			}
			if len(rec.notes) != 1 || !strings.Contains(rec.notes[0], "is damaged") {
				t.Errorf("notes %q", rec.notes)
			}
		})
	}

	// An entry from before there were hashes counts.
	old := *im
	old.Size, old.SHA256 = 0, ""
	if err := writeJSON(record, old); err != nil {
		t.Fatal(err)
	}
	writeFile(t, im.Path, "other")
	if got, err := Find(t.Context(), o); err != nil || cmp.Diff(&old, got) != "" {
		t.Errorf("an old entry: %+v, %v", got, err)
	}
}

func TestNoSpace(t *testing.T) {
	c := cache{t.TempDir()}
	if err := c.room("x", 1<<60); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("room for an exabyte: %v", err)
	}
	for _, err := range []error{
		c.noSpace("x", &os.PathError{Op: "write", Path: "y", Err: unix.ENOSPC}, ""),
		c.noSpace("x", errors.New("exit status 2"), "tar: write error: No space left on device\n"),
	} {
		if _, ok := errors.AsType[*SpaceError](err); !ok || !strings.Contains(err.Error(), c.dir) {
			t.Errorf("%v is no *SpaceError that names the cache", err)
		}
	}
	if err := errors.New("exit status 2"); c.noSpace("x", err, "fs/a.c: error: y") != err {
		t.Error("another error became one of space")
	}

	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("mounting a tmpfs needs root")
		}
		t.Skip("mounting a tmpfs needs root")
	}
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(small, unix.MNT_DETACH)
	o := Options{Source: fakeTree{}.write(t), SeriesDir: fakeSeries(t, nil), CacheDir: small}
	_, err := Build(t.Context(), o)
	if e, ok := errors.AsType[*SpaceError](err); !ok || e.Need != room.compile {
		t.Errorf("too small from the start: %v", err)
	}
	// It fills up on the way: by the compiler.
	defer func(r int64) { room.tree, room.compile = r, r }(room.tree)
	room.tree, room.compile = 1, 1
	o.Source = fakeTree{before: "dd if=/dev/zero of=$(O)/big bs=1k"}.write(t)
	_, err = Build(t.Context(), o)
	if e, ok := errors.AsType[*SpaceError](err); !ok || e.Need != 0 {
		t.Errorf("full on the way: %v (%T)", err, err)
	}
	if l := leftovers(t, small, tmpDir, imagesDir); len(l) > 0 {
		t.Errorf("left behind: %v", l)
	}
}

// A tarball in the cache that is not what was fetched is fetched again.
func TestAlteredTarball(t *testing.T) {
	onlyTools(t, buildTools...)
	tar := tarball(t, fakeTree{}.write(t), "linux-7.3.4.tar.xz")
	sum, err := fileHash(tar)
	if err != nil {
		t.Fatal(err)
	}
	fetched := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched++
		http.ServeFile(w, r, tar)
	}))
	defer srv.Close()
	rec := &recorder{}
	o := Options{SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir(), Progress: rec}

	_, err = Build(t.Context(), o)
	if e, ok := errors.AsType[*UnavailableError](err); !ok || len(e.Tried) != 2 || !strings.Contains(err.Error(), envSum) || !strings.Contains(err.Error(), "apt-get") {
		t.Fatalf("nothing to fetch from: %v", err)
	}

	t.Setenv(envURL, srv.URL+"/linux-7.3.4.tar.xz")
	t.Setenv(envSum, strings.Repeat("0", 64))
	if _, err = Build(t.Context(), o); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Fatalf("a tarball with another checksum: %v", err)
	}
	t.Setenv(envSum, strings.ToUpper(sum))
	im, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if im.Base != "7.3.4" || im.Source != sum || fetched != 2 {
		t.Fatalf("image %+v after %d downloads", im, fetched)
	}

	for _, damage := range []func(string) error{
		func(f string) error { return os.Truncate(f, 1000) },
		func(f string) error { return os.WriteFile(f, []byte("something else"), 0o644) },
	} {
		if err := Clean(o, false); err != nil {
			t.Fatal(err)
		}
		if err := damage(filepath.Join(o.CacheDir, sourcesDir, "linux-7.3.4.tar.xz")); err != nil {
			t.Fatal(err)
		}
		before := fetched
		again, err := Build(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if fetched != before+1 || again.Source != sum {
			t.Errorf("%d downloads, source %s", fetched-before, again.Source)
		}
		if n := rec.notes[len(rec.notes)-1]; !strings.Contains(n, "is damaged") {
			t.Errorf("said %q", n)
		}
	}
}

// fakeApt puts an apt into PATH that has the packages given, each a tarball.
func fakeApt(t *testing.T, bin string, packages map[string]string) (log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "log")
	var names, show, download strings.Builder
	for name, tar := range packages {
		fmt.Fprintln(&names, name)
		fmt.Fprintf(&show, "%s) printf 'Package: %s\\nVersion: %s.4-1\\nSize: 1000\\n';;\n", name, name, strings.TrimPrefix(name, "linux-source-"))
		fmt.Fprintf(&download, "%s) cp %s %s_1_all.deb;;\n", name, tar, name)
	}
	script := "#!/bin/sh\necho \"$0 $*\" >>" + log + `
while [ "${1#-}" != "$1" ]; do shift; done
for last; do :; done
case $1 in
indextargets) printf 'http://archive.example/debian/\tbookworm\tmain\nhttp://other.example/\tstable\tcontrib\n';;
update) ;;
pkgnames) echo "` + names.String() + `linux-source-6.12";;
show) case $last in ` + show.String() + `esac;;
download) case $last in ` + download.String() + `esac;;
esac
`
	writeFile(t, filepath.Join(bin, "apt-get"), script)
	writeFile(t, filepath.Join(bin, "apt-cache"), script)
	writeFile(t, filepath.Join(bin, "dpkg-deb"), "#!/bin/sh\nd=$3/usr/src; mkdir -p $d; n=${2##*/}; cp $2 $d/${n%%_*}.tar.xz\n")
	return log
}

func TestDebian(t *testing.T) {
	good := tarball(t, fakeTree{}.write(t), "a.tar.xz")
	good4 := tarball(t, fakeTree{version: "7.4"}.write(t), "b.tar.xz")
	bad5 := tarball(t, fakeTree{version: "7.5", source: strings.ReplaceAll(fakeSource(), "line 30", "gone")}.write(t), "c.tar.xz")
	for _, tt := range []struct {
		name     string
		packages map[string]string
		base     string
		notes    []string
		patch    string // of the ApplyError
	}{
		{"7.3 before newer ones", map[string]string{"linux-source-7.3": good, "linux-source-7.5": bad5}, "7.3.4 (Debian 7.3.4-1)", nil, ""},
		{"newest that the series applies to", map[string]string{"linux-source-7.4": good4, "linux-source-7.5": bad5}, "7.4.4 (Debian 7.4.4-1)", []string{
			"Debian has no linux-source-7.3: trying linux-source-7.5",
			"Debian has no linux-source-7.3: trying linux-source-7.4",
			"the series applies to 7.4.4 (Debian 7.4.4-1), which is used in place of 7.3",
			"building on Linux 7.4.4 (Debian 7.4.4-1): the series is made for 7.3",
		}, ""},
		{"none that it applies to", map[string]string{"linux-source-7.5": bad5}, "", nil, "0001-fserror-first.patch"},
		{"none at all", nil, "", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bin := onlyTools(t, buildTools...)
			log := fakeApt(t, bin, tt.packages)
			rec := &recorder{}
			o := Options{Variant: "stock", SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir(), Progress: rec}
			im, err := Build(t.Context(), o)
			if l := leftovers(t, o.CacheDir, tmpDir); len(l) > 0 {
				t.Errorf("left behind: %v", l)
			}
			if tt.base == "" {
				if _, ok := errors.AsType[*UnavailableError](err); !ok {
					t.Fatalf("error %v, want *UnavailableError", err)
				}
				e, ok := errors.AsType[*ApplyError](err)
				if ok != (tt.patch != "") || ok && (e.Patch != tt.patch || e.Hunk != 2) {
					t.Errorf("error %v, want patch %q", err, tt.patch)
				}
				if l := leftovers(t, o.CacheDir, sourcesDir, treesDir); len(l) > 0 {
					t.Errorf("kept what the series does not apply to: %v", l)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if im.Base != tt.base {
				t.Errorf("base %q, want %q", im.Base, tt.base)
			}
			if d := cmp.Diff(tt.notes, rec.notes); d != "" {
				t.Errorf("notes (-want +got):\n%s", d)
			}
			for l := range strings.Lines(readFile(t, log)) {
				if !strings.Contains(l, "indextargets") && !strings.Contains(l, "-oDir::State::lists="+o.CacheDir) {
					t.Errorf("apt works on the system's lists: %s", l)
				}
			}
			// The next kernel needs no apt.
			before := readFile(t, log)
			o.Variant = "patched"
			if _, err := Build(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if readFile(t, log) != before {
				t.Error("apt was asked again")
			}
		})
	}
}
