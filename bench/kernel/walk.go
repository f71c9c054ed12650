// SPDX-License-Identifier: MIT

package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Walk builds the kernel with the first so many of the variant's patches, 0 for
// none, then with one more, and so on to the last, in one tree, where make compiles
// no more than what a patch touches. The images go to the cache: a walk that was interrupted
// goes on where it was. The source has to be in the cache or given, see
// [ErrNotBuilt].
func Walk(ctx context.Context, o Options, from int) iter.Seq2[*Image, error] {
	return func(yield func(*Image, error) bool) {
		if err := walk(ctx, o, from, func(im *Image) bool { return yield(im, nil) }); err != nil {
			yield(nil, err)
		}
	}
}

func walk(ctx context.Context, o Options, from int, yield func(*Image) bool) error {
	b, err := newBuilder(ctx, o)
	if err != nil {
		return err
	}
	if b.noCC != nil {
		return b.noCC
	}
	if err := CheckTools(ctx); err != nil {
		return err
	}
	defer b.opts.Progress.Stage("")
	s, err := b.local(ctx)
	if err != nil {
		return err
	}
	if err := b.cache.make(); err != nil {
		return err
	}
	b.cache.sweep()
	tree, version, err := b.tree(ctx, s)
	if err != nil {
		return err
	}
	all := b.series
	b.work = &work{}
	defer b.work.drop()
	if from < 0 || from > len(all.patches) {
		return fmt.Errorf("kernel series: there is no patch %d of %d to start from", from, len(all.patches))
	}
	for n := from; n <= len(all.patches); n++ {
		b.series = all.first(n)
		if n > 0 {
			b.opts.Progress.Stage(fmt.Sprintf("patch %d of %d", n, len(all.patches)))
		}
		m, err := b.kbuild(ctx, "walk", tree, s.base(version), s)
		if err != nil {
			return err
		}
		im, err := b.image(s)
		if err != nil || im.W1 == nil {
			if im, err = m.step(ctx, s.base(version), s); err != nil {
				return fmt.Errorf("with %d patches: %w", n, err)
			}
		}
		if !yield(im) {
			return nil
		}
	}
	return nil
}

// step builds the kernel of the tree as it is.
func (m *kbuild) step(ctx context.Context, base string, s source) (*Image, error) {
	start := time.Now()
	key := m.b.key(s, m.b.cc)
	unlock, err := m.b.cache.lock(ctx, "image-"+key, func() {})
	if err != nil {
		return nil, err
	}
	defer unlock()
	im, err := m.image(ctx, base, s)
	if err != nil {
		return nil, err
	}
	im.W1 = []string{}
	if n := len(m.b.series.patches); n > 0 {
		if im.W1, err = m.warnings(ctx, m.b.series.patches[n-1]); err != nil {
			return nil, err
		}
	}
	if old, err := m.b.image(s); err == nil { // someone may be booting it
		old.W1 = im.W1
		return old, writeJSON(filepath.Join(old.Dir(), "image.json"), old)
	}
	return m.b.keep(im, key, start)
}

// first is the series as far as its nth patch.
func (s *series) first(n int) *series {
	part := &series{patches: s.patches[:n], partial: s.partial || n < len(s.patches)}
	for _, f := range s.fragments {
		f.optional = part.partial && f.name != guestConfig
		part.fragments = append(part.fragments, f)
	}
	return part
}

// warnings compiles again, with W=1, what a patch touches and the kernel has.
func (m *kbuild) warnings(ctx context.Context, p patch) ([]string, error) {
	var objects []string
	for _, f := range touched.FindAllSubmatch(p.data, -1) {
		o := string(f[1]) + ".o"
		_, err := os.Stat(filepath.Join(m.out, o))
		if errors.Is(err, fs.ErrNotExist) { // not in this configuration
			continue
		}
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	list := []string{}
	if len(objects) == 0 {
		return list, nil
	}
	var said bytes.Buffer
	w := *m
	w.log = &said
	if err := w.make(ctx, "compiling with W=1", append([]string{"W=1"}, objects...)...); err != nil {
		return nil, err
	}
	for l := range strings.Lines(said.String()) {
		if strings.Contains(strings.ToLower(l), "warning:") {
			list = append(list, strings.TrimSpace(l))
		}
	}
	return list, nil
}
