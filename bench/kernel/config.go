// SPDX-License-Identifier: MIT

package kernel

import (
	"bufio"
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// fragment is a file of options that is merged over tinyconfig.
type fragment struct {
	name     string
	data     []byte
	optional bool // its options may be unknown to the tree
}

var unset = regexp.MustCompile(`^# (CONFIG_[A-Za-z0-9_]+) is not set$`)

// options reads the options of a fragment or of a .config. Those that are not
// set have the value "n".
func options(data []byte) map[string]string {
	opts := map[string]string{}
	for sc := bufio.NewScanner(bytes.NewReader(data)); sc.Scan(); {
		l := strings.TrimSpace(sc.Text())
		if m := unset.FindStringSubmatch(l); m != nil {
			opts[m[1]] = "n"
		} else if name, value, ok := strings.Cut(l, "="); ok && strings.HasPrefix(name, "CONFIG_") {
			opts[name] = value
		}
	}
	return opts
}

// checkConfig compares the final .config with what the fragments ask for; a
// later fragment overrides an earlier one.
func checkConfig(fragments []fragment, config []byte) error {
	want := map[string]string{}
	optional := map[string]bool{}
	for _, f := range fragments {
		for name, value := range options(f.data) {
			want[name], optional[name] = value, f.optional
		}
	}
	got := options(config)
	var dropped []Dropped
	for name, value := range want {
		is := cmp.Or(got[name], "n")
		if is != value && !optional[name] {
			dropped = append(dropped, Dropped{name, value, is})
		}
	}
	if len(dropped) == 0 {
		return nil
	}
	slices.SortFunc(dropped, func(a, b Dropped) int { return strings.Compare(a.Option, b.Option) })
	return &DroppedError{dropped}
}
