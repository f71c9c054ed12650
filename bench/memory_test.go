// SPDX-License-Identifier: MIT

package bench

import (
	"os"
	"testing"

	"wqfan/bench/result"
)

// What the injector logs is not what a channel keeps.
func TestMemoryResult(t *testing.T) {
	const errors, kept = 1 << 14, 100 << 20
	page := int64(os.Getpagesize())
	m := memory{spare: []int64{3 * kept, 2 * kept, kept - errors*24 + page}}
	if got, want := *m.result(2, errors), (result.Memory{Open: kept / 2, Queued: kept / 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := (&memory{}).result(1, 1); got != nil {
		t.Errorf("%+v of nothing taken", got)
	}
}

func TestSparePages(t *testing.T) {
	const zoneinfo = `Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 4545
      nr_slab_unreclaimable 39609
      nr_anon_pages 20
      nr_file_pages 300
      nr_page_table_pages 4000
  pages free     50000
        boost    0
      nr_free_pages 50000
  pagesets
    cpu: 0
              count:    600000
              high:     0
  vm stats threshold: 4
    cpu: 1
              count:    7000000
Node 0, zone    DMA32
  pages free     1
`
	if got, want := sparePages([]byte(zoneinfo)), int64(7654321); got != want {
		t.Errorf("%d pages are not the kernel's own, want %d", got, want)
	}
	if got := sparePages(nil); got != 0 {
		t.Errorf("%d pages in nothing", got)
	}
}
