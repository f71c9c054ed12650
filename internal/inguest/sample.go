// SPDX-License-Identifier: MIT

package inguest

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"wqfan/internal/need"
)

// Sample is one of the kernel's own readers, running.
type Sample struct {
	t     *testing.T
	lines chan string
}

// StartSample starts a reader and makes events with poke until it prints
// something. The reader ends with the test.
func StartSample(t *testing.T, poke func(), name string, args ...string) *Sample {
	t.Helper()
	need.Guest(t)
	cmd := exec.Command(filepath.Join(os.Getenv(SamplesEnv), name), args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &Sample{t: t, lines: make(chan string)}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer close(s.lines)
		read(out, s.lines)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		for range s.lines {
		}
		<-gone
		cmd.Wait()
	})
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		poke()
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("%s ended", name)
			}
			t.Log("first line:", line)
			return s
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatalf("%s says nothing", name)
	return nil
}

func read(r io.Reader, lines chan<- string) {
	for scan := bufio.NewScanner(r); scan.Scan(); {
		lines <- scan.Text()
	}
}

// Line returns the next line that the reader prints.
func (s *Sample) Line() string {
	s.t.Helper()
	select {
	case line, ok := <-s.lines:
		if !ok {
			s.t.Fatal("the sample ended")
		}
		return line
	case <-time.After(30 * time.Second):
		s.t.Fatal("the sample says nothing more")
	}
	return ""
}
