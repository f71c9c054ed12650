// SPDX-License-Identifier: MIT

package guest

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Offsets in a bzImage: Documentation/arch/x86/boot.rst.
const (
	bzSetupSects    = 0x1f1
	bzSysSize       = 0x1f4 // in 16 bytes
	bzBootFlag      = 0x1fe
	bzMagic         = 0x202
	bzVersion       = 0x206
	bzPayloadOffset = 0x248
	bzPayloadLength = 0x24c
	bzHeader        = 0x250
)

// maxVmlinux bounds what a payload may inflate to.
const maxVmlinux = 512 << 20

// isBzImage says whether head, the first bytes of a file, starts a bzImage.
func isBzImage(head []byte) bool {
	return len(head) >= bzHeader && string(head[bzMagic:bzMagic+4]) == "HdrS" &&
		binary.LittleEndian.Uint16(head[bzBootFlag:]) == 0xaa55
}

// CheckKernel refuses what QEMU's -kernel would not boot: it takes any file and
// then waits for ever.
func CheckKernel(path string) error {
	f, size, err := openRegular(path)
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	defer f.Close()
	head := make([]byte, bzHeader)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("kernel: %w", err)
	}
	if head = head[:n]; isBzImage(head) {
		return checkSize(path, head, size)
	}
	if bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		e, err := elf.NewFile(f)
		if err == nil && hasPVH(e) {
			return nil
		}
		return fmt.Errorf("kernel %s cannot be booted: an ELF file without a PVH note (CONFIG_PVH)", path)
	}
	return fmt.Errorf("kernel %s is not a Linux kernel image: no boot header (want arch/x86/boot/bzImage)", path)
}

// openRegular opens a regular file, and says how long it is. Others may make
// their reader wait for ever.
func openRegular(path string) (f *os.File, size int64, err error) {
	f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// inflateKernel writes the vmlinux that is packed in a bzImage to dir and returns
// its path. An emulated CPU takes a second to inflate it by itself. Where the
// image is no bzImage, or its payload is not gzip or has no PVH entry, the path
// is that of the image: QEMU boots it too.
func inflateKernel(image, dir string) (string, error) {
	f, _, err := openRegular(image)
	if err != nil {
		return "", fmt.Errorf("kernel: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return "", fmt.Errorf("kernel: %w", err)
	}
	start, end := bzPayload(b)
	if end == 0 {
		return image, nil
	}
	if err := checkSize(image, b, int64(len(b))); err != nil {
		return "", err
	}
	payload := b[start:end]
	z, err := gzip.NewReader(bytes.NewReader(payload))
	if err != nil {
		return image, nil
	}
	z.Multistream(false) // the length of the payload may include padding
	vmlinux, err := io.ReadAll(io.LimitReader(z, maxVmlinux))
	if err != nil {
		return "", fmt.Errorf("kernel %s is damaged: %w", image, err)
	}
	e, err := elf.NewFile(bytes.NewReader(vmlinux))
	if err != nil || !hasPVH(e) {
		return image, nil
	}
	path := filepath.Join(dir, "vmlinux")
	return path, os.WriteFile(path, vmlinux, 0o600)
}

// bzPayload says where the compressed kernel is in a bzImage that starts with
// head; both are 0 if there is none.
func bzPayload(head []byte) (start, end int64) {
	if !isBzImage(head) || binary.LittleEndian.Uint16(head[bzVersion:]) < 0x0208 {
		return 0, 0
	}
	start = bzSetup(head) + int64(binary.LittleEndian.Uint32(head[bzPayloadOffset:]))
	return start, start + int64(binary.LittleEndian.Uint32(head[bzPayloadLength:]))
}

// bzSetup is the length of the part of a bzImage that runs in real mode.
func bzSetup(head []byte) int64 {
	sects := int64(head[bzSetupSects])
	if sects == 0 {
		sects = 4
	}
	return (sects + 1) * 512
}

// checkSize refuses a bzImage of size bytes that starts with head and lacks its
// end.
func checkSize(path string, head []byte, size int64) error {
	_, end := bzPayload(head)
	want := max(end, bzSetup(head)+16*int64(binary.LittleEndian.Uint32(head[bzSysSize:])))
	if size < want {
		return fmt.Errorf("kernel %s is truncated: its header says %d bytes, the file has %d", path, want, size)
	}
	return nil
}

// hasPVH says whether e has the note XEN_ELFNOTE_PHYS32_ENTRY, which QEMU
// boots a vmlinux by.
func hasPVH(e *elf.File) bool {
	for _, p := range e.Progs {
		if p.Type != elf.PT_NOTE || p.Filesz > 1<<20 {
			continue
		}
		notes := make([]byte, p.Filesz)
		if _, err := p.ReadAt(notes, 0); err != nil {
			continue
		}
		for len(notes) >= 12 {
			nameLen := int(e.ByteOrder.Uint32(notes))
			descLen := int(e.ByteOrder.Uint32(notes[4:]))
			kind := e.ByteOrder.Uint32(notes[8:])
			desc := 12 + (nameLen+3)&^3
			next := desc + (descLen+3)&^3
			if nameLen > len(notes) || descLen > len(notes) || next > len(notes) {
				break
			}
			if kind == 18 && string(notes[12:12+nameLen]) == "Xen\x00" {
				return true
			}
			notes = notes[next:]
		}
	}
	return false
}
