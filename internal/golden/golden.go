// SPDX-License-Identifier: MIT

// Package golden is what the tests of both decoders share: tables, golden files
// and what must hold for any bytes.
package golden

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wqfan/fserr"
)

var update = flag.Bool("update", false, "write golden files instead of comparing with them")

// Update says whether tests are to write what they compare with.
func Update() bool { return *update }

// Records does what Events does for each file that the pattern names.
func Records(t *testing.T, pattern string, decode Decoder) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { Events(t, file, decode) })
	}
}

// Events decodes the records in a file of hexadecimal lines, each one whole
// record, and compares them in words with file.golden. Lines that start with #
// are comments and stay.
func Events(t *testing.T, file string, decode Decoder) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			fmt.Fprintln(&got, line)
			continue
		}
		b, err := hex.DecodeString(line)
		if err != nil {
			t.Fatalf("%s: %q: %v", file, line, err)
		}
		var e fserr.Event
		n, err := decode(b, &e)
		if err != nil {
			t.Fatalf("%s: %q: %v", file, line, err)
		}
		if n != len(b) {
			t.Fatalf("%s: %q: decoded %d bytes of %d", file, line, n, len(b))
		}
		fmt.Fprintln(&got, e)
	}
	Compare(t, file+".golden", got.Bytes())
}

// Compare compares got with a file. With -update it writes the file; when they
// differ, it leaves got beside it with the suffix .got.
func Compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		if err := os.WriteFile(file+".got", got, 0o666); err != nil {
			t.Log(err)
		}
		t.Errorf("%s differs (-want +got), see %s.got:\n%s", file, file, diff)
	}
}
