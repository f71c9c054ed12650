// SPDX-License-Identifier: MIT

package doctor

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Everything has an answer, and what is missing a command if one can supply it.
func TestExamine(t *testing.T) {
	seen := map[string]Finding{}
	for _, f := range Examine(t.Context()) {
		if _, twice := seen[f.Name]; twice || f.About == "" || f.Name == "" || f.Detail == "" || strings.Contains(f.Detail+f.Supply, "\n") {
			t.Errorf("%+v", f)
		}
		if f.Answer == Yes && f.Supply != "" {
			t.Errorf("%s is there, and supplied by %s", f.Name, f.Supply)
		}
		seen[f.Name] = f
	}
	for _, name := range []string{
		"fanotify FAN_FS_ERROR", "fanotify detailed errors", "watch_queue", "watch_queue filesystem errors", "error injector",
		"XFS health monitor", "patched kernel", "stock kernel", "KVM", "QEMU", "tools to build a kernel", "tools to make disks",
	} {
		if _, ok := seen[name]; !ok {
			t.Errorf("nothing about %s", name)
		}
	}
}

// A machine with nothing on it is told what to install, and with what.
func TestNothingThere(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("WQFAN_CACHE", dir)
	if err := os.WriteFile(dir+"/dnf", []byte("#!/bin/sh\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	build := tools(t.Context())[0]
	if build.Answer != No || !strings.HasPrefix(build.Detail, "missing: gcc, ld, make, ") || !strings.HasPrefix(build.Supply, "dnf install gcc binutils make ") {
		t.Errorf("%+v", build)
	}
	for _, f := range guests(t.Context()) {
		if f.Answer == Yes {
			t.Errorf("%+v", f)
		}
		if strings.HasSuffix(f.Name, " kernel") && f.Supply != "wqfan kernel build --variant "+strings.TrimSuffix(f.Name, " kernel") {
			t.Errorf("%+v", f)
		}
	}
}

func TestOption(t *testing.T) {
	for _, tt := range []struct {
		err    error
		want   Answer
		supply string
	}{
		{nil, Yes, ""},
		{fmt.Errorf("watch: %w", unix.EPERM), Unknown, asRoot},
		{fmt.Errorf("watch: %w: %w", errors.ErrUnsupported, unix.EINVAL), No, useGuest},
		{fmt.Errorf("watch: %w", unix.EOPNOTSUPP), No, useGuest},
		{fmt.Errorf("attach: %w", unix.ENOTTY), No, useGuest},
		{fmt.Errorf("watch: %w", unix.EINVAL), Unknown, ""},
	} {
		if f := option("x", "there", tt.err); f.Answer != tt.want || f.Supply != tt.supply {
			t.Errorf("%v: %+v", tt.err, f)
		}
	}
}
