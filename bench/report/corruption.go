// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"strings"
)

func (d *doc) corruption() {
	gs := d.groups[corruption]
	if len(gs) == 0 {
		return
	}
	d.para("## Real corruption")
	d.para("All channels watch while real faults are met, one after the other. Injected is the number of faults provoked; each was checked to give exactly one record on each channel, with the right errno and inode; of an inode that could not be read only the filesystem's own record, where the channel has it, can name which. " +
		"On ext4 the filesystem's own errors_count was checked to be that number too.")
	for _, g := range gs {
		c := g.first()
		line := fmt.Sprintf("- %s on %v, %s: %s provoked, %s read, %s lost silently %s", g.arm, g.place, oneLine(g.point),
			plural(c.Account.Injected, "fault", "faults"), plural(c.Reader.Records, "record", "records"), g.spread(lostMute), d.mark(g))
		d.WriteString(strings.TrimRight(line, " ") + "\n")
		for _, e := range c.Events {
			fmt.Fprintf(d, "  - `%s`\n", strings.ReplaceAll(oneLine(e), "`", "'"))
		}
	}
	d.WriteByte('\n')
}
