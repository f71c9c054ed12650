// SPDX-License-Identifier: MIT

package clayout

import (
	_ "embed"
	"os"
	"path/filepath"
	"testing"

	"wqfan/bench/kernel"
	"wqfan/internal/need"
)

//go:embed xfs.h
var xfsUserspace []byte

// XFS returns the headers for Check that have what programs may know of XFS: the
// patched kernel's copy of fs/xfs/libxfs/xfs_fs.h, which is not part of the uapi,
// and what that needs.
func XFS(t *testing.T) []string {
	t.Helper()
	im, err := kernel.Find(t.Context(), kernel.Options{})
	if err != nil {
		need.Missing(t, "needs the patched kernel's copy of xfs_fs.h: %v", err)
	}
	header := im.File("fs/xfs/libxfs/xfs_fs.h")
	if _, err := os.Stat(header); err != nil {
		need.Missing(t, "the kernel in the cache was built without keeping it, build it again: %v", err)
	}
	userspace := filepath.Join(t.TempDir(), "xfs.h")
	if err := os.WriteFile(userspace, xfsUserspace, 0o666); err != nil {
		t.Fatal(err)
	}
	return []string{userspace, header}
}
