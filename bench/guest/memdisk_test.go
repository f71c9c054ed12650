// SPDX-License-Identifier: MIT

package guest

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"

	"wqfan/bench/result"
)

// What a guest makes of the pieces is the image, and its holes are still holes.
func TestDiskInMemory(t *testing.T) {
	init, err := staticSelf()
	if err != nil {
		t.Fatal(err)
	}
	const size = 40 << 20
	want := make([]byte, size)
	dir := t.TempDir()
	name := filepath.Join(dir, "image")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{4096, 9 << 20, 30<<20 + 12345} {
		copy(want[at:], "data")
		if _, err := f.WriteAt([]byte("data"), int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	m := Machine{Mode: result.ICount, Init: init, Disks: []Disk{{Image: name, Serial: "x"}}}
	archive := readInitramfs(t, filepath.Join(dir, "initramfs"), m, Job{Handler: "h"})
	var o orders
	if err := os.Mkdir(filepath.Join(dir, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	err = cpio.ForEachRecord(cpio.Newc.Reader(bytes.NewReader(archive)), func(r cpio.Record) error {
		b, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		switch {
		case err != nil:
			return err
		case r.Name == "job.json":
			return unmarshal(b, &o)
		case filepath.Dir(r.Name) == "disks/x":
			return os.WriteFile(filepath.Join(dir, "x", filepath.Base(r.Name)), b, 0o600)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	image, err := o.Disks[0].assemble(filepath.Join(dir, "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	got, err := os.ReadFile(image.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the assembled image is another")
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(image.Fd()), &st); err != nil || st.Blocks*512 > 1<<20 {
		t.Errorf("it takes %d bytes of memory, %v", st.Blocks*512, err)
	}
}
