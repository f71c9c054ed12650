// SPDX-License-Identifier: MIT

package kernel

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckBase(t *testing.T) {
	shifted := strings.Replace(fakeSource(), "line 10\n", "line 10\none more\n", 1)
	upstream := strings.Replace(shifted, "line 30\n", "line thirty, but upstream\n", 1)
	context := strings.Replace(fakeSource(), "line 28\n", "line 28, but upstream\n", 1)
	const first, second = "0001-fserror-first.patch", "0002-fserror-second.patch"
	fserror := []string{"fs/fserror.o"}
	for _, tt := range []struct {
		name   string
		source string
		before string
		want   []PatchCheck
	}{
		{"as it is", "", "", []PatchCheck{{Name: first, Built: fserror}, {Name: second, Built: fserror}}},
		{"moved", shifted, "", []PatchCheck{{Name: first, Offset: 1, Built: fserror}, {Name: second, Offset: 1, Built: fserror}}},
		{"other lines around", context, "", []PatchCheck{{Name: first, Loose: true, Built: fserror}, {Name: second, Built: fserror}}},
		{"another line", upstream, "", []PatchCheck{
			{Name: first, Failed: []string{"fs/fserror.c hunk 2"}},
			{Name: second, Offset: 1},
		}},
		{"does not compile", "", "echo 'fs/fserror.c:3:5: error: x'; false", []PatchCheck{
			{Name: first, Broken: []string{"fs/fserror.o: fs/fserror.c:3:5: error: x"}},
			{Name: second, Broken: []string{"fs/fserror.o: fs/fserror.c:3:5: error: x"}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree := fakeTree{source: tt.source, before: tt.before}.write(t)
			o := Options{SeriesDir: fakeSeries(t, nil), CacheDir: t.TempDir()}
			c, err := CheckBase(t.Context(), tree, o)
			if err != nil {
				t.Fatal(err)
			}
			want := &Check{Base: "7.3.4", Patches: tt.want}
			if d := cmp.Diff(want, c); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if l := leftovers(t, o.CacheDir+"/"+checkDir, tmpDir, imagesDir); len(l) > 0 {
				t.Errorf("left behind: %v", l)
			}
		})
	}
}

func TestCheckText(t *testing.T) {
	c := Check{Base: "7.2.6", Patches: []PatchCheck{
		{Name: "0001-a.patch", Built: []string{"fs/a.o"}},
		{Name: "0002-b.patch", Offset: 3},
		{Name: "0005-e.patch", Loose: true},
		{Name: "0003-c.patch", Broken: []string{"fs/c.o: error: x"}},
		{Name: "0004-d.patch", Failed: []string{"fs/d.c hunk 2"}},
	}}
	var b strings.Builder
	if _, err := c.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	want := `The series on Linux 7.2.6

0001-a: applies, compiles
0002-b: applies, moved by up to 3 lines
0005-e: applies with less context
0003-c: applies
    fs/c.o: error: x
0004-d: fails
    fs/d.c hunk 2

5 patches: 3 apply, 1 with less context, 1 fail; 1 objects do not compile
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
