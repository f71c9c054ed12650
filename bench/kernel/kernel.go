// SPDX-License-Identifier: MIT

package kernel

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Options say which kernel is meant, and how it is made.
type Options struct {
	Source    string   // directory or tarball; the variable KSRC when empty; then see the package's description
	Variant   string   // one of Variants; "patched" when empty
	Upto      int      // end at this patch of the variant's, counted from 1; 0 applies all of them
	SeriesDir string   // the series with config/; empty is the one in the binary
	CacheDir  string   // WQFAN_CACHE when empty, then wqfan in the user's cache directory
	Jobs      int      // of make; 0 is one more than there are CPUs: one of them always waits for a disk or a process
	Progress  Progress // nil is silent
}

// Image is a built kernel in the cache.
type Image struct {
	Variant string    `json:"variant"`
	Release string    `json:"release"`          // uname -r
	Base    string    `json:"base"`             // "7.3.4 (Debian 7.3.4-1~bpo13+1)"
	Origin  string    `json:"origin"`           // where the source is from
	Source  string    `json:"source"`           // SHA-256 of the source
	Series  string    `json:"series,omitempty"` // hash of the patches applied, "" for none
	Patches []string  `json:"patches,omitempty"`
	Config  string    `json:"config"` // hash of the final .config
	CC      string    `json:"cc"`
	Objects int       `json:"objects"` // compiled
	Built   time.Time `json:"built"`
	Seconds float64   `json:"seconds"` // from source to image
	Size    int64     `json:"size"`    // of the bzImage in bytes; 0 in entries of old
	SHA256  string    `json:"sha256"`  // of the bzImage
	W1      []string  `json:"w1"`      // what make W=1 warns of in the last patch's files; nil where it was not asked

	Path string `json:"-"` // the bzImage
}

// Dir is the image's entry in the cache: bzImage, config, System.map, build.log
// and image.json.
func (im *Image) Dir() string { return filepath.Dir(im.Path) }

// Headers is the include directory of the kernel's own user-space headers, for
// a C compiler's -I.
func (im *Image) Headers() string { return filepath.Join(im.Dir(), "include") }

// File is a file of the kernel's source tree that the entry keeps: the samples
// of both channels, XFS's own header, and every file that the series adds.
func (im *Image) File(name string) string { return filepath.Join(im.Dir(), "src", name) }

// keptFiles are the files of the tree that tests compile, beside those which
// the series adds.
var keptFiles = []string{
	"fs/xfs/libxfs/xfs_fs.h",
	"samples/fanotify/fs-monitor.c",
	"samples/watch_queue/watch_test.c",
	"tools/testing/selftests/kselftest.h",
	"tools/testing/selftests/kselftest_harness.h",
}

// builder is one call of Build or Find.
type builder struct {
	opts   Options
	cache  cache
	series *series
	cc     string
	noCC   error // a *MissingError when there is no compiler: cc is "" then
}

func newBuilder(ctx context.Context, o Options) (*builder, error) {
	if runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("kernels are built on and for x86_64, this is %s", runtime.GOARCH)
	}
	o.Source = cmp.Or(o.Source, os.Getenv("KSRC"))
	o.Variant = cmp.Or(o.Variant, "patched")
	o.Jobs = cmp.Or(o.Jobs, runtime.NumCPU()+1)
	if o.Progress == nil {
		o.Progress = silent{}
	}
	c, err := open(o.CacheDir)
	if err != nil {
		return nil, err
	}
	s, err := loadSeries(o.Variant, o.SeriesDir, o.Upto)
	if err != nil {
		return nil, err
	}
	b := &builder{opts: o, cache: c, series: s}
	b.cc, err = compiler(ctx)
	if _, missing := errors.AsType[*MissingError](err); missing {
		b.noCC, err = err, nil // what is built already needs none
	}
	return b, err
}

func open(dir string) (cache, error) {
	if dir == "" {
		var err error
		if dir, err = cacheDir(); err != nil {
			return cache{}, err
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return cache{}, fmt.Errorf("kernel cache: %w", err)
	}
	return cache{dir}, nil
}

// Find gives the image that answers the options when it is in the cache, and
// ErrNotBuilt otherwise, also for one that is damaged. It fetches, unpacks and
// compiles nothing. Where there is no compiler, the newest image counts that
// answers the options but for the compiler.
func Find(ctx context.Context, o Options) (*Image, error) {
	b, err := newBuilder(ctx, o)
	if err != nil {
		return nil, err
	}
	s, err := b.local(ctx)
	if err != nil {
		return nil, err
	}
	return b.image(s)
}

// Build gives the image that answers the options, making it when it is not in
// the cache. Several processes may ask for the same one: the first builds, the
// others wait. When ctx ends, so do all commands, and nothing unfinished stays.
//
// Errors can be told apart: *MissingError, *SpaceError, *SourceError,
// *VersionError, *UnavailableError, *ApplyError, *DroppedError, *BuildError.
func Build(ctx context.Context, o Options) (*Image, error) {
	b, err := newBuilder(ctx, o)
	if err != nil {
		return nil, err
	}
	defer b.opts.Progress.Stage("")
	s, err := b.local(ctx)
	if err == nil {
		im, err := b.image(s)
		if err == nil {
			return im, nil
		}
		if _, ok := errors.AsType[*damagedImage](err); ok {
			b.opts.Progress.Note(err.Error())
		}
	} else if !errors.Is(err, ErrNotBuilt) {
		return nil, err
	}
	if b.noCC != nil {
		return nil, b.noCC
	}
	if err := CheckTools(ctx); err != nil {
		return nil, err
	}
	if err := b.cache.make(); err != nil {
		return nil, err
	}
	b.cache.sweep()
	im, err := b.build(ctx, s)
	if damaged, ok := errors.AsType[*damagedError](err); ok && damaged.src.cached {
		b.opts.Progress.Note(err.Error() + ": fetching it again")
		b.cache.discard(damaged.src)
		if s, err = b.local(ctx); errors.Is(err, ErrNotBuilt) {
			s, err = source{}, nil
		}
		if err == nil {
			im, err = b.build(ctx, s)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return im, err
}

// local is the source that is there without the network.
func (b *builder) local(ctx context.Context) (source, error) {
	if b.opts.Source != "" {
		return given(ctx, b.opts.Source)
	}
	if list := b.cache.cachedSources(); len(list) > 0 {
		return list[0], nil
	}
	return source{}, ErrNotBuilt
}

// key names the image of a source: everything that decides its content.
func (b *builder) key(s source, cc string) string {
	h := sha256.New()
	fmt.Fprintln(h, s.SHA256, b.opts.Variant, b.series.hash(), b.series.fragmentHash(), cc)
	return short(h.Sum(nil))
}

// image reads the finished entry of a source.
func (b *builder) image(s source) (*Image, error) {
	if b.noCC == nil {
		return verified(readImage(b.cache.path(imagesDir, b.key(s, b.cc))))
	}
	for _, im := range list(b.cache, func(string) {}) {
		if filepath.Base(im.Dir()) != b.key(s, im.CC) {
			continue
		}
		if im, err := verified(im, nil); err == nil {
			b.opts.Progress.Note("no gcc here: taking the kernel that " + im.CC + " compiled")
			return im, nil
		}
	}
	return nil, ErrNotBuilt
}

// Describe reads what the entry of the cache says of the bzImage in it; for
// any other file it is ErrNotBuilt.
func Describe(bzImage string) (*Image, error) {
	im, err := readImage(filepath.Dir(bzImage))
	if err == nil && filepath.Base(bzImage) != filepath.Base(im.Path) {
		return nil, ErrNotBuilt
	}
	return verified(im, err)
}

// readImage reads an entry of the cache. It does not read the bzImage.
func readImage(dir string) (*Image, error) {
	im := &Image{Path: filepath.Join(dir, "bzImage")}
	if err := readJSON(filepath.Join(dir, "image.json"), im); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotBuilt
	} else if err != nil {
		return nil, &damagedImage{dir, err.Error()}
	}
	if im.Variant == "" || im.Release == "" {
		return nil, &damagedImage{dir, "image.json names no kernel"}
	}
	info, err := os.Stat(im.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ErrNotBuilt
	case err != nil:
		return nil, &damagedImage{dir, err.Error()}
	case !info.Mode().IsRegular() || info.Size() == 0:
		return nil, &damagedImage{dir, "bzImage is no file or empty"}
	case im.Size != 0 && im.Size != info.Size():
		return nil, &damagedImage{dir, fmt.Sprintf("bzImage has %d bytes, not %d", info.Size(), im.Size)}
	}
	return im, nil
}

// verified compares the bzImage of what readImage gave with its hash.
func verified(im *Image, err error) (*Image, error) {
	if err != nil || im.SHA256 == "" {
		return im, err
	}
	sum, err := fileHash(im.Path)
	if err != nil {
		return nil, &damagedImage{im.Dir(), err.Error()}
	}
	if sum != im.SHA256 {
		return nil, &damagedImage{im.Dir(), fmt.Sprintf("the SHA-256 of bzImage is %s, not %s", sum, im.SHA256)}
	}
	return im, nil
}

// build makes the image of s, or of what can be fetched when s is empty.
func (b *builder) build(ctx context.Context, s source) (*Image, error) {
	start := time.Now()
	if s.SHA256 == "" {
		var err error
		s, err = b.fetch(ctx, func(s source) error { return b.tryApply(ctx, s) })
		if err != nil {
			return nil, err
		}
		if im, err := b.image(s); err == nil {
			return im, nil
		}
	}
	tree, version, err := b.tree(ctx, s)
	if err != nil {
		return nil, err
	}
	base := s.base(version)
	if !is73(version) {
		b.opts.Progress.Note("building on Linux " + base + ": the series is made for " + wanted)
	}
	key := b.key(s, b.cc)
	name := "image-" + key
	unlock, err := b.cache.lock(ctx, name, func() { b.opts.Progress.Note("waiting for another process that builds the same kernel") })
	if err != nil {
		return nil, err
	}
	defer unlock()
	if im, err := b.image(s); err == nil {
		return im, nil
	}
	tmp, remove, err := b.cache.work(name)
	if err != nil {
		return nil, err
	}
	defer remove()
	im, err := b.compile(ctx, tmp, tree, base, s)
	if err != nil {
		return nil, b.cache.noSpace("building the kernel", err, "")
	}
	return b.keep(im, key, start)
}

// keep makes what was built since start an entry of the cache.
func (b *builder) keep(im *Image, key string, start time.Time) (*Image, error) {
	im.Built = time.Now().UTC().Truncate(time.Second)
	im.Seconds = time.Since(start).Round(100 * time.Millisecond).Seconds()
	entry := im.Dir()
	if err := writeJSON(filepath.Join(entry, "image.json"), im); err != nil {
		return nil, err
	}
	final := b.cache.path(imagesDir, key)
	if err := os.RemoveAll(final); err != nil {
		return nil, err
	}
	if err := os.Rename(entry, final); err != nil {
		return nil, err
	}
	return readImage(final)
}

// patchedTree makes dst, a copy of tree that the patches may change.
func (b *builder) patchedTree(ctx context.Context, s source, tree, dst, base string) error {
	b.opts.Progress.Stage("copying the source of Linux " + base)
	if s.dir { // somebody else's files: no links, and no build products
		if err := b.cache.room("a copy of the kernel source", room.tree); err != nil {
			return err
		}
		if err := copyTree(ctx, tree, dst, false, notSource); err != nil {
			return fmt.Errorf("copying %s: %w", tree, err)
		}
	} else if err := copyTree(ctx, tree, dst, true, nil); err != nil {
		return fmt.Errorf("copying %s: %w", tree, err)
	}
	if len(b.series.patches) == 0 {
		return nil
	}
	b.opts.Progress.Stage("applying the series")
	return b.series.apply(ctx, dst, "Linux "+base, func(n int) {
		b.opts.Progress.Step(n, len(b.series.patches), "patches", false)
	})
}

// tryApply says whether the series applies to a source, which is what makes it
// a base for every variant.
func (b *builder) tryApply(ctx context.Context, s source) error {
	tree, version, err := b.tree(ctx, s)
	if err != nil {
		return err
	}
	const name = "try"
	unlock, err := b.cache.lock(ctx, name, func() {})
	if err != nil {
		return err
	}
	defer unlock()
	tmp, remove, err := b.cache.work(name)
	if err != nil {
		return err
	}
	defer remove()
	patched := *b
	if patched.series, err = loadSeries("patched", b.opts.SeriesDir, b.opts.Upto); err != nil {
		return err
	}
	return patched.patchedTree(ctx, s, tree, filepath.Join(tmp, "tree"), s.base(version))
}

// reproducible makes two builds of the same source the same, bit for bit.
var reproducible = []string{
	"KBUILD_BUILD_TIMESTAMP=Wed Feb 10 00:09:32 UTC 2021",
	"KBUILD_BUILD_USER=wqfan",
	"KBUILD_BUILD_HOST=wqfan",
	"KBUILD_BUILD_VERSION=1",
}

// compile fills tmp/entry.
func (b *builder) compile(ctx context.Context, tmp, tree, base string, s source) (*Image, error) {
	m, err := b.kbuild(ctx, tmp, tree, base, s)
	if err != nil {
		return nil, err
	}
	return m.image(ctx, filepath.Join(tmp, "entry"), base, s)
}

// kbuild makes the tree to build in, with the patches.
func (b *builder) kbuild(ctx context.Context, tmp, tree, base string, s source) (*kbuild, error) {
	if err := b.cache.room("building a kernel", room.compile); err != nil {
		return nil, err
	}
	// Below the source the build names it by relative paths, which are the
	// same in every build: what ccache needs to find objects again.
	src := filepath.Join(tmp, "tree")
	m := &kbuild{b: b, src: src, out: filepath.Join(src, "build")}
	if err := b.patchedTree(ctx, s, tree, src, base); err != nil {
		return nil, err
	}
	return m, os.Mkdir(m.out, 0o755)
}

// image makes the kernel, and entry of what is kept of it.
func (m *kbuild) image(ctx context.Context, entry, base string, s source) (*Image, error) {
	if err := os.Mkdir(entry, 0o755); err != nil {
		return nil, err
	}
	logFile, err := os.Create(filepath.Join(entry, "build.log"))
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	b, src, out := m.b, m.src, m.out
	m.log, m.objects = logFile, 0
	b.opts.Progress.Stage("configuring")
	if err := m.configure(ctx); err != nil {
		return nil, err
	}
	if err := m.make(ctx, "compiling", "-j"+fmt.Sprint(b.opts.Jobs), "bzImage", "headers"); err != nil {
		return nil, err
	}

	for from, to := range map[string]string{
		"arch/x86/boot/bzImage": "bzImage",
		".config":               "config",
		"System.map":            "System.map",
	} {
		if err := copyFile(filepath.Join(out, from), filepath.Join(entry, to)); err != nil {
			return nil, err
		}
	}
	notHeader := func(_ string, d fs.DirEntry) bool { return !d.IsDir() && filepath.Ext(d.Name()) != ".h" }
	if err := copyTree(ctx, filepath.Join(out, "usr", "include"), filepath.Join(entry, "include"), false, notHeader); err != nil {
		return nil, err
	}
	for _, name := range append(slices.Clone(keptFiles), b.series.added()...) {
		to := filepath.Join(entry, "src", name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return nil, err
		}
		if err := copyFile(filepath.Join(src, name), to); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}

	config, err := os.ReadFile(filepath.Join(entry, "config"))
	if err != nil {
		return nil, err
	}
	release, err := os.ReadFile(filepath.Join(out, "include", "config", "kernel.release"))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(config)
	im := &Image{
		Variant: b.opts.Variant,
		Release: strings.TrimSpace(string(release)),
		Base:    base,
		Origin:  s.Origin,
		Source:  s.SHA256,
		Series:  b.series.hash(),
		Config:  short(sum[:]),
		CC:      b.cc,
		Objects: m.objects,
		Path:    filepath.Join(entry, "bzImage"),
	}
	if im.SHA256, err = fileHash(im.Path); err != nil {
		return nil, err
	}
	info, err := os.Stat(im.Path)
	if err != nil {
		return nil, err
	}
	im.Size = info.Size()
	for _, p := range b.series.patches {
		im.Patches = append(im.Patches, p.name)
	}
	return im, nil
}

// kbuild runs make in one build directory.
type kbuild struct {
	b        *builder
	src, out string
	log      io.Writer
	objects  int
}

var objectLine = regexp.MustCompile(`^  (CC|AS) `)

// configure makes .config: tinyconfig, the fragments over it, then what
// olddefconfig makes of that.
func (m *kbuild) configure(ctx context.Context) error {
	if err := m.make(ctx, "configuring", "tinyconfig"); err != nil {
		return err
	}
	config := filepath.Join(m.out, ".config")
	argv := []string{"scripts/kconfig/merge_config.sh", "-m", "-O", m.out, config}
	for _, f := range m.b.series.fragments {
		name := filepath.Join(m.out, f.name)
		if err := os.WriteFile(name, f.data, 0o644); err != nil {
			return err
		}
		argv = append(argv, name)
	}
	if err := m.run(ctx, "configuring", append([]string{"sh"}, argv...)...); err != nil {
		return err
	}
	if err := m.make(ctx, "configuring", "olddefconfig"); err != nil {
		return err
	}
	data, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	return checkConfig(m.b.series.fragments, data)
}

func (m *kbuild) make(ctx context.Context, stage string, args ...string) error {
	argv := []string{"make", "ARCH=x86_64", "O=" + m.out, "LOCALVERSION=" + variants[m.b.opts.Variant].local}
	if _, err := exec.LookPath("ccache"); err == nil {
		argv = append(argv, "CC=ccache gcc", "HOSTCC=ccache gcc")
	}
	return m.run(ctx, stage, append(argv, args...)...)
}

func (m *kbuild) run(ctx context.Context, stage string, argv ...string) error {
	m.b.opts.Progress.Stage(stage)
	total := m.b.expect()
	var said bytes.Buffer
	// ccache looks an object up by the headers that its last compilation named,
	// instead of preprocessing the source first: a miss costs a twentieth more
	// than compiling, not a third.
	env := append(slices.Clone(reproducible), "CCACHE_DIR="+m.b.cache.path(ccacheDir), "CCACHE_DEPEND=1")
	c := command{dir: m.src, env: env, out: io.MultiWriter(&said, m.log), line: func(l string) {
		if objectLine.MatchString(l) {
			m.objects++
			m.b.opts.Progress.Step(m.objects, total, "objects", true)
		}
	}}
	err := c.run(ctx, argv...)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if serr := m.b.cache.noSpace(stage+" the kernel", err, said.String()); serr != err {
		return serr
	}
	log := m.b.cache.path(logsDir, filepath.Base(filepath.Dir(m.src))+".log")
	if werr := os.WriteFile(log, said.Bytes(), 0o644); werr != nil {
		return errors.Join(err, werr)
	}
	return &BuildError{Stage: stage + " the kernel", Lines: firstError(said.String()), Log: log, Err: err}
}

// typicalObjects is what the configuration of this project compiles, roughly.
const typicalObjects = 1400

// expect guesses how many objects there will be: as many as the last time.
func (b *builder) expect() int {
	for _, im := range list(b.cache, func(string) {}) {
		if im.Objects > 0 {
			return im.Objects
		}
	}
	return typicalObjects
}

// List gives the images in the cache, the newest first. It notes those that are
// damaged, and leaves them out.
func List(o Options) ([]*Image, error) {
	c, err := open(o.CacheDir)
	if err != nil {
		return nil, err
	}
	if o.Progress == nil {
		o.Progress = silent{}
	}
	return list(c, o.Progress.Note), nil
}

func list(c cache, note func(string)) []*Image {
	entries, _ := os.ReadDir(c.path(imagesDir)) // without it there are none
	var images []*Image
	for _, e := range entries {
		im, err := readImage(c.path(imagesDir, e.Name()))
		if _, ok := errors.AsType[*damagedImage](err); ok {
			note(err.Error())
		}
		if err == nil {
			images = append(images, im)
		}
	}
	slices.SortStableFunc(images, func(x, y *Image) int { return y.Built.Compare(x.Built) })
	return images
}

// Clean empties the cache: images, objects, trees, logs and what was left of
// interrupted work; with sources, the tarballs too. What another process works on stays, and
// is an error.
func Clean(o Options, sources bool) error {
	c, err := open(o.CacheDir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := c.make(); err != nil {
		return err
	}
	c.sweep()
	var errs []error
	remove := func(lock, path string) {
		unlock, err := c.lock(context.Background(), lock, nil)
		if err == nil {
			err = os.RemoveAll(path)
			unlock()
		}
		errs = append(errs, err)
	}
	for folder, prefix := range map[string]string{imagesDir: "image-", treesDir: "tree-"} {
		entries, err := os.ReadDir(c.path(folder))
		errs = append(errs, err)
		for _, e := range entries {
			remove(prefix+e.Name(), c.path(folder, e.Name()))
		}
	}
	if sources {
		remove("fetch", c.path(sourcesDir))
	}
	errs = append(errs, os.RemoveAll(c.path(logsDir)), os.RemoveAll(c.path(ccacheDir)), os.RemoveAll(c.path(checkDir)))
	return errors.Join(errs...)
}
