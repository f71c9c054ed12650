// SPDX-License-Identifier: MIT

package wq_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"wqfan/internal/inguest"
)

var ktap = regexp.MustCompile(`^(not )?ok \d+ (?:- )?(\S+)(?:.*# (SKIP.*))?`)

// The series' own selftest passes on each filesystem. Its KTAP results become
// subtests; none of them may be skipped.
func TestGuestSelftest(t *testing.T) {
	inguest.EachFS(t, 0, func(t *testing.T, dir string, _ []*os.File) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv(inguest.SamplesEnv), "fserror_watch_test"))
		cmd.Env = append(os.Environ(), "FSERROR_TEST_DIR="+dir)
		out, err := cmd.CombinedOutput()
		n := 0
		for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
			m := ktap.FindStringSubmatch(lines.Text())
			if m == nil {
				continue
			}
			n++
			t.Run(m[2], func(t *testing.T) {
				if m[1] != "" || m[3] != "" {
					t.Errorf("%s", m[0])
				}
			})
		}
		if err != nil || n == 0 || t.Failed() {
			t.Fatalf("%d results, %v:\n%s", n, err, out)
		}
	})
}
