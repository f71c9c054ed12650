// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"

	"wqfan/bench/campaign"
	"wqfan/bench/guest"
)

// mergeCmd is `wqfan merge`.
type mergeCmd struct {
	Parts []string `arg:"" help:"Directories of the records of all parts, in any order." type:"existingdir"`
	Out   string   `help:"Directory of the record that they make together." required:"" placeholder:"DIR"`
}

// Run merges, and writes the report of the whole.
func (m *mergeCmd) Run(ctx context.Context) error {
	err := campaign.Merge(m.Out, m.Parts)
	if errors.As(err, new(*campaign.PartsError)) {
		return usage(err)
	}
	if err != nil {
		return &guest.Error{Kind: guest.RunnerFailed, Msg: "merge", Err: err}
	}
	return finish(ctx, m.Out)
}
