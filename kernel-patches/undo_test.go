// SPDX-License-Identifier: MIT

package patches_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wqfan/bench/guest/guesttest"
	"wqfan/bench/kernel"
	"wqfan/internal/inguest"
	patches "wqfan/kernel-patches"
)

// undone says what is noticed when the point of a patch is taken back from the
// whole series: for those whose behaviour nobody can see before later patches,
// and for bugs of the past. A patch of test/undo is named by its beginning.
var undone = []struct {
	undo    string
	variant string
	test    string // "program test", "kunit test", "cgroup test", "wq test", "cost what", "selinux" or "smack"
	why     string // what it says then
}{
	{"0001", "patched", "fserror_watch_test context", "kernel BUG at kernel/irq_work.c"},
	{"0004", "patched", "fanotify_error_test merge_full", "not ok"},
	{"0006", "patched", "fserror_race_test add_remove", "not ok"},
	{"0019", "patched", "fanotify_error_test record", "not ok"},
	{"0020", "patched", "wq ^TestGuestRecord$/^ext4$", "TestGuestRecord/ext4"},
	{"0021", "patched", "wq ^TestGuestRecord$/^xfs$", "TestGuestRecord/xfs"},
	{"0027", "patched", "fanotify_error_test record", "not ok"},
	{"0036", "patched", "cost ext4_error", "no less than"},
	{"0002", "kunit", "kunit watch_queue_test_removed", "not ok"},
	{"0005", "kunit", "kunit fserror_test_unmounted", "not ok"},
	{"0010", "kunit", "kunit watch_queue_test_subtypes", "not ok"},
	{"0012", "kunit", "cgroup queue", "was charged as"},
	{"0018", "kunit", "kunit watch_queue_test_chain_whole", "not ok"},
	{"0029", "kunit", "cgroup group", "want some of each"},
	{"0042", "kunit", "watch_queue_test compat", "not ok"},
	{"0023", "lsm", "selinux", "watched what the policy forbids"},
	{"0026", "lsm", "selinux", "watched what the policy forbids"},
	{"0043-smack-ask", "lsm", "smack", "is watched, and an error of it reads as"},
	{"0043-smack-let", "lsm", "smack", "watched what the rules forbid"},
	{"cve-2022-0995", "debug", "watch_queue_test filter_bounds", "BUG: KASAN"},
	{"cve-2022-1882", "debug", "watch_queue_test close_while_posting", "BUG: KASAN"},
}

// undoTable is what TestUndo found out, beside the patches.
const undoTable = "undo.txt"

const undoDir = "test/undo"

// Each patch of test/undo is in the table, and the other way round.
func TestUndone(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(undoDir, "*.patch"))
	if err != nil || len(files) != len(undone) {
		t.Errorf("%d patches in %s, %v; %d in undo_test.go", len(files), undoDir, err, len(undone))
	}
	for _, u := range undone {
		undoPatch(t, u.undo)
	}
}

// undoPatch finds the patch whose name begins so.
func undoPatch(t *testing.T, undo string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(undoDir, undo+"-*.patch"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v; want one patch", undo, found, err)
	}
	return found[0]
}

// What is undone is noticed, by a test that passes on the whole series. Rows that
// the table has already, of the same patches and without a fault, stay.
func TestUndo(t *testing.T) {
	if !*series {
		t.Skip("builds a kernel for each patch: make series-test")
	}
	tab := load(t, undoTable, "undone\tseries\tkernel\tby\twhole\tundone")
	rows := make([]string, len(undone))
	write := func() { tab.write(slices.DeleteFunc(slices.Clone(rows), func(row string) bool { return row == "" })) }
	type kernels struct {
		o     kernel.Options
		undos []int // by their index in undone
	}
	var todo []kernels
	for _, variant := range []string{"patched", "kunit", "lsm", "debug"} {
		dir, undos := undoSeries(t, variant)
		k := kernels{kernel.Options{Variant: variant, SeriesDir: dir, Progress: kernel.NewProgress(os.Stderr)}, undos}
		for i, n := range undos {
			o := k.o
			o.Upto = len(names(t)) + i + 1
			if row := tab.old(undoName(t, n), hash(t, o)); len(row) == 6 && row[2] == variant && row[3] == undone[n].test && row[4] == "ok" && row[5] == undone[n].why {
				rows[n] = strings.Join(row, "\t")
			}
		}
		todo = append(todo, k)
	}
	for _, k := range todo {
		first := slices.IndexFunc(k.undos, func(n int) bool { return rows[n] == "" })
		if first < 0 {
			t.Logf("%s has what is undone in the %s kernel already", undoTable, k.o.Variant)
			continue
		}
		t.Run(k.o.Variant, func(t *testing.T) {
			whole := image(t, kernel.Options{Variant: k.o.Variant})
			i := first
			for im, err := range kernel.Walk(t.Context(), k.o, len(names(t))+1+first) {
				if err != nil {
					t.Fatal(err)
				}
				n := k.undos[i]
				u, name := undone[n], undoName(t, n)
				i++
				t.Run(name, func(t *testing.T) {
					with, without := on(t, whole, u.test, "ok"), on(t, im, u.test, u.why)
					rows[n] = strings.Join([]string{name, im.Series, k.o.Variant, u.test, with, without}, "\t")
					if with != "ok" || without != u.why {
						t.Errorf("%s: %s on the whole series, %s without, want %s", u.test, with, without, u.why)
					}
				})
				write()
			}
		})
	}
	write()
}

// undoName is what undone[n]'s patch is called.
func undoName(t *testing.T, n int) string {
	t.Helper()
	return strings.TrimSuffix(filepath.Base(undoPatch(t, undone[n].undo)), ".patch")
}

// undoSeries makes a series in which each patch after the whole takes back one
// point, and what the one before it took back is there again.
func undoSeries(t *testing.T, variant string) (dir string, undos []int) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, patches.FS); err != nil {
		t.Fatal(err)
	}
	var again []byte
	for i, u := range undone {
		if u.variant != variant {
			continue
		}
		data, err := os.ReadFile(undoPatch(t, u.undo))
		if err != nil {
			t.Fatal(err)
		}
		_, diff, ok := bytes.Cut(data, []byte("---\n"))
		if !ok {
			t.Fatalf("%s: no diff", undoPatch(t, u.undo))
		}
		undos = append(undos, i)
		name := fmt.Sprintf("%04d-%s.patch", 9000+len(undos), u.undo)
		if err := os.WriteFile(filepath.Join(dir, name), slices.Concat(again, diff), 0o666); err != nil {
			t.Fatal(err)
		}
		again = reverse(diff)
	}
	return dir, undos
}

// hunk is a hunk's first line.
var hunk = regexp.MustCompile(`^@@ -(\S+) \+(\S+) @@`)

// reverse makes the diff that takes back a diff.
func reverse(diff []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(diff) {
		switch {
		case bytes.HasPrefix(line, []byte("--- ")), bytes.HasPrefix(line, []byte("+++ ")): // same names
		case line[0] == '-':
			line[0] = '+'
		case line[0] == '+':
			line[0] = '-'
		default:
			line = hunk.ReplaceAll(line, []byte("@@ -$2 +$1 @@"))
		}
		out.Write(line)
	}
	return out.Bytes()
}

// onImage and onTest are what TestOn runs.
var (
	onImage = flag.String("on", "", "bzImage in the cache that TestOn boots")
	onTest  = flag.String("one", "", "what TestOn runs there")
)

// on has TestOn run a test on a kernel, in a process of its own, which may fail.
// It returns "ok", or why, if that is what it says, or else "skips" or "fails".
func on(t *testing.T, im *kernel.Image, test, why string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOn$", "-test.v", "-on", im.Path, "-one", test)
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil && !bytes.Contains(out, []byte("--- SKIP")):
		return "ok"
	case err != nil && bytes.Contains(out, []byte(why)):
		return why
	}
	t.Logf("%v: %v\n%s", cmd, err, out)
	if err == nil {
		return "skips"
	}
	return "fails"
}

func TestOn(t *testing.T) {
	if *onImage == "" {
		t.Skip("TestUndo runs it, with -on and -one")
	}
	im, err := kernel.Describe(*onImage)
	if err != nil {
		t.Fatal(err)
	}
	program, test, _ := strings.Cut(*onTest, " ")
	switch program {
	case "wq":
		inguest.Kernel(t, im, "../wq", test)
		return
	case "selinux":
		selinux(t, im)
	case "smack":
		smack(t, im)
	case "cgroup":
		boot(t, guesttest.Options{Kernel: im.Path, Run: "^TestGuestCgroup$/^" + test + "$", FS: []string{"ext4"}})
	case "kunit":
		if v := one(t, im, nil, test); v != "ok" {
			t.Errorf("%s: %s", *onTest, v)
		}
	case "cost": // less than on stock, which does more for what nobody waits for
		var cost, stock map[string]float64
		t.Run("stock", func(t *testing.T) { _, stock = measure(t, image(t, kernel.Options{Variant: "stock"})) })
		t.Run("this", func(t *testing.T) { _, cost = measure(t, im) })
		if cost[test] == 0 || cost[test] >= stock[test] {
			t.Errorf("%s costs %.0f instructions, no less than the %.0f on stock", test, cost[test], stock[test])
		}
	default:
		if v := try(t, im, find(compile(t, im), program), test); v != "ok" {
			t.Errorf("%s: %s", *onTest, v)
		}
	}
}
