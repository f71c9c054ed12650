// SPDX-License-Identifier: MIT

package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	room.source, room.tree, room.compile = 1<<20, 1<<20, 1<<20
	for _, k := range []string{"KSRC", "WQFAN_CACHE", envURL, envSum} {
		os.Unsetenv(k)
	}
	os.Exit(m.Run())
}

// fakeMakefile stands in for kbuild: its bzImage is the text of the one source
// file, its olddefconfig knows every option but those of CONFIG_GONE_*. The
// line %[3]s is run by the object's target, and first by bzImage's.
const fakeMakefile = `# SPDX-License-Identifier: GPL-2.0
VERSION = %[1]s
PATCHLEVEL = %[2]s
SUBLEVEL = 4
EXTRAVERSION =
NAME = Fake

tinyconfig:
	@mkdir -p $(O)
	@echo '# CONFIG_SMP is not set' >$(O)/.config

olddefconfig:
	@grep -v CONFIG_GONE $(O)/.config >$(O)/.new
	@mv $(O)/.new $(O)/.config

bzImage:
	@%[3]s
	@echo '  CC      fs/fserror.o'
	@mkdir -p $(O)/arch/x86/boot/compressed $(O)/include/config
	@cp fs/fserror.c $(O)/arch/x86/boot/bzImage
	@cp fs/fserror.c $(O)/arch/x86/boot/compressed/vmlinux.bin.gz
	@test ! -e fs/stale.c || echo other >$(O)/arch/x86/boot/compressed/vmlinux.bin.gz
	@echo map >$(O)/System.map
	@echo 7.3.4$(LOCALVERSION) >$(O)/include/config/kernel.release

fs/fserror.o: # make has a rule for it that would be used
	@%[3]s

headers:
	@mkdir -p $(O)/usr/include/linux
	@echo '/* header */' >$(O)/usr/include/linux/watch_queue.h
	@echo no >$(O)/usr/include/linux/.install
`

// fakeMerge stands in for merge_config.sh -m -O DIR CONFIG FRAGMENT...: the
// last word on an option counts.
const fakeMerge = `#!/bin/sh
out=$3 base=$4
shift 4
cat "$base" "$@" | tac | awk '{n=$0; sub(/^# /,"",n); sub(/[ =].*/,"",n)} n ~ /^CONFIG_/ && !(n in seen) {seen[n]=1; print}' >"$out/.merged"
mv "$out/.merged" "$out/.config"
`

// fakeSource has three places to patch, far enough apart for hunks of their own.
func fakeSource() string {
	var b strings.Builder
	for i := 1; i <= 60; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String()
}

type fakeTree struct {
	version string // "7.3"
	before  string // shell, run by make bzImage
	source  string // fs/fserror.c
}

// write makes a tree and returns its directory.
func (f fakeTree) write(t *testing.T) string {
	t.Helper()
	if f.version == "" {
		f.version = "7.3"
	}
	if f.before == "" {
		f.before = ":"
	}
	if f.source == "" {
		f.source = fakeSource()
	}
	major, minor, _ := strings.Cut(f.version, ".")
	dir := filepath.Join(t.TempDir(), "linux-"+f.version)
	files := map[string]string{
		"Makefile":                                     fmt.Sprintf(fakeMakefile, major, minor, f.before),
		"Kconfig":                                      "\n",
		"fs/fserror.c":                                 f.source,
		"fs/xfs/libxfs/xfs_fs.h":                       "/* header */\n",
		"scripts/kconfig/merge_config.sh":              fakeMerge,
		"samples/fanotify/fs-monitor.c":                "int main(void) { return 0; }\n",
		"samples/watch_queue/watch_test.c":             "int main(void) { return 1; }\n",
		"tools/testing/selftests/kselftest.h":          "\n",
		"tools/testing/selftests/kselftest_harness.h":  "\n",
		"drivers/built.o":                              "left by a build inside the tree",
		"include/config/auto.conf":                     "left by a build inside the tree",
		"Documentation/core-api/watch_queue.rst":       "text\n",
		"include/uapi/linux/watch_queue.h":             "/* header */\n",
		"tools/testing/selftests/watch_queue/Makefile": "\n",
	}
	for name, text := range files {
		writeFile(t, filepath.Join(dir, name), text)
	}
	return dir
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// tarball packs a tree the way kernel tarballs are.
func tarball(t *testing.T, tree, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("tar", "-cJf", file, "-C", filepath.Dir(tree), filepath.Base(tree)).CombinedOutput()
	if err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	return file
}

// Two patches on the fake source; the second creates a file too.
const fakePatch1 = `From: wqfan project <wqfan@example.org>
Subject: [PATCH 1/2] fserror: first

---
diff --git a/fs/fserror.c b/fs/fserror.c
--- a/fs/fserror.c
+++ b/fs/fserror.c
@@ -1,4 +1,4 @@
 line 1
-line 2
+line two
 line 3
 line 4
@@ -28,5 +28,5 @@ line 27
 line 28
 line 29
-line 30
+line thirty
 line 31
 line 32
`

const fakePatch2 = `From: wqfan project <wqfan@example.org>
Subject: [PATCH 2/2] fserror: second

---
diff --git a/fs/fserror.c b/fs/fserror.c
--- a/fs/fserror.c
+++ b/fs/fserror.c
@@ -57,4 +57,4 @@ line 56
 line 57
 line 58
-line 59
+line fifty-nine
 line 60
diff --git a/tools/testing/selftests/watch_queue/test.c b/tools/testing/selftests/watch_queue/test.c
new file mode 100644
--- /dev/null
+++ b/tools/testing/selftests/watch_queue/test.c
@@ -0,0 +1 @@
+int main(void) { return 2; }
`

// fakeSeries writes a series; extra replaces or adds files.
func fakeSeries(t *testing.T, extra map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"0000-cover-letter.patch":   "Subject: [PATCH 0/2] nothing to apply\n",
		"0001-fserror-first.patch":  fakePatch1,
		"0002-fserror-second.patch": fakePatch2,
		"config/guest.config":       "# what the guest needs\nCONFIG_SMP=y\n# CONFIG_SWAP is not set\nCONFIG_LOG_BUF_SHIFT=18\n",
		"config/series.config":      "CONFIG_FS_ERROR_WATCH=y\n",
	}
	for name, text := range extra {
		files[name] = text
	}
	for name, text := range files {
		writeFile(t, filepath.Join(dir, name), text)
	}
	return dir
}

// onlyTools makes PATH hold nothing but the named programs.
func onlyTools(t *testing.T, names ...string) (bin string) {
	t.Helper()
	bin = t.TempDir()
	for _, n := range names {
		path, err := exec.LookPath(n)
		if err != nil {
			t.Fatalf("%v: the machine lacks what kernels are built with", err)
		}
		if err := os.Symlink(path, filepath.Join(bin, n)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	return bin
}

// buildTools are what a fake build needs: everything but apt.
var buildTools = []string{
	"gcc", "as", "ld", "make", "flex", "bison", "bc", "perl", "git", "tar", "xz", "sh",
	"cat", "tac", "awk", "grep", "mv", "cp", "mkdir", "echo", "sleep", "touch",
}

// recorder keeps what it hears.
type recorder struct {
	stages, notes []string
	onStage       func(string)
}

func (r *recorder) Stage(name string) {
	if name != "" && (len(r.stages) == 0 || r.stages[len(r.stages)-1] != name) {
		r.stages = append(r.stages, name)
		if r.onStage != nil {
			r.onStage(name)
		}
	}
}
func (r *recorder) Step(int, int, string, bool) {}
func (r *recorder) Note(text string)            { r.notes = append(r.notes, text) }

// leftovers lists what is below the cache's folders that should be empty, or
// hold finished entries only.
func leftovers(t *testing.T, cacheDir string, folders ...string) []string {
	t.Helper()
	var names []string
	for _, f := range folders {
		entries, err := os.ReadDir(filepath.Join(cacheDir, f))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, f+"/"+e.Name())
		}
	}
	return names
}
