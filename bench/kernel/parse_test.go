// SPDX-License-Identifier: MIT

package kernel

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestFirstError(t *testing.T) {
	for _, tt := range []struct {
		name, log string
		want      []string
	}{
		{"compiler", "  CC a.o\na.c:1:2: error: x\n  1 | y\n    | ^\nmake: *** [a.o] Error 1\nlast", []string{"a.c:1:2: error: x", "  1 | y", "    | ^", "make: *** [a.o] Error 1"}},
		{"header", "a.c:1:10: fatal error: gelf.h: No such file\ncompilation terminated.\n", []string{"a.c:1:10: fatal error: gelf.h: No such file", "compilation terminated."}},
		{"linker", "ld: fs/x.o: in function `f':\nx.c:(.text+0x1): undefined reference to `g'\n", []string{"x.c:(.text+0x1): undefined reference to `g'"}},
		{"make", "  CC a.o\nmake[1]: *** No rule to make target 'x'.  Stop.\n", []string{"make[1]: *** No rule to make target 'x'.  Stop."}},
		{"a name is no error", "  CC      fs/fserror.o\n  CC      lib/error.o\nsh: flex: not found\n", []string{"  CC      fs/fserror.o", "  CC      lib/error.o", "sh: flex: not found"}},
		{"nothing", "", []string{""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, firstError(tt.log)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestDebianMirrors(t *testing.T) {
	for _, tt := range []struct {
		name, targets string
		want          []string
	}{
		{"usual", "http://a.example/debian/\tbookworm\tmain\nhttp://a.example/debian/\tbookworm-updates\tmain\nhttp://a.example/debian-security/\tbookworm-security\tmain\n",
			[]string{"http://a.example/debian/"}},
		{"others beside", "https://b.example/chrome/deb/\tstable\tmain\nhttps://c.example/\tnodistro\tmain\nhttp://a.example/mirror/debian/\ttrixie\tmain\nhttp://a.example/mirror/debian/\ttrixie\tcontrib\n",
			[]string{"http://a.example/mirror/debian/", "https://b.example/chrome/deb/"}},
		{"another distribution", "http://u.example/ubuntu/\tnoble\tmain\n", nil},
		{"none", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, debianMirrors(tt.targets)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestSourcePackages(t *testing.T) {
	got := sourcePackages("linux-source-7.9\nlinux-source-7.10\nlinux-source-7.9\nlinux-source\nlinux-source-7.10-rt\nlinux-source-6.18\n")
	if d := cmp.Diff([]string{"linux-source-7.10", "linux-source-7.9"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestCompareVersions(t *testing.T) {
	sorted := []string{"7.2.9", "7.3", "7.3.1", "7.3.4", "7.3.10", "7.10"}
	got := slices.Clone(sorted)
	slices.Reverse(got)
	slices.SortFunc(got, compareVersions)
	if d := cmp.Diff(sorted, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for v, want := range map[string]bool{"7.3": true, "7.3.4": true, "7.3-rc1": true, "7.30": false, "7.4": false, "6.7.3": false} {
		if is73(v) != want {
			t.Errorf("is73(%q) = %v", v, !want)
		}
	}
}

func TestCheckConfig(t *testing.T) {
	fragments := []fragment{
		{name: "a", data: []byte("CONFIG_A=y\nCONFIG_NUM=18\n# CONFIG_OFF is not set\nCONFIG_TWICE=y\n# a comment with CONFIG_NONE=y in it\nCONFIG_S=\"x y\"\n")},
		{name: "b", data: []byte("# CONFIG_TWICE is not set\nCONFIG_MAYBE=y\n"), optional: true},
	}
	if err := checkConfig(fragments, []byte("CONFIG_A=y\nCONFIG_NUM=18\nCONFIG_S=\"x y\"\nCONFIG_MORE=y\n")); err != nil {
		t.Error(err)
	}
	err := checkConfig(fragments, []byte("CONFIG_A=m\nCONFIG_NUM=17\nCONFIG_OFF=y\n# CONFIG_S is not set\n"))
	want := "olddefconfig dropped options of the fragment (a dependency is missing, or the option is gone): " +
		"CONFIG_A=y became m, CONFIG_NUM=18 became 17, CONFIG_OFF=n became y, CONFIG_S=\"x y\" became n"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %v", err, want)
	}
}

func TestLoadPatches(t *testing.T) {
	fsys := fstest.MapFS{}
	for _, n := range []string{"0000-cover-letter.patch", "0010-j.patch", "0002-b.patch", "0001-a.patch", "README.md"} {
		fsys[n] = &fstest.MapFile{Data: []byte(n)}
	}
	for _, tt := range []struct {
		upto    int
		names   string
		partial bool
		fails   bool
	}{
		{all, "0001-a.patch 0002-b.patch 0010-j.patch", false, false},
		{2, "0001-a.patch 0002-b.patch", true, false},
		{3, "0001-a.patch 0002-b.patch 0010-j.patch", false, false},
		{4, "", false, true},
	} {
		list, partial, err := loadPatches(fsys, tt.upto)
		var names []string
		for _, p := range list {
			names = append(names, p.name)
		}
		if strings.Join(names, " ") != tt.names || partial != tt.partial || (err != nil) != tt.fails {
			t.Errorf("upto %d: %v, partial %v, %v", tt.upto, names, partial, err)
		}
	}
}

func TestLoadSeries(t *testing.T) {
	const whole = base + 3
	dir := fakeSeries(t, nil)
	for i := 3; i <= whole; i++ {
		writeFile(t, filepath.Join(dir, fmt.Sprintf("%04d-more.patch", i)), "")
	}
	for _, tt := range []struct {
		variant string
		upto    int
		patches int
		partial bool
		err     string
	}{
		{"patched", 0, whole, false, ""},
		{"patched", whole, whole, false, ""},
		{"patched", base, base, true, ""},
		{"patched", whole + 1, 0, false, "patch 13 of a series of 12"},
		{"patched", -1, 0, false, "patch -1 is not in"},
		{"base", 0, base, true, ""},
		{"base", 3, 3, true, ""},
		{"base", base + 1, 0, false, "patch 10 is not in the base kernel"},
		{"stock", 0, 0, false, ""},
		{"stock", 1, 0, false, "patch 1 is not in the stock kernel"},
		{"nonsense", 0, 0, false, "patched, base, stock, kunit, debug, lsm"},
	} {
		s, err := loadSeries(tt.variant, dir, tt.upto)
		if err != nil || tt.err != "" {
			if err == nil || tt.err == "" || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s, upto %d: error %v, want %q", tt.variant, tt.upto, err, tt.err)
			}
			continue
		}
		if n := len(s.patches); n != tt.patches || s.partial != tt.partial {
			t.Errorf("%s, upto %d: %d patches, partial %v, want %d, %v", tt.variant, tt.upto, n, s.partial, tt.patches, tt.partial)
		}
	}
}

// The series hash tells patches apart by what they do and by where one ends.
func TestSeriesHash(t *testing.T) {
	hash := func(texts ...string) string {
		s := &series{}
		for _, x := range texts {
			s.patches = append(s.patches, patch{"name", []byte(x)})
		}
		return s.hash()
	}
	seen := map[string]bool{}
	for _, h := range []string{hash(), hash("ab"), hash("a", "b"), hash("b", "a"), hash("ab", "")} {
		if seen[h] {
			t.Errorf("two series have the hash %q", h)
		}
		seen[h] = true
	}
	if hash() != "" {
		t.Error("no patches, but a hash")
	}
	const diff = "\ndiff --git a/x b/x\n+x\n"
	if hash("[PATCH 1/2] x"+diff) != hash("[PATCH 1/3] y"+diff) {
		t.Error("the hash tells two descriptions of the same patch apart")
	}
}

func FuzzApplyError(f *testing.F) {
	f.Add(fakePatch1, "error: patch failed: fs/fserror.c:28\nerror: fs/fserror.c: patch does not apply\n")
	f.Add(fakePatch2, "error: fs/gone.c: No such file or directory\n")
	f.Add("", "error: No valid patches in input (allow with \"--allow-empty\")\n")
	f.Add("diff --git a/x b/x\n@@ -", "error: patch failed: x:99999999999999999999\n")
	f.Fuzz(func(t *testing.T, text, out string) {
		e := applyError(patch{"p", []byte(text)}, "base", out)
		if e.Hunk < 0 || e.Hunk > strings.Count(text, "@@ -") {
			t.Errorf("hunk %d", e.Hunk)
		}
		if e.Hunk > 0 && e.File == "" {
			t.Error("a hunk of no file")
		}
		_ = e.Error()
	})
}

func TestProgressLines(t *testing.T) {
	var buf bytes.Buffer
	p := NewProgress(&buf)
	p.Stage("unpacking")
	p.Step(1, 2, "MB", false)
	p.Stage("unpacking")
	p.Note("waiting")
	p.Stage("compiling")
	for i := range 1000 {
		p.Step(i, 1400, "objects", true)
	}
	p.Stage("")
	if got, want := buf.String(), "kernel: unpacking\nkernel: waiting\nkernel: compiling\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
