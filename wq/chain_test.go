// SPDX-License-Identifier: MIT

package wq

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"wqfan/fserr"
	"wqfan/internal/stream"
)

const testMagic = 0x57514642

// errorRecord returns a struct fs_error_notification of the whole series.
func errorRecord(info uint32, recordType, chain, chainLen uint32, more ...any) []byte {
	body := []any{uint64(7), uint64(1e9), uint64(12), int64(4096), uint64(512), uint32(0xabcd), int32(117), [2]uint32{1, 2},
		uint32(testMagic), recordType}
	if len(more) > 0 { // a location moves the reference behind it
		body = append(append(body, uint64(0)), more...)
	}
	return record(TypeFSError, uint8(fserr.Metadata), info, append(body, chain, chainLen)...)
}

// blob returns n bytes that differ.
func blob(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// part returns part index, from 1, of a chain that carries data.
func part(watch uint8, chain uint32, index int, data []byte) []byte {
	flags := uint16(0)
	from, to := (index-1)*chainPartData, index*chainPartData
	if to >= len(data) {
		to, flags = len(data), chainLast
	}
	chunk := slices.Clone(data[from:to])
	chunk = append(chunk, make([]byte, -len(chunk)&7)...)
	return record(TypeChain, TypeFSError, uint32(watch)<<infoIDShift, chain, uint16(index), flags, chunk)
}

// chained returns the records of an error with its chain: the first note and its
// parts.
func chained(watch uint8, chain uint32, data []byte) [][]byte {
	all := [][]byte{errorRecord(uint32(watch)<<infoIDShift|fsErrorInfoChain, 1, chain, uint32(len(data)))}
	for i := range partsOf(uint32(len(data))) {
		all = append(all, part(watch, chain, i+1, data))
	}
	return all
}

// put gives the records to c, as a stream does, and returns the events. Bytes are
// copied.
func put(t testing.TB, c *chains, records ...[]byte) []fserr.Event {
	t.Helper()
	var events []fserr.Event
	for b := slices.Concat(records...); len(b) > 0; {
		var e fserr.Event
		n, err := c.decode(b, &e)
		if err != nil {
			t.Fatal(err)
		}
		b = b[n:]
		if e.Kind != 0 {
			e.Record.Bytes = bytes.Clone(e.Record.Bytes)
			events = append(events, e)
		} else if n == 0 {
			c.release()
		}
	}
	c.release()
	return events
}

// says describes events by what matters of a chain.
func says(events []fserr.Event) []string {
	var all []string
	for _, e := range events {
		s := e.Kind.String()
		switch {
		case e.Is(fserr.HasRecord):
			s += " whole"
		case e.Is(fserr.HasBroken):
			s += " without " + e.Record.Missing.String()
		}
		all = append(all, s)
	}
	return all
}

func TestChains(t *testing.T) {
	loss := record(TypeMeta, metaLoss, 0)
	removal := record(TypeMeta, metaRemoval, 0x0100, uint64(1))
	plain := errorRecord(0x0100, 0, 0, 0)
	a, b := chained(1, 10, blob(300)), chained(1, 11, blob(208))
	other := chained(2, 12, blob(300))
	for _, test := range []struct {
		name    string
		records [][]byte
		want    []string
	}{
		{"whole", a, []string{"error whole"}},
		{"one after the other", slices.Concat(a, b), []string{"error whole", "error whole"}},
		{"interleaved", [][]byte{a[0], plain, b[0], a[1], b[1], a[2], b[2], plain, a[3]},
			[]string{"error", "error whole", "error", "error whole"}},
		{"the middle is missing", [][]byte{a[0], a[1], a[3]}, []string{"error without 2"}},
		{"the beginning of the parts is missing", [][]byte{a[0], a[3]}, []string{"error without 1-2"}},
		{"the first note is missing", a[1:], []string{"fragment whole"}},
		{"only the last part is left", a[3:], []string{"fragment without 1-2"}},
		{"the end is missing, and the watch ends", [][]byte{a[0], a[1], removal}, []string{"error without 2-3", "removed whole"}},
		{"all parts are missing, and the watch ends", [][]byte{a[0], removal}, []string{"error without 1-3", "removed whole"}},
		{"both ends are missing, and the watch ends", [][]byte{a[2], removal}, []string{"fragment without 1,3-", "removed whole"}},
		{"another watch ends", [][]byte{other[0], removal, other[1], other[2], other[3]}, []string{"removed whole", "error whole"}},
		{"late parts of one that was given up", [][]byte{a[0], removal, a[1], a[2], a[3]}, []string{"error without 1-3", "removed whole"}},
		{"late parts of two", [][]byte{a[0], b[0], removal, a[1], b[1], a[2], b[2], a[3]},
			[]string{"error without 1-3", "error without 1-2", "removed whole"}},
		{"a loss beside", [][]byte{a[0], loss, a[1], a[2], a[3]}, []string{"lost", "error whole"}},
		{"unfinished", a[:2], nil},
		{"a record that was not kept", [][]byte{errorRecord(0x0100, 1, 0, 0)}, []string{"error without 1-"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c chains
			if diff := cmp.Diff(test.want, says(put(t, &c, test.records...))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What comes out is what went in, for every length and its padding.
func TestChainBytes(t *testing.T) {
	var c chains
	for _, n := range []int{1, 7, 8, 103, 104, 105, 111, 112, 208, 4096, chainDataMax} {
		events := put(t, &c, chained(3, uint32(n), blob(n))...)
		if len(events) != 1 || !events[0].Is(fserr.HasRecord|fserr.HasMagic) || events[0].Is(fserr.HasBroken) {
			t.Fatalf("%d bytes: got %v", n, events)
		}
		want := fserr.Record{Magic: testMagic, Type: 1, Bytes: blob(n)}
		if diff := cmp.Diff(want, events[0].Record); diff != "" {
			t.Errorf("%d bytes: %s", n, diff)
		}
		if e := events[0]; e.Watch != 3 || e.Errno != 117 || e.Seq != 7 {
			t.Errorf("got %v", e)
		}
	}
	// Of a broken one, the parts that came are there, in order.
	all := chained(1, 1, blob(300))
	events := put(t, &c, all[0], all[1], all[3])
	if want := append(blob(300)[:104:104], blob(300)[208:]...); !bytes.Equal(events[0].Record.Bytes, want) {
		t.Errorf("got %x, want %x", events[0].Record.Bytes, want)
	}
}

// A reference at the end of a longer note is found, and the location with it.
func TestChainLocation(t *testing.T) {
	var c chains
	first := errorRecord(0x0100|fsErrorInfoChain|fsErrorInfoLocation, 1, 5, 8, uint64(0xffffffff81000000))
	events := put(t, &c, first, part(1, 5, 1, blob(8)))
	if len(events) != 1 || !events[0].Is(fserr.HasLocation|fserr.HasRecord) || events[0].IP != 0xffffffff81000000 {
		t.Errorf("got %v", events)
	}
}

// What no kernel sends is an error, and the queue goes on.
func TestChainHostile(t *testing.T) {
	a := chained(1, 10, blob(300))
	wrongLast := bytes.Clone(a[2])
	native.PutUint16(wrongLast[offChainFlags:], chainLast)
	notLast := bytes.Clone(a[3])
	native.PutUint16(notLast[offChainFlags:], 0)
	short := record(TypeChain, TypeFSError, 0x0100, uint32(10), uint16(3), uint16(chainLast), blob(88))
	for name, test := range map[string]struct {
		before [][]byte
		bad    []byte
		want   string
	}{
		"backwards":  {a[:3], a[1], "watch_queue: watch_notification_chain at byte 0: part 1 of chain 10 after part 2"},
		"twice":      {a[:3], a[2], "watch_queue: watch_notification_chain at byte 0: part 2 of chain 10 after part 2"},
		"ends early": {a[:2], wrongLast, "watch_queue: watch_notification_chain at byte 0: part 2 of chain 10 has 104 bytes, last true; the chain has 300 bytes"},
		"no end":     {a[:3], notLast, "watch_queue: watch_notification_chain at byte 0: 96 bytes of data in a part that is not the last, want 104"},
		"too long":   {a[:2], part(1, 10, 4, blob(416)), "watch_queue: watch_notification_chain at byte 0: part 4 of chain 10 has 104 bytes, last true; the chain has 300 bytes"},
		"short end":  {a[:3], short, "watch_queue: watch_notification_chain at byte 0: part 3 of chain 10 has 88 bytes, last true; the chain has 300 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			var c chains
			put(t, &c, test.before...)
			var e fserr.Event
			n, err := c.decode(test.bad, &e)
			var format *fserr.FormatError
			if !errors.As(err, &format) || err.Error() != test.want || n != len(test.bad) {
				t.Errorf("got %d, %v; want %s", n, err, test.want)
			}
			events := put(t, &c, a[len(test.before):]...)
			if diff := cmp.Diff([]string{"error whole"}, says(events)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Chains that never end cost no more than so much, and the oldest goes first.
func TestChainBounds(t *testing.T) {
	var c chains
	const n = 10 * maxOpen
	var events []fserr.Event
	for i := range n {
		data := blob(chainDataMax)
		data[0] = byte(i)
		all := chained(1, uint32(i+1), data)
		events = append(events, put(t, &c, all[:len(all)-1]...)...)
	}
	if len(c.open) != maxOpen || len(events) != n-maxOpen || len(c.free) > 1 {
		t.Fatalf("%d open, %d free, %d given up", len(c.open), len(c.free), len(events))
	}
	for i, e := range events {
		if e.Kind != fserr.Error || e.Record.Missing != 1<<(fserr.MaxParts-1) || e.Record.Bytes[0] != byte(i) {
			t.Fatalf("event %d: %v", i, e.Record.Missing)
		}
	}
	// So do parts without a first note.
	events = nil
	for i := range n {
		events = append(events, put(t, &c, part(1, uint32(n+i+1), 2, blob(300)))...)
	}
	if len(c.open) != maxOpen || len(events) != n {
		t.Errorf("%d open, %d given up", len(c.open), len(events))
	}
}

// The bytes of all events of a batch stay, and so a batch ends when there are too
// many of them.
func TestChainBatch(t *testing.T) {
	var c chains
	var b []byte
	const n = maxLent + 10
	for i := range n {
		b = append(b, slices.Concat(chained(1, uint32(i+1), []byte{byte(i), byte(i >> 8)})...)...)
	}
	events := make([]fserr.Event, 2*n)
	batch := func() int {
		c.release()
		got := 0
		for len(b) > 0 {
			k, err := c.decode(b, &events[got])
			if err != nil {
				t.Fatal(err)
			}
			b = b[k:]
			if events[got].Kind != 0 {
				got++
			} else if k == 0 {
				break
			}
		}
		return got
	}
	seen := 0
	for _, want := range []int{maxLent, n - maxLent} {
		if got := batch(); got != want {
			t.Fatalf("a batch of %d, want %d", got, want)
		}
		for _, e := range events[:want] {
			if !bytes.Equal(e.Record.Bytes, []byte{byte(seen), byte(seen >> 8)}) {
				t.Fatalf("event %d has %x", seen, e.Record.Bytes)
			}
			seen++
		}
	}
}

// A reader that waits is told of a chain that lost its end, some time after a loss
// that came before, between or behind its records; without a loss it is not.
func TestChainGivenUp(t *testing.T) {
	a := chained(1, 10, blob(300))
	loss := record(TypeMeta, metaLoss, 0x0100|lossInfoWatch|lossInfoParts, uint64(0))
	for name, test := range map[string]struct {
		records [][]byte
		thread  bool
	}{
		"behind":           {[][]byte{a[0], a[1], loss}, false},
		"before":           {[][]byte{loss, a[0], a[1]}, false},
		"before, threaded": {[][]byte{loss, a[0], a[1]}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var c chains
			r, w := piped(t, &c, test.thread)
			for _, b := range test.records {
				w.Write(b)
			}
			start := time.Now()
			if err := r.SetReadDeadline(start.Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			var events []fserr.Event
			for len(events) < 2 {
				c.release()
				some := make([]fserr.Event, 4)
				n, err := r.Read(t.Context(), some)
				if err != nil {
					t.Fatal(err)
				}
				events = append(events, some[:n]...)
			}
			if diff := cmp.Diff([]string{"lost", "error without 2-3"}, says(events)); diff != "" {
				t.Error(diff)
			}
			if e := events[1]; e.Recv == 0 || time.Since(start) < time.Duration(chainGrace) {
				t.Errorf("given up after %v, received at %d", time.Since(start), e.Recv)
			}
			// The reader's own deadline is gone, and the caller's holds.
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Duration(chainGrace))
			defer cancel()
			if _, err := r.Read(ctx, make([]fserr.Event, 1)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("no loss", func(t *testing.T) {
		var c chains
		r, w := piped(t, &c, false)
		w.Write(slices.Concat(a[0], a[1]))
		r.SetReadDeadline(time.Now().Add(3 * time.Duration(chainGrace)))
		if n, err := r.Read(t.Context(), make([]fserr.Event, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(n, err)
		}
		w.Write(slices.Concat(a[2], a[3]))
		r.SetReadDeadline(time.Time{})
		events := make([]fserr.Event, 1)
		if n, err := r.Read(t.Context(), events); n != 1 || err != nil || !events[0].Is(fserr.HasRecord) {
			t.Fatal(events[:n], err)
		}
	})
}

// What is no reason for doubt, and what ends it.
func TestChainDoubt(t *testing.T) {
	a := chained(1, 10, blob(300))
	loss := record(TypeMeta, metaLoss, 0)
	dry := func(c *chains) (at int64, ok bool) {
		var e fserr.Event
		return c.dry(&e)
	}
	var c chains
	put(t, &c, loss)
	dry(&c) // all that was posted before the loss was read
	put(t, &c, a[0])
	if at, ok := dry(&c); at != 0 || ok {
		t.Errorf("a chain that began after the loss: %d, %v", at, ok)
	}
	put(t, &c, loss)
	first, ok := dry(&c)
	if first == 0 || ok {
		t.Fatalf("a chain that may have lost something: %d, %v", first, ok)
	}
	time.Sleep(time.Duration(chainGrace))
	put(t, &c, a[1]) // its end may come yet
	if at, ok := dry(&c); at <= first || ok {
		t.Errorf("another part came: %d after %d, %v", at, first, ok)
	}
}

// piped returns a stream that decodes with c what is written to a pipe.
func piped(t *testing.T, c *chains, thread bool) (*stream.Reader, *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	w := os.NewFile(uintptr(fds[1]), "write")
	r, err := stream.New(fds[0], stream.Config{Name: "test", Decode: c.decode, Dry: c.dry, Thread: thread})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close(nil)
		w.Close()
	})
	return r, w
}

func TestChainsAllocateNothing(t *testing.T) {
	var c chains
	b := slices.Concat(chained(1, 10, blob(300))...)
	var e fserr.Event
	if n := testing.AllocsPerRun(100, func() { decodeAll(t, &c, b, &e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// decodeAll decodes the records in b into one event after the other.
func decodeAll(t testing.TB, c *chains, b []byte, e *fserr.Event) {
	c.release()
	for len(b) > 0 {
		n, err := c.decode(b, e)
		if err != nil {
			t.Fatal(err)
		}
		b = b[n:]
	}
}

func BenchmarkDecodeChain(b *testing.B) {
	for name, n := range map[string]int{"24 bytes": 24, "4 KiB": 4096} {
		b.Run(name, func(b *testing.B) {
			var c chains
			in := slices.Concat(chained(1, 10, blob(n))...)
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			var e fserr.Event
			for b.Loop() {
				decodeAll(b, &c, in, &e)
			}
		})
	}
}

// Whatever comes, what is kept is bounded and what is said agrees with itself.
func FuzzChains(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var c chains
		for len(b) > 0 {
			var e fserr.Event
			n, err := c.decode(b, &e)
			if n < 0 || n > len(b) || len(c.open) > maxOpen || len(c.lent) > maxLent || len(c.free) > maxOpen+maxLent {
				t.Fatalf("%d bytes of %d, %d open, %d lent, %d free", n, len(b), len(c.open), len(c.lent), len(c.free))
			}
			var format *fserr.FormatError
			if err != nil && !errors.As(err, &format) {
				t.Fatalf("%T: %v", err, err)
			}
			if err != nil && n == 0 {
				return
			}
			b = b[n:]
			if err != nil {
				continue
			}
			if e.Kind == 0 && n == 0 {
				c.release()
			}
			if e.Is(fserr.HasBroken) != (e.Record.Missing != 0) || e.Is(fserr.HasRecord|fserr.HasBroken) ||
				(e.Kind == fserr.Error || e.Kind == fserr.Fragment) && len(e.Record.Bytes) > chainDataMax {
				t.Fatalf("%v", e)
			}
			_ = e.String()
		}
	})
}
