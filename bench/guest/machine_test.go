// SPDX-License-Identifier: MIT

package guest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/cpio"

	"wqfan/bench/result"
	"wqfan/internal/golden"
)

// TestQEMUArgs compares the arguments of one machine in each mode with
// testdata/MODE.args.
func TestQEMUArgs(t *testing.T) {
	for _, mode := range []result.Mode{result.KVM, result.TCG, result.ICount} {
		t.Run(string(mode), func(t *testing.T) {
			m := Machine{
				Kernel: "/k/bzImage", Mode: mode, Append: []string{"quiet"},
				Disks: []Disk{{Image: "/d/a,b.img"}, {Image: "/d/xfs.img", Serial: "x"}},
			}.withDefaults()
			if mode != result.ICount {
				m.CPUs = 2
			}
			got := strings.Join(m.qemuArgs(m.Kernel, "/t/initramfs.cpio", filepath.Base), "\n") + "\n"
			golden.Compare(t, filepath.Join("testdata", string(mode)+".args"), []byte(got))
		})
	}
}

func TestInitramfs(t *testing.T) {
	init, err := staticSelf()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m := Machine{Init: init, Disks: []Disk{{}, {Serial: "x"}}, Files: []File{
		{Path: "/etc/deep/er/file", Data: []byte("content")},
		{Path: "/etc/deep/prog", Host: init},
	}}
	job := Job{Handler: "h", Payload: []byte(`{"a":1}`), Env: map[string]string{"B": "2", "A": "1"}}
	var sums [2][sha256.Size]byte
	for i := range sums {
		b := readInitramfs(t, filepath.Join(dir, fmt.Sprint(i)), m, job)
		sums[i] = sha256.Sum256(b)
	}
	if sums[0] != sums[1] {
		t.Error("two archives of the same differ")
	}
	f, err := os.Open(filepath.Join(dir, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got []string
	err = cpio.ForEachRecord(cpio.Newc.Reader(f), func(r cpio.Record) error {
		got = append(got, fmt.Sprintf("%o %s", r.Mode, r.Name))
		if r.Name == "job.json" {
			b, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
			if want := `{"handler":"h","payload":{"a":1},"env":{"A":"1","B":"2"},"disks":[{"serial":"disk0"},{"serial":"x"}]}`; err != nil || string(b) != want {
				t.Errorf("job %s, %v: want %s", b, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"40755 dev", "20600 dev/console", "20666 dev/null", "100755 init", "100644 job.json",
		"40755 etc", "40755 etc/deep", "40755 etc/deep/er", "100644 etc/deep/er/file", "100755 etc/deep/prog",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func readInitramfs(t *testing.T, file string, m Machine, j Job) []byte {
	t.Helper()
	if err := writeInitramfs(file, m, j); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A kernel's own initramfs comes first, and ours begins at a multiple of four.
func TestInitramfsBehindInitrd(t *testing.T) {
	init, err := staticSelf()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	initrd := filepath.Join(dir, "initrd")
	for _, theirs := range []string{"\x28\xb5345", "07070178", "\x1f\x8b"} {
		if err := os.WriteFile(initrd, []byte(theirs), 0o600); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, fmt.Sprint(len(theirs)))
		b := readInitramfs(t, file, Machine{Init: init, Initrd: initrd}, Job{Handler: "h"})
		want := theirs + strings.Repeat("\x00", (4-len(theirs)%4)%4) + "070701"
		if !bytes.HasPrefix(b, []byte(want)) {
			t.Errorf("%d bytes: it begins with %q, want %q", len(theirs), b[:20], want)
		}
	}
	for _, none := range []string{"", "070", "12345678"} {
		name := filepath.Join(dir, "none"+none)
		if err := os.WriteFile(name, []byte(none), 0o600); err != nil {
			t.Fatal(err)
		}
		err := writeInitramfs(name+".cpio", Machine{Init: init, Initrd: name}, Job{Handler: "h"})
		if err == nil || !strings.HasSuffix(err.Error(), name+" is no initramfs: neither a cpio archive nor one that is packed") {
			t.Errorf("%q: %v", none, err)
		}
	}
	for name, want := range map[string]string{"/nonexistent": "initrd: open /nonexistent", "/dev/zero": "initrd: open /dev/zero: not a regular file"} {
		err = writeInitramfs(filepath.Join(dir, filepath.Base(name)), Machine{Init: init, Initrd: name}, Job{Handler: "h"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

func TestInitramfsRefuses(t *testing.T) {
	init, err := staticSelf()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file File
		want string
	}{
		{File{Path: "relative"}, "not an absolute path"},
		{File{Path: "/"}, "not a file"},
		{File{Path: "/init"}, "two of /init"},
		{File{Path: "/x/../job.json"}, "two of /job.json"},
		{File{Path: "/x", Host: "/nonexistent"}, "no such file"},
		{File{Path: "/dev/console/x"}, "two of /dev/console"},
	} {
		err := writeInitramfs(filepath.Join(t.TempDir(), "i"), Machine{Init: init, Files: []File{tt.file}}, Job{Handler: "h"})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.file, err, tt.want)
		}
	}
	err = writeInitramfs(filepath.Join(t.TempDir(), "i"), Machine{Init: init}, Job{Handler: "h", Payload: []byte("{")})
	if err == nil {
		t.Error("a payload that is no JSON is taken")
	}
}

// bzImage packs a payload as arch/x86/boot does.
func bzImage(t *testing.T, payload []byte) string {
	t.Helper()
	b := make([]byte, 3*512+100)
	b[bzSetupSects] = 2
	b[bzBootFlag], b[bzBootFlag+1] = 0x55, 0xaa
	copy(b[bzMagic:], "HdrS")
	binary.LittleEndian.PutUint16(b[bzVersion:], 0x020f)
	binary.LittleEndian.PutUint32(b[bzPayloadOffset:], 100)
	binary.LittleEndian.PutUint32(b[bzPayloadLength:], uint32(len(payload)))
	path := filepath.Join(t.TempDir(), "bzImage")
	if err := os.WriteFile(path, append(b, payload...), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// elfWithNote is the smallest ELF file with one note.
func elfWithNote(name string, kind uint32) []byte {
	note := new(bytes.Buffer)
	for _, v := range []uint32{uint32(len(name)) + 1, 8, kind} {
		_ = binary.Write(note, binary.LittleEndian, v) // a Buffer takes all
	}
	note.WriteString(name + "\x00")
	for note.Len()%4 != 0 {
		note.WriteByte(0)
	}
	note.Write(make([]byte, 8))

	b := make([]byte, 64+56)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], 2)   // ET_EXEC
	le.PutUint16(b[18:], 62)  // EM_X86_64
	le.PutUint32(b[20:], 1)   // EV_CURRENT
	le.PutUint64(b[32:], 64)  // e_phoff
	le.PutUint16(b[52:], 64)  // e_ehsize
	le.PutUint16(b[54:], 56)  // e_phentsize
	le.PutUint16(b[56:], 1)   // e_phnum
	le.PutUint16(b[58:], 64)  // e_shentsize
	le.PutUint32(b[64:], 4)   // PT_NOTE
	le.PutUint64(b[72:], 120) // p_offset
	le.PutUint64(b[96:], uint64(note.Len()))
	le.PutUint64(b[104:], uint64(note.Len()))
	return append(b, note.Bytes()...)
}

func TestInflateKernel(t *testing.T) {
	pvh := elfWithNote("Xen", 18)
	packed := gzipped(t, pvh)
	for _, tt := range []struct {
		name    string
		payload []byte
		inflate bool
		fails   bool
	}{
		{"PVH", packed, true, false},
		{"PVH and padding", append(bytes.Clone(packed), 1, 2, 3, 4), true, false},
		{"another note", gzipped(t, elfWithNote("Xen", 17)), false, false},
		{"another owner", gzipped(t, elfWithNote("GNU", 18)), false, false},
		{"not ELF", gzipped(t, []byte("text")), false, false},
		{"not gzip", pvh, false, false},
		{"cut off", packed[:len(packed)-12], false, true},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			image := bzImage(t, tt.payload)
			if err := CheckKernel(image); err != nil {
				t.Fatal(err)
			}
			got, err := inflateKernel(image, t.TempDir())
			if tt.fails {
				if err == nil || !strings.Contains(err.Error(), "is damaged") {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !tt.inflate {
				if got != image {
					t.Errorf("%s: want the image itself", got)
				}
				return
			}
			b, err := os.ReadFile(got)
			if err != nil || !bytes.Equal(b, pvh) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			if err := CheckKernel(got); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTruncatedKernel cuts a kernel off in its payload, and behind it, where the
// code is that inflates it.
func TestTruncatedKernel(t *testing.T) {
	image := bzImage(t, append(gzipped(t, elfWithNote("Xen", 18)), make([]byte, 1000)...))
	st, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(b[bzPayloadLength:], 200)
	binary.LittleEndian.PutUint32(b[bzSysSize:], uint32(st.Size()-3*512)/16)
	whole := 3*512 + (st.Size()-3*512)/16*16
	for _, size := range []int64{whole - 1, 3*512 + 110, bzHeader} {
		if err := os.WriteFile(image, b[:size], 0o644); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("kernel %s is truncated: its header says %d bytes, the file has %d", image, whole, size)
		if err := CheckKernel(image); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if _, err := inflateKernel(image, t.TempDir()); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := os.WriteFile(image, b[:whole], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := CheckKernel(image); err != nil {
		t.Error(err)
	}
}
