// SPDX-License-Identifier: MIT

// Package need is how tests say what they cannot do without.
package need

import (
	"os"
	"os/exec"
	"testing"
)

// Missing skips the test with a reason. Where CI is set in the environment
// nothing may be skipped, and the test fails.
func Missing(t testing.TB, format string, a ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("CI is set, so this may not be missing: "+format, a...)
	}
	t.Skipf(format, a...)
}

// Root needs the test to run as root.
func Root(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		Missing(t, "needs root")
	}
}

// Programs needs programs on the path.
func Programs(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			Missing(t, "needs %s: %v", name, err)
		}
	}
}

// Guest needs the test to run in the project's guest: as root on a kernel with
// the series, the filesystems mounted at $WQFAN_EXT4 and $WQFAN_XFS. It skips
// also where CI is set, because the tests that start the guest run it there.
func Guest(t testing.TB) {
	t.Helper()
	if !InGuest() {
		t.Skip("needs the project's guest: WQFAN_GUEST is not set")
	}
}

// InGuest reports whether the test runs in the project's guest.
func InGuest() bool { return os.Getenv("WQFAN_GUEST") == "1" }
