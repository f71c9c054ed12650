// SPDX-License-Identifier: MIT

package guest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// decodeAll reads a stream to its end. Each message is its line again, each
// lineError its text.
func decodeAll(t testing.TB, r io.Reader, max int) (lines []string, good, bad int, err error) {
	d := newDecoder(r, max)
	for {
		m, err := d.next()
		var le *lineError
		switch {
		case errors.As(err, &le):
			bad++
			lines = append(lines, le.Error())
			if len(le.excerpt) > 80 {
				t.Fatalf("excerpt of %d bytes", len(le.excerpt))
			}
			if cap(d.buf) > 2*max+64 {
				t.Fatalf("%d bytes kept of a line, the limit is %d", cap(d.buf), max)
			}
		case errors.Is(err, io.EOF):
			return lines, good, bad, nil
		case err != nil:
			return lines, good, bad, err
		default:
			good++
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(b))
		}
	}
}

func TestDecoder(t *testing.T) {
	const max = 100
	long := `{"type":"progress","text":"` + strings.Repeat("x", max) + `"}`
	fits := `{"type":"progress","text":"` + strings.Repeat("x", max-29) + `"}`
	if len(fits) != max {
		t.Fatalf("%d bytes", len(fits))
	}
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"empty", "", nil},
		{"blank lines", "\n  \n\r\n", nil},
		{
			"all types",
			`{"type":"hello","data":{"cpus":1}}` + "\n" + `{"type":"record","data":[1, 2]}` + "\n" +
				`{"type":"progress","text":"p"}` + "\n" + `{"type":"final","ok":true}` + "\n" +
				`{"type":"final","cause":"failed","text":"t","stack":"s"}` + "\n",
			[]string{
				`{"type":"hello","data":{"cpus":1}}`, `{"type":"record","data":[1,2]}`,
				`{"type":"progress","text":"p"}`, `{"type":"final","ok":true}`,
				`{"type":"final","text":"t","cause":"failed","stack":"s"}`,
			},
		},
		{
			"garbage between records",
			`{"type":"record","data":1}` + "\n\x00\xffjunk\n" + `{"type":"record","data":2}` + "\n",
			[]string{
				`{"type":"record","data":1}`,
				`result stream, line 2: not a message: invalid character '\x00' looking for beginning of value: "\x00\xffjunk"`,
				`{"type":"record","data":2}`,
			},
		},
		{
			"cut off", `{"type":"record","data":1}` + "\n" + `{"type":"rec`,
			[]string{`{"type":"record","data":1}`, `result stream, line 2: cut off after 12 bytes: "{\"type\":\"rec"`},
		},
		{
			"cut off before its newline", `{"type":"final","ok":true}`,
			[]string{`result stream, line 1: cut off after 26 bytes: "{\"type\":\"final\",\"ok\":true}"`},
		},
		{"as long as allowed", fits + "\n", []string{fits}},
		{
			"too long", long + "\n" + `{"type":"progress"}` + "\n",
			[]string{
				`result stream, line 1: 129 bytes, the limit is 100: "{\"type\":\"progress\",\"text\":\"` + strings.Repeat("x", 53) + `"`,
				`{"type":"progress"}`,
			},
		},
		{"not an object", "42\n", []string{`result stream, line 1: not a message: json: cannot unmarshal number into Go value of type guest.message: "42"`}},
		{"no type", "{}\n", []string{`result stream, line 1: unknown type "": "{}"`}},
		{"unknown type", `{"type":"x"}` + "\n", []string{`result stream, line 1: unknown type "x": "{\"type\":\"x\"}"`}},
		{"no data", `{"type":"record"}` + "\n", []string{`result stream, line 1: record without data: "{\"type\":\"record\"}"`}},
		{
			"final of two minds", `{"type":"final","ok":true,"cause":"failed"}` + "\n" + `{"type":"final"}` + "\n",
			[]string{
				`result stream, line 1: final record that is both ok and not ok: "{\"type\":\"final\",\"ok\":true,\"cause\":\"failed\"}"`,
				`result stream, line 2: final record that is neither ok nor not ok: "{\"type\":\"final\"}"`,
			},
		},
		{"trailing text", `{"type":"final","ok":true} x` + "\n", []string{
			`result stream, line 1: not a message: invalid character 'x' after top-level value: "{\"type\":\"final\",\"ok\":true} x"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
				got, _, _, err := decodeAll(t, r, max)
				if err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestDecoderReadError(t *testing.T) {
	want := errors.New("socket gone")
	r := io.MultiReader(strings.NewReader(`{"type":"progress"}`+"\n{"), iotest.ErrReader(want))
	_, good, bad, err := decodeAll(t, r, 100)
	if good != 1 || bad != 0 || !errors.Is(err, want) {
		t.Errorf("%d good, %d bad, %v", good, bad, err)
	}
}

func TestEncodeBounds(t *testing.T) {
	out := &Output{w: io.Discard}
	err := out.Record(strings.Repeat("x", MaxLine))
	if err == nil || !strings.Contains(err.Error(), "the limit is") {
		t.Errorf("a record that is too long: %v", err)
	}
	if err := out.Record(func() {}); err == nil {
		t.Error("a record that is no JSON")
	}
	if err := out.Record(1); err != nil {
		t.Errorf("the record after it: %v", err)
	}
}

// FuzzDecoder: whatever comes first, a good line after it is read, and no line
// is read twice or lost without a word.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte(`{"type":"record","data":{"a":[1,2.5,"x"]}}`))
	f.Add([]byte("{\"type\":\"final\",\"ok\":true}\n{\"type\":\"final\",\"cause\":\"failed\",\"text\":\"x\"}"))
	f.Add([]byte("\n\n\r\n \x00"))
	f.Add([]byte(`{"type":"progress","text":"` + strings.Repeat("y", 300) + `"}`))
	f.Add([]byte("{\"type\":\"hello\",\"data\":null}\n{\"type\":\"rec"))
	f.Fuzz(func(t *testing.T, junk []byte) {
		const max = 256
		last := `{"type":"record","data":"last"}`
		in := append(append(bytes.Clone(junk), '\n'), last+"\n"...)
		got, good, bad, err := decodeAll(t, iotest.HalfReader(bytes.NewReader(in)), max)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 || got[len(got)-1] != last {
			t.Fatalf("the last record is lost: %q", got)
		}
		lines := 0
		for l := range bytes.Lines(in) {
			if len(bytes.TrimSpace(l)) > 0 || len(l) > max+1 {
				lines++
			}
		}
		if good+bad != lines {
			t.Fatalf("%d messages and %d errors of %d lines", good, bad, lines)
		}
	})
}
