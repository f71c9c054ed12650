// SPDX-License-Identifier: MIT

package fserr

import (
	"testing"

	"wqfan/internal/clayout"
)

// TestErrnoLayout compares the error names with linux/errno.h.
func TestErrnoLayout(t *testing.T) {
	want := make(map[string]int64)
	for errno, name := range errnoNames {
		switch errno {
		case EFSCORRUPTED: // in the kernel only
			name = "EUCLEAN"
		case EFSBADCRC:
			name = "EBADMSG"
		}
		want[name] = int64(errno)
	}
	clayout.Check(t, []string{"linux/errno.h"}, want)
}
