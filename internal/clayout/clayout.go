// SPDX-License-Identifier: MIT

// Package clayout compares what Go code believes about C headers with what a C
// compiler makes of them.
package clayout

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"wqfan/bench/cdecode"
	"wqfan/bench/kernel"
	"wqfan/internal/need"
)

// IncludeEnv names the folder of uapi headers to compare with (what `make
// headers_install` writes, its include folder). Without it they are those of the
// patched kernel in the cache, and where there is none, the compiler's own.
const IncludeEnv = "WQFAN_UAPI"

func include(t testing.TB) string {
	if dir := os.Getenv(IncludeEnv); dir != "" {
		return dir
	}
	if im, err := kernel.Find(t.Context(), kernel.Options{}); err == nil {
		return im.Headers()
	}
	return ""
}

// Check compiles each expression of want after the headers and compares its
// value.
func Check(t *testing.T, headers []string, want map[string]int64) {
	t.Helper()
	exprs := slices.Sorted(maps.Keys(want))
	got := eval(t, headers, exprs)
	for i, x := range exprs {
		if got[i] != want[x] {
			t.Errorf("%s is %#x in C and %#x in Go", x, got[i], want[x])
		}
	}
}

// Has reports whether the headers compile with the expression.
func Has(t *testing.T, headers []string, expr string) bool {
	t.Helper()
	_, err := compile(t, headers, []string{expr})
	return err == nil
}

func eval(t *testing.T, headers, exprs []string) []int64 {
	t.Helper()
	bin, err := compile(t, headers, exprs)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bin).Output()
	if err != nil {
		t.Fatalf("run the compiled expressions: %v", err)
	}
	lines := strings.Fields(string(out))
	if len(lines) != len(exprs) {
		t.Fatalf("%d values for %d expressions", len(lines), len(exprs))
	}
	values := make([]int64, len(lines))
	for i, l := range lines {
		if values[i], err = strconv.ParseInt(l, 10, 64); err != nil {
			t.Fatalf("%s: %v", exprs[i], err)
		}
	}
	return values
}

func compile(t *testing.T, headers, exprs []string) (string, error) {
	t.Helper()
	need.Programs(t, "cc")
	var src bytes.Buffer
	fmt.Fprintln(&src, "#define _GNU_SOURCE")
	for _, h := range append([]string{"stdio.h", "stddef.h"}, headers...) {
		fmt.Fprintf(&src, "#include <%s>\n", h)
	}
	fmt.Fprintln(&src, "int main(void)\n{")
	for _, x := range exprs {
		fmt.Fprintf(&src, "\tprintf(\"%%lld\\n\", (long long)(%s));\n", x)
	}
	fmt.Fprintln(&src, "\treturn 0;\n}")
	dir := t.TempDir()
	file, bin := filepath.Join(dir, "layout.c"), filepath.Join(dir, "layout")
	if err := os.WriteFile(file, src.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return bin, cc(t, bin, file)
}

// Decoder compiles the C decoder of a channel, with the same headers, and returns
// its name.
func Decoder(t testing.TB, channel string) string {
	t.Helper()
	need.Programs(t, "cc")
	bin := filepath.Join(t.TempDir(), "decode")
	if err := cdecode.Compile(t.Context(), channel, include(t), bin); err != nil {
		t.Fatal(err)
	}
	return bin
}

func cc(t testing.TB, bin string, args ...string) error {
	args = append([]string{"-Wall", "-o", bin}, args...)
	if inc := include(t); inc != "" {
		args = append([]string{"-isystem", inc}, args...)
	}
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
