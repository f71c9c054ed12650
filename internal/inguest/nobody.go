// SPDX-License-Identifier: MIT

package inguest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"wqfan/internal/need"
)

// nobodyEnv is set in the process that Nobody starts.
const nobodyEnv = "WQFAN_NOBODY"

// Nobody runs the test of the given name once more, in a process without
// privileges that holds file open, and calls poke when it is ready. It returns
// what the process says after that, line by line; see NobodyReady and NobodySay.
func Nobody(t *testing.T, test string, file *os.File, poke func()) []string {
	t.Helper()
	need.Guest(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), nobodyEnv+"=1")
	cmd.ExtraFiles = []*os.File{file}
	cmd.Stderr = os.Stderr
	const nobody = 65534
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said, rest []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "ready":
			poke()
			in.Close()
		case strings.HasPrefix(line, "say "):
			said = append(said, strings.TrimPrefix(line, "say "))
		default:
			rest = append(rest, line)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the process without privileges: %v\n%s", err, strings.Join(rest, "\n"))
	}
	return said
}

// IsNobody returns the file that the process holds if Nobody has started it.
func IsNobody() *os.File {
	if os.Getenv(nobodyEnv) == "" {
		return nil
	}
	return os.NewFile(3, "held")
}

// NobodyReady tells that the process without privileges is ready and waits until
// it has been poked.
func NobodyReady() {
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// NobodySay says something that Nobody returns.
func NobodySay(v any) { fmt.Println("say", v) }
