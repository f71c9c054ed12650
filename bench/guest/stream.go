// SPDX-License-Identifier: MIT

package guest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxLine bounds one line of the result stream, and so one record.
const MaxLine = 32 << 20

// The types of message.
const (
	msgHello    = "hello"    // Data is a Hello
	msgRecord   = "record"   // Data is the handler's
	msgProgress = "progress" // Text
	msgFinal    = "final"    // OK, or Cause, Text and Stack
)

// What made a final record that is not OK.
const (
	causeFailed   = "failed"   // the handler returned an error or crashed
	causeIdentity = "identity" // the handler's error wraps IdentityBroken
	causeSetup    = "setup"    // the handler was not reached
)

// message is one line of the result stream.
type message struct {
	Type  string          `json:"type"`
	Data  json.RawMessage `json:"data,omitempty"`
	Text  string          `json:"text,omitempty"`
	OK    bool            `json:"ok,omitempty"`
	Cause string          `json:"cause,omitempty"`
	Stack string          `json:"stack,omitempty"`
}

// lineError is a line of the result stream that is no message. The decoder has
// skipped it; the lines after it are good.
type lineError struct {
	line    int // from 1
	why     string
	excerpt []byte // the line's first bytes
}

func (e *lineError) Error() string {
	return fmt.Sprintf("result stream, line %d: %s: %q", e.line, e.why, e.excerpt)
}

// decoder reads messages from a result stream.
type decoder struct {
	r    *bufio.Reader
	max  int
	line int
	buf  []byte
}

func newDecoder(r io.Reader, max int) *decoder {
	return &decoder{r: bufio.NewReaderSize(r, 64<<10), max: max}
}

// next returns the next message. Its error is a *lineError, after which next can
// be called again, or io.EOF, or what the reader answered. Data is valid until
// the next call.
func (d *decoder) next() (message, error) {
	for {
		line, err := d.readLine()
		if err != nil {
			return message{}, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var m message
		if err := json.Unmarshal(line, &m); err != nil {
			return message{}, d.bad(line, "not a message: "+err.Error())
		}
		switch m.Type {
		case msgHello, msgRecord:
			if len(m.Data) == 0 {
				return message{}, d.bad(line, m.Type+" without data")
			}
		case msgProgress:
		case msgFinal:
			switch {
			case m.OK && m.Cause != "":
				return message{}, d.bad(line, "final record that is both ok and not ok")
			case !m.OK && m.Cause == "":
				return message{}, d.bad(line, "final record that is neither ok nor not ok")
			}
		default:
			return message{}, d.bad(line, fmt.Sprintf("unknown type %q", m.Type))
		}
		return m, nil
	}
}

// readLine returns one line without its newline.
func (d *decoder) readLine() ([]byte, error) {
	d.buf = d.buf[:0]
	d.line++
	size := 0
	for {
		part, err := d.r.ReadSlice('\n')
		size += len(part)
		if room := d.max + 1 - len(d.buf); room > 0 {
			d.buf = append(d.buf, part[:min(room, len(part))]...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == nil && size-1 <= d.max:
			return d.buf[:size-1], nil
		case err == nil:
			return nil, d.bad(d.buf, fmt.Sprintf("%d bytes, the limit is %d", size-1, d.max))
		case errors.Is(err, io.EOF) && size > 0:
			return nil, d.bad(d.buf, fmt.Sprintf("cut off after %d bytes", size))
		default:
			return nil, err
		}
	}
}

func (d *decoder) bad(line []byte, why string) *lineError {
	return &lineError{line: d.line, why: why, excerpt: bytes.Clone(line[:min(len(line), 80)])}
}

// encode makes one line of m.
func encode(m message, max int) ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if len(b) > max {
		return nil, fmt.Errorf("%s of %d bytes, the limit is %d", m.Type, len(b), max)
	}
	return append(b, '\n'), nil
}
