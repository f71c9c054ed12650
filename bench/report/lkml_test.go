// SPDX-License-Identifier: MIT

package report

import (
	"strings"
	"testing"

	"wqfan/bench/result"
	"wqfan/bench/result/resulttest"
)

// A table that is too wide goes on in second lines; no mark and no name is cut.
func TestTextTable(t *testing.T) {
	tb := &textTable{heads: []string{"channel", "a>", "b>", ""}}
	tb.add("wq-base-worker", "1,020 [1,020,1,030]", "15,700 [15.7k,15.8k]", "[1] [2] [3] [4] [5] [6] [7] [8]")
	tb.add("fan", strings.Repeat("9", 30), "7", "")
	got := tb.String()
	checkMail(t, got)
	if strings.Contains(got, "~") {
		t.Errorf("something was cut:\n%s", got)
	}
	text := strings.Join(strings.Fields(got), " ")
	for _, want := range []string{"[1]", "[2]", "[3]", "[4]", "[5]", "[6]", "[7]", "[8]", "[1,020,1,030]", "[15.7k,15.8k]", strings.Repeat("9", 30)} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

func TestNarrow(t *testing.T) {
	for in, want := range map[string]string{
		"519 [519, 635]":              "519 [519,635]",
		"4,010,000 [-41,700, 24,600]": "4,010,000 [-41.7k,24.6k]",
		"[1] [2], lost":               "[1] [2], lost",
	} {
		if got := narrow(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// A run of one family has its table in the mail, and no list of what it does not
// answer.
func TestMailOfFamily(t *testing.T) {
	b := resulttest.Boot(1)
	dir := record(t, []result.Boot{b}, modify(cellsOf(t, b)[:3], func(c *result.Cell) { c.Scenario, c.Params.Reader = "watchers", unread }), nil)
	write(t, dir)
	mail := tree(t, dir)[MailFile]
	checkMail(t, mail)
	for _, want := range []string{"Several that watch: what a report costs\n", "NO DATA IN THIS RUN on 9 claims of the ten: 1,", "wqfan report DIR\n", "benchstat -col /arm DIR/bench.txt\n"} {
		if !strings.Contains(mail, want) {
			t.Errorf("no %q in\n%s", want, mail)
		}
	}
}
