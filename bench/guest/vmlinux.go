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
)

// Offsets in a bzImage: Documentation/arch/x86/boot.rst.
const (
	bzSetupSects    = 0x1f1
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

// checkKernel refuses what QEMU's -kernel would not boot: it takes any file and
// then waits for ever.
func checkKernel(path string) error {
	f, err := os.Open(path)
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
		return nil
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

// inflateKernel writes the vmlinux that is packed in a bzImage to dir and returns
// its path. An emulated CPU takes a second to inflate it by itself. Where the
// image is no bzImage, or its payload is not gzip or has no PVH entry, the path
// is that of the image: QEMU boots it too.
func inflateKernel(image, dir string) (string, error) {
	b, err := os.ReadFile(image)
	if err != nil {
		return "", err
	}
	payload := bzPayload(b)
	if payload == nil {
		return image, nil
	}
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

// bzPayload is the compressed kernel in a bzImage, nil if there is none.
func bzPayload(b []byte) []byte {
	if !isBzImage(b) || binary.LittleEndian.Uint16(b[bzVersion:]) < 0x0208 {
		return nil
	}
	sects := int64(b[bzSetupSects])
	if sects == 0 {
		sects = 4
	}
	start := (sects+1)*512 + int64(binary.LittleEndian.Uint32(b[bzPayloadOffset:]))
	end := start + int64(binary.LittleEndian.Uint32(b[bzPayloadLength:]))
	if end > int64(len(b)) {
		return nil
	}
	return b[start:end]
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
