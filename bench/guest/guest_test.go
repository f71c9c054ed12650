// SPDX-License-Identifier: MIT

package guest

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wqfan/bench/result"
)

var testHandlers = map[string]Handler{
	"three": func(_ context.Context, payload json.RawMessage, out *Output) error {
		for i := range 3 {
			if err := out.Record(i); err != nil {
				return err
			}
		}
		return nil
	},
}

// testMachine is a machine whose init is this test binary.
func testMachine(t *testing.T) Machine {
	t.Helper()
	kernel := os.Getenv("WQFAN_KERNEL")
	if kernel == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("WQFAN_KERNEL names no kernel to boot")
		}
		t.Skip("WQFAN_KERNEL names no kernel to boot")
	}
	return Machine{
		Kernel: kernel, Mode: result.TCG,
		SerialLog: filepath.Join(t.TempDir(), "serial.log"),
	}
}

func TestBoot(t *testing.T) {
	for _, mode := range []result.Mode{result.TCG, result.ICount} {
		t.Run(string(mode), func(t *testing.T) {
			m := testMachine(t)
			m.Mode = mode
			var got []string
			out, err := Run(t.Context(), m, Job{
				Handler:  "three",
				OnRecord: func(d json.RawMessage) error { got = append(got, string(d)); return nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"0", "1", "2"}, got); diff != "" {
				t.Error(diff)
			}
			if out.Records != 3 || out.Hello.Release == "" || out.Hello.CPUs != 1 {
				t.Errorf("outcome %+v", out)
			}
			t.Logf("boot %v, all %v", out.Boot, out.Wall)
		})
	}
}
