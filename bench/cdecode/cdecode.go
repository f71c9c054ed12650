// SPDX-License-Identifier: MIT

// Package cdecode has the yardstick of the decoders: the loops of the kernel's own
// samples in C, without their printf, over the records of a file.
package cdecode

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed src
var sources embed.FS

// Compile makes the program for a channel, "fan" or "wq", with the headers of a
// kernel that has the series (headers_install's include folder; the compiler's own
// where it is empty). It is static, and optimised.
func Compile(ctx context.Context, channel, headers, program string) error {
	dir, err := os.MkdirTemp("", "wqfan-cdecode-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, sources); err != nil {
		return err
	}
	args := []string{"-Wall", "-O2", "-static", "-o", program, filepath.Join(dir, "src", channel+".c")}
	if headers != "" {
		args = append(args, "-isystem", headers)
	}
	cmd := exec.CommandContext(ctx, "cc", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the decoder in C for %s with the headers in %s: %w\n%s", channel, headers, err, out)
	}
	return nil
}

// Run has the program decode a file of records so many times. It returns the least
// time of one record, in what the clock counts: in C that clears its event first,
// as Go's decoders do, and in C that leaves there what was.
func Run(ctx context.Context, program, file string, rounds int) (clears, bare float64, err error) {
	out, err := exec.CommandContext(ctx, program, file, strconv.Itoa(rounds)).Output()
	if err != nil {
		return 0, 0, fmt.Errorf("decode %s with %s: %w", file, program, err)
	}
	if _, err := fmt.Sscan(string(out), &clears, &bare); err != nil {
		return 0, 0, fmt.Errorf("%s: %q: %w", program, strings.TrimSpace(string(out)), err)
	}
	return clears, bare, nil
}
