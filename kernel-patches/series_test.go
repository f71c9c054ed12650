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

	"wqfan/bench/guest"
	"wqfan/bench/guest/guesttest"
	"wqfan/bench/kernel"
	"wqfan/internal/need"
	patches "wqfan/kernel-patches"
)

// shown says where each patch can be seen to do what it is for, by its name
// without the number: a test that fails on the kernel before it and passes on the
// one with it, or why there is none. See undone as well.
var shown = []struct {
	patch string
	test  string // "program test"
	none  string
}{
	{"watch_queue-allow-posting-with-interrupts-disabled", "", "undo.txt: nothing posts with interrupts off before the injector"},
	{"watch_queue-don-t-overlay-a-watch-s-ID-with-its-RCU-", "", "undo.txt: a race, but for KUnit"},
	{"watch_queue-count-what-each-watch-posts-filters-and-", "watch_queue_test counts", ""},
	{"fanotify-count-queued-merged-and-dropped-error-event", "", "undo.txt: needs the injector"},
	{"fserror-tell-callers-whether-a-report-was-accepted", "", "undo.txt: nothing makes fserror refuse at will, but KUnit"},
	{"watch_queue-make-the-removal-record-a-watch-s-last", "", "undo.txt: a race, which needs the injector"},
	{"fserror-notify-pipes-of-filesystem-errors", "", "needs the injector: with the next"},
	{"fserror-add-an-error-injector", "fserror_watch_test records", ""},
	{"selftests-filesystems-watch-filesystem-errors-throug", "", "tests"},
	{"watch_queue-honour-all-subtypes-in-filters", "", "undo.txt: no source has such a subtype, but KUnit"},
	{"watch_queue-don-t-hide-or-forget-a-loss", "fserror_watch_test poll_loss", ""},
	{"watch_queue-keep-notes-in-a-ring-of-their-own", "fserror_watch_test whole_records", ""},
	{"watch_queue-allow-more-than-512-notes", "fserror_watch_test size", ""},
	{"watch_queue-tell-how-much-has-been-lost-and-by-whom-", "fserror_watch_test loss_count", ""},
	{"watch_queue-show-the-high-water-mark", "fserror_watch_test overflow", ""},
	{"watch_queue-filter-filesystem-errors-by-what-they-ar", "fserror_watch_test fs_filter", ""},
	{"watch_queue-let-slots-be-reserved-for-some-notificat", "fserror_watch_test reserve", ""},
	{"watch_queue-post-notifications-that-are-longer-than-", "", "undo.txt: has no source before the records' patch, but KUnit"},
	{"fserror-carry-a-filesystem-specific-record", "", "undo.txt: nobody is told of it before the records' patches"},
	{"ext4-tell-fserror-which-block-inode-and-function", "", "undo.txt: as above"},
	{"xfs-tell-fserror-what-is-sick", "", "undo.txt: as above"},
	{"fserror-let-a-pipe-watch-the-errors-of-a-single-file", "fserror_watch_test file", ""},
	{"security-add-a-hook-for-watching-filesystem-errors", "", "undo.txt: needs an LSM that uses it"},
	{"fserror-inject-filesystem-specific-records-and-from-", "fserror_watch_test blob", ""},
	{"fserror-say-where-an-error-was-noticed-to-those-who-", "fserror_watch_test location", ""},
	{"selinux-check-who-watches-filesystem-errors", "", "undo.txt: needs a kernel with SELinux, and a policy"},
	{"fsnotify-pass-on-the-filesystem-specific-record-of-a", "", "undo.txt: for the next two"},
	{"fanotify-report-filesystem-errors-in-detail", "fanotify_error_test detail", ""},
	{"fanotify-report-the-filesystem-s-own-record-of-an-er", "fanotify_error_test record", ""},
	{"fanotify-allow-marking-inodes-for-their-errors", "fanotify_error_test inode_unprivileged", ""},
	{"fanotify-optionally-merge-events-when-the-queue-is-f", "fanotify_error_test merge_full", ""},
	{"fanotify-optionally-report-how-many-events-were-drop", "fanotify_error_test overflow_count", ""},
	{"fanotify-optionally-report-where-an-error-was-notice", "fanotify_error_test location", ""},
	{"fserror-post-filesystem-specific-records-to-pipes", "fserror_watch_test record_parts", ""},
	{"watch_queue-fserror-add-KUnit-tests", "", "tests"},
	{"fserror-do-nothing-that-nobody-waits-for", "", "undo.txt: fewer instructions"},
	{"fserror-watch_queue-post-with-fewer-instructions", "", "no new behaviour: fewer instructions"},
	{"ext4-xfs-say-what-an-error-is-only-to-those-who-want", "", "no new behaviour: fewer instructions"},
	{"watch_queue-open-user-memory-once-for-many-notes", "", "no new behaviour: fewer instructions"},
	{"selftests-test-what-watch-queues-are-to-those-who-wa", "", "tests"},
	{"selftests-filesystems-race-those-who-watch-filesyste", "", "tests"},
	{"pipe-let-32-bit-programs-use-notification-pipes", "", "undo.txt: needs a kernel that has calls for 32-bit programs"},
	{"smack-check-who-watches-filesystem-errors", "", "undo.txt: needs a kernel with Smack"},
}

// names are the patches of the series without the cover letter.
func names(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(patches.FS, "*.patch")
	if err != nil || len(names) < 2 {
		t.Fatalf("no series: %v, %v", names, err)
	}
	return names[1:]
}

// lookup finds what shows a patch.
func lookup(t *testing.T, name string) (test, none string) {
	t.Helper()
	_, slug, _ := strings.Cut(strings.TrimSuffix(name, ".patch"), "-")
	for _, s := range shown {
		if s.patch == slug {
			return s.test, s.none
		}
	}
	t.Errorf("series_test.go does not say what shows %s", name)
	return "", ""
}

// Each patch is in the table.
func TestShown(t *testing.T) {
	for _, name := range names(t) {
		lookup(t, name)
	}
}

var series = flag.Bool("series", false, "build the kernel of each patch, and look before it and with it for what it is for")

// seriesTable is what TestSeries found out, beside the patches.
const seriesTable = "series.txt"

// The series is bisectable, and what a patch is for is not there before it: each
// kernel on the way is built without a warning, boots, and is to those who watch
// keys what it was. A test that finds nothing to test skips before the patch. The
// table's first rows stay that are of the same patches up to theirs and without a
// fault: remove it to have all made anew.
func TestSeries(t *testing.T) {
	if !*series {
		t.Skip("builds a kernel for each patch: make series-test")
	}
	// Those who watch keys are to see no difference on the way.
	keys := find(compile(t, image(t, kernel.Options{})), "watch_queue_test")
	tab := load(t, seriesTable, "patch\tseries\tW=1\tboots\tbefore\twith\tby")
	rows := make([]string, len(names(t)))
	from := 0
	for ; from < len(rows); from++ {
		name := strings.TrimSuffix(names(t)[from], ".patch")
		row := tab.old(name, hash(t, kernel.Options{Upto: from + 1}))
		if by, none := lookup(t, name+".patch"); len(row) != 7 || row[2] != "clean" || row[3] != "pass" || row[4] != "not ok" && row[4] != "skip" && by != "" || row[5] != "ok" && by != "" || row[6] != by+none {
			break
		}
		rows[from] = strings.Join(row, "\t")
	}
	if from > 0 {
		t.Logf("%s has %d of %d patches already", seriesTable, from, len(rows))
	}
	if from == len(rows) {
		return
	}
	images := make([]*kernel.Image, from) // by the number of their patches
	var waiting []int                     // for a program, which comes with a later patch
	o := kernel.Options{Progress: kernel.NewProgress(os.Stderr)}
	built := make(chan *kernel.Image, len(rows)+1) // while the ones before are looked at
	go func() {
		defer close(built)
		for im, err := range kernel.Walk(t.Context(), o, from) {
			if err != nil {
				t.Error(err)
				return
			}
			built <- im
		}
	}()
	for im := range built {
		n := len(images)
		images = append(images, im)
		if n == from {
			continue // the kernel before; stock: TestOldUsers
		}
		name := strings.TrimSuffix(im.Patches[n-1], ".patch")
		tests := compile(t, im)
		clean := "clean"
		if len(im.W1) > 0 {
			clean = "warns"
			t.Errorf("%s: %s", name, strings.Join(im.W1, "\n"))
		}
		passed := "fail"
		if t.Run(name+"/boots", func(t *testing.T) {
			boot(t, guesttest.Options{
				Kernel: im.Path, Run: "^TestGuestSelftests$", CPUs: 1 + n%2, Files: keys,
				FS:  []string{[]string{"ext4", "xfs"}[n%2]},
				Env: map[string]string{skippable: counts + " " + compat},
			})
		}) {
			passed = "pass"
		}
		rows[n-1] = fmt.Sprintf("%s\t%s\t%s\t%s", name, im.Series, clean, passed)
		waiting = slices.DeleteFunc(append(waiting, n), func(n int) bool {
			name, _, _ := strings.Cut(rows[n-1], "\t")
			shows, none := lookup(t, name)
			if shows == "" {
				rows[n-1] += "\t-\t-\t" + none
				return true
			}
			program, test, _ := strings.Cut(shows, " ")
			bin := find(tests, program)
			if bin == nil {
				return false
			}
			t.Run(name, func(t *testing.T) {
				before, with := try(t, images[n-1], bin, test), try(t, images[n], bin, test)
				rows[n-1] += fmt.Sprintf("\t%s\t%s\t%s", before, with, shows)
				if before != "not ok" && before != "skip" || with != "ok" {
					t.Errorf("%s: %s before, %s with the patch", shows, before, with)
				}
			})
			return true
		})
		done := n
		if len(waiting) > 0 {
			done = waiting[0] - 1
		}
		tab.write(rows[:done])
	}
	if len(images) == len(rows)+1 && len(waiting) > 0 {
		t.Errorf("no program has the tests of the patches %v", waiting)
	}
}

// table is a file of rows, each of one kernel, whose patches the second column
// names by their hash.
type table struct {
	t     *testing.T
	name  string
	heads string // as rows are: columns with tabs between them
	rows  [][]string
}

// load reads a table, or begins one.
func load(t *testing.T, name, heads string) *table {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	tab := &table{t: t, name: name, heads: heads}
	for line := range strings.Lines(string(data)) {
		tab.rows = append(tab.rows, gap.Split(strings.TrimSpace(line), -1))
	}
	return tab
}

// gap is what is between two columns.
var gap = regexp.MustCompile(` {2,}`)

// old is the row of a name that was made with such patches, or none.
func (tab *table) old(name, series string) []string {
	for _, row := range tab.rows {
		if len(row) > 1 && row[0] == name && row[1] == series {
			return row
		}
	}
	return nil
}

// write replaces the table.
func (tab *table) write(rows []string) {
	tab.t.Helper()
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range append([]string{tab.heads}, rows...) {
		fmt.Fprintln(w, row)
	}
	w.Flush()
	if err := os.WriteFile(tab.name, b.Bytes(), 0o666); err != nil {
		tab.t.Fatal(err)
	}
}

// hash names the patches of a kernel.
func hash(t *testing.T, o kernel.Options) string {
	t.Helper()
	s, err := kernel.Series(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func find(tests []guest.File, program string) []guest.File {
	for _, f := range tests {
		if filepath.Base(f.Path) == program {
			return []guest.File{f}
		}
	}
	return nil
}

// try runs one test on a kernel: "ok", "not ok" or "skip".
func try(t *testing.T, im *kernel.Image, program []guest.File, test string) string {
	t.Helper()
	if program == nil {
		t.Fatalf("no program has the test %s", test)
	}
	return one(t, im, program, test)
}

// one runs one test of a program on a kernel, or says how one of KUnit's went
// while it booted.
func one(t *testing.T, im *kernel.Image, program []guest.File, test string) string {
	t.Helper()
	verdict := "nothing"
	boot(t, guesttest.Options{
		Kernel: im.Path, Run: "^TestGuestOne$", CPUs: 2, FS: []string{"ext4"}, Files: program,
		Env: map[string]string{"WQFAN_TEST": test},
		Say: func(_ string, lines []string) {
			for _, l := range lines {
				if _, v, ok := strings.Cut(l, ": verdict: "); ok {
					verdict = v
				}
			}
		},
	})
	return verdict
}

// TestGuestOne says what becomes of one test.
func TestGuestOne(t *testing.T) {
	need.Guest(t)
	test := os.Getenv("WQFAN_TEST")
	if test == "" {
		t.Skip("TestSeries names a test")
	}
	programs, err := filepath.Glob(testsDir + "/*")
	if err != nil || len(programs) > 1 {
		t.Fatalf("programs %v, %v, want one, or none for KUnit's", programs, err)
	}
	var out []byte
	if programs == nil {
		out = kunit(t, test)
	} else {
		args := []string{"-t", test}
		if strings.HasSuffix(programs[0], "race_test") { // has no harness
			args = args[1:]
		}
		cmd := exec.CommandContext(t.Context(), programs[0], args...)
		cmd.Env = append(os.Environ(), "FSERROR_TEST_DIR=/mnt/ext4")
		out, _ = cmd.CombinedOutput() // its failure is a finding
	}
	m := verdict.FindSubmatch(out)
	switch {
	case m == nil:
		t.Fatalf("%s: no result:\n%s", test, out)
	case m[3] != nil:
		t.Log("verdict: skip")
	case m[1] != nil:
		t.Log("verdict: not ok")
	default:
		t.Log("verdict: ok")
	}
	t.Logf("%s", out)
}

// kunit finds the result of one of KUnit's tests.
func kunit(t *testing.T, test string) []byte {
	t.Helper()
	results, err := filepath.Glob("/sys/kernel/debug/kunit/*/results")
	if err != nil || len(results) == 0 {
		t.Fatalf("no results of KUnit: %v", err)
	}
	for _, name := range results {
		out, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(out) {
			if m := verdict.FindSubmatch(line); m != nil && string(m[2]) == test {
				return line
			}
		}
	}
	return nil
}
