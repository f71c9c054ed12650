// SPDX-License-Identifier: MIT

package golden

import (
	"bytes"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Patches checks that each of the subjects is one of a patch in dir.
func Patches(t *testing.T, dir string, subjects ...string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no patches in %s: %v", dir, err)
	}
	var have []string
	for _, file := range files {
		have = append(have, subject(t, file))
	}
	for _, s := range subjects {
		if !slices.Contains(have, s) {
			t.Errorf("no patch %q in the series: %q", s, have)
		}
	}
}

// subject returns the subject of a patch without its number.
func subject(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// git starts a patch as an mbox does, with a line that is no header.
	_, b, _ = bytes.Cut(b, []byte("\n"))
	m, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	s := m.Header.Get("Subject")
	if _, after, ok := strings.Cut(s, "] "); ok {
		return after
	}
	return s
}
