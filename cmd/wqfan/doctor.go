// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"fmt"

	"wqfan/bench/doctor"
)

// doctorCmd is `wqfan doctor`.
type doctorCmd struct {
	JSON bool `name:"json" help:"Write the findings as JSON."`
}

// Run examines the machine. What is missing is no error.
func (c *doctorCmd) Run(ctx context.Context) error {
	all := doctor.Examine(ctx)
	if c.JSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "\t")
		return enc.Encode(all)
	}
	about := ""
	for _, f := range all {
		if f.About != about {
			about = f.About
			fmt.Fprintf(stdout, "%s\n", about)
		}
		fmt.Fprintf(stdout, "  %-8s %-30s %s\n", f.Answer, f.Name, f.Detail)
		if f.Supply != "" {
			fmt.Fprintf(stdout, "  %-8s %-30s → %s\n", "", "", f.Supply)
		}
	}
	return nil
}
