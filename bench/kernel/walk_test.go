// SPDX-License-Identifier: MIT

package kernel

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestWalk(t *testing.T) {
	const warning = "fs/fserror.c:1:1: warning: fake"
	o := Options{
		Source:    fakeTree{before: "mkdir -p $(O)/fs && touch $(O)/fs/fserror.o && echo '" + warning + "'"}.write(t),
		SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir(),
	}
	first := strings.NewReplacer("line 2\n", "line two\n", "line 30\n", "line thirty\n").Replace(fakeSource())
	patches := []string{"0001-fserror-first.patch", "0002-fserror-second.patch"}
	want := []struct {
		text     string
		warnings []string
	}{
		{fakeSource(), []string{}},
		{first, []string{warning}},
		{patchedText, []string{warning}},
	}
	n := 0
	built, err := Build(t.Context(), o) // stays where it is, and is looked at
	if err != nil {
		t.Fatal(err)
	}
	for im, err := range Walk(t.Context(), o, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if n == len(want) {
			t.Fatalf("a step after the last: %v", im)
		}
		w := want[n]
		if d := cmp.Diff(patches[:n], im.Patches, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("step %d: patches (-want +got):\n%s", n, d)
		}
		if d := cmp.Diff(w.warnings, im.W1); d != "" {
			t.Errorf("step %d: warnings (-want +got):\n%s", n, d)
		}
		if d := cmp.Diff(w.text, readFile(t, im.Path)); d != "" {
			t.Errorf("step %d: bzImage (-want +got):\n%s", n, d)
		}
		n++
	}
	if n != len(want) {
		t.Errorf("%d steps, want %d", n, len(want))
	}
	if l := leftovers(t, o.CacheDir, tmpDir); len(l) > 0 {
		t.Errorf("left behind: %v", l)
	}
	if again, err := readImage(built.Dir()); err != nil || !again.Built.Equal(built.Built) || again.W1 == nil {
		t.Errorf("the image that there was: %+v, %v", again, err)
	}
	// Another walk builds nothing, and --upto finds what this one built.
	rec := &recorder{}
	o.Progress = rec
	for _, err := range Walk(t.Context(), o, 0) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if slices.Contains(rec.stages, "compiling") {
		t.Errorf("the second walk: %v", rec.stages)
	}
	o.Upto = 1
	if im, err := Find(t.Context(), o); err != nil || readFile(t, im.Path) != first {
		t.Errorf("Find with one patch: %v, %v", im, err)
	}
}

// A walk that nobody wants to see the end of stops, one that fails says so.
func TestWalkEnds(t *testing.T) {
	o := Options{Source: fakeTree{}.write(t), SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir()}
	for range Walk(t.Context(), o, 0) {
		break
	}
	o.SeriesDir = fakeSeries(t, map[string]string{"0002-fserror-second.patch": strings.ReplaceAll(fakePatch2, "line 5", "line 4")})
	var last error
	n := 0
	for _, err := range Walk(t.Context(), o, 0) {
		last = err
		n++
	}
	if _, ok := errors.AsType[*ApplyError](last); !ok || n != 3 {
		t.Errorf("%d steps, the last: %v, want an *ApplyError after two", n, last)
	}
}

// A walk need not start with nothing.
func TestWalkFrom(t *testing.T) {
	o := Options{Source: fakeTree{}.write(t), SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir()}
	var steps []int
	for im, err := range Walk(t.Context(), o, 1) {
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, len(im.Patches))
	}
	if d := cmp.Diff([]int{1, 2}, steps); d != "" {
		t.Errorf("patches (-want +got):\n%s", d)
	}
	for _, from := range []int{-1, 3} {
		for im, err := range Walk(t.Context(), o, from) {
			if err == nil {
				t.Errorf("from patch %d of 2: %v", from, im)
			}
		}
	}
}
