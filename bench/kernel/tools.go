// SPDX-License-Identifier: MIT

package kernel

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Tool is something the machine needs to build a kernel, with the package that
// has it.
type Tool struct {
	Name   string // program, or header in angle brackets
	Debian string
	Fedora string
	Arch   string
}

// tools is all that a build uses: the compiler and make, kconfig's parser
// generators, bc for kernel/time/timeconst.h, perl for the code that is
// generated below lib, git to apply the patches, tar and xz to unpack, and
// libelf for objtool.
var tools = []Tool{
	{"gcc", "gcc", "gcc", "gcc"},
	{"ld", "binutils", "binutils", "binutils"},
	{"make", "make", "make", "make"},
	{"flex", "flex", "flex", "flex"},
	{"bison", "bison", "bison", "bison"},
	{"bc", "bc", "bc", "bc"},
	{"perl", "perl", "perl", "perl"},
	{"git", "git", "git", "git"},
	{"tar", "tar", "tar", "tar"},
	{"xz", "xz-utils", "xz", "xz"},
	{"<gelf.h>", "libelf-dev", "elfutils-libelf-devel", "libelf"},
	{"<stdlib.h>", "libc6-dev", "glibc-devel", "glibc"},
}

// CheckTools returns a *MissingError with all that this machine lacks to build a
// kernel.
func CheckTools(ctx context.Context) error {
	missing := &MissingError{}
	_, ccErr := exec.LookPath("gcc")
	for _, t := range tools {
		if header, ok := strings.CutPrefix(t.Name, "<"); ok {
			// Without a compiler nobody can tell: name it, a second
			// round of complaints is worse.
			if ccErr == nil && hasHeader(ctx, "<"+header) {
				continue
			}
		} else if _, err := exec.LookPath(t.Name); err == nil {
			continue
		}
		missing.Tools = append(missing.Tools, t)
	}
	if len(missing.Tools) > 0 {
		return missing
	}
	return nil
}

func hasHeader(ctx context.Context, header string) bool {
	c := command{stdin: strings.NewReader("#include " + header + "\n")}
	return c.run(ctx, "gcc", "-E", "-x", "c", "-o", "/dev/null", "-") == nil
}

// compiler is the first line of what the compiler says about itself.
func compiler(ctx context.Context) (string, error) {
	out, err := command{}.output(ctx, "gcc", "--version")
	if err != nil {
		if _, lerr := exec.LookPath("gcc"); lerr != nil {
			return "", CheckTools(ctx)
		}
		return "", fmt.Errorf("gcc --version: %w", err)
	}
	line, _, _ := strings.Cut(out, "\n")
	return line, nil
}
