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
	"strconv"
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

// Tree is the unpacked source that the image was made of, without the series. It
// is not there where the source was a directory, or the cache was cleaned.
func (im *Image) Tree() string {
	source := source{SHA256: im.Source}
	return filepath.Join(im.Dir(), "..", "..", treesDir, source.id())
}

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
	work   *work // where it builds
}

// work is a tree in which kernels are built one after the other: make compiles
// no more of the next than what differs.
type work struct {
	tree   *kbuild // nil until something has to be built
	source string  // what it is of
	remove func()
}

// drop removes the tree.
func (w *work) drop() {
	if w.tree != nil {
		w.remove()
		w.tree = nil
	}
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

// Series names the patches that the options' kernel has, as [Image.Series] does.
func Series(o Options) (string, error) {
	s, err := loadSeries(cmp.Or(o.Variant, "patched"), o.SeriesDir, o.Upto)
	if err != nil {
		return "", err
	}
	return s.hash(), nil
}

// Build gives the image that answers the options, making it when it is not in
// the cache. Several processes may ask for the same one: the first builds, the
// others wait. When ctx ends, so do all commands, and nothing unfinished stays.
//
// Errors can be told apart: *MissingError, *SpaceError, *SourceError,
// *VersionError, *UnavailableError, *ApplyError, *DroppedError, *BuildError.
func Build(ctx context.Context, o Options) (*Image, error) {
	images, err := BuildAll(ctx, o, cmp.Or(o.Variant, "patched"))
	if err != nil {
		return nil, err
	}
	return images[0], nil
}

// BuildAll is Build for several variants, and gives their images in the order of
// the names. What is missing is built in one tree, which takes less than as many
// builds. After an error, what was finished before it is in the cache.
func BuildAll(ctx context.Context, o Options, names ...string) ([]*Image, error) {
	var bs []*builder
	w := &work{}
	defer w.drop()
	for _, n := range names {
		o.Variant = n
		b, err := newBuilder(ctx, o)
		if err != nil {
			return nil, err
		}
		b.work = w
		bs = append(bs, b)
	}
	// Patches can be added to a tree, and options to a configuration.
	slices.SortStableFunc(bs, func(x, y *builder) int {
		return cmp.Or(len(x.series.patches)-len(y.series.patches), len(x.series.fragments)-len(y.series.fragments))
	})
	images := make([]*Image, len(names))
	for _, b := range bs {
		im, err := b.made(ctx)
		if err != nil {
			return nil, err
		}
		for i, n := range names {
			if n == b.opts.Variant {
				images[i] = im
			}
		}
	}
	return images, nil
}

// made is the image in the cache, or a new one.
func (b *builder) made(ctx context.Context) (*Image, error) {
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
	fmt.Fprintln(h, s.SHA256, b.opts.Variant, b.series.hash(), b.series.fragmentHash(), cc, settings)
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
	m, err := b.kbuild(ctx, "build-"+key, tree, base, s)
	if err != nil {
		return nil, b.cache.noSpace("building the kernel", err, "")
	}
	im, err := m.image(ctx, base, s)
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

// copySource makes dst, a copy of tree that patches may change.
func (b *builder) copySource(ctx context.Context, s source, tree, dst, base string) error {
	b.opts.Progress.Stage("copying the source of Linux " + base)
	var err error
	if s.dir { // somebody else's files: no links, and no build products
		if err := b.cache.room("a copy of the kernel source", room.tree); err != nil {
			return err
		}
		err = copyTree(ctx, tree, dst, false, notSource)
	} else {
		err = copyTree(ctx, tree, dst, true, nil)
	}
	if err != nil {
		return fmt.Errorf("copying %s: %w", tree, err)
	}
	return nil
}

// apply applies the series but for the first done patches to a tree.
func (b *builder) apply(ctx context.Context, dst, base string, done int) error {
	all := len(b.series.patches)
	if done == all {
		return nil
	}
	b.opts.Progress.Stage("applying the series")
	rest := series{patches: b.series.patches[done:]}
	return rest.apply(ctx, dst, "Linux "+base, func(n int) {
		b.opts.Progress.Step(done+n, all, "patches", false)
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
	dst, base := filepath.Join(tmp, "tree"), s.base(version)
	if err := b.copySource(ctx, s, tree, dst, base); err != nil {
		return err
	}
	return patched.apply(ctx, dst, base, 0)
}

// reproducible makes two builds of the same source the same, bit for bit.
var reproducible = []string{
	"KBUILD_BUILD_TIMESTAMP=Wed Feb 10 00:09:32 UTC 2021",
	"KBUILD_BUILD_USER=wqfan",
	"KBUILD_BUILD_HOST=wqfan",
	"KBUILD_BUILD_VERSION=1",
}

// kbuild gives a tree with the series to build in: the one before, with the
// patches that it lacks, or a new one. A new one has a lock, and a directory
// below tmp/, of that name.
func (b *builder) kbuild(ctx context.Context, name, tree, base string, s source) (*kbuild, error) {
	if err := b.cache.room("building a kernel", room.compile); err != nil {
		return nil, err
	}
	w := b.work
	if w.tree == nil || w.source != s.SHA256 || !startsWith(b.series.patches, w.tree.patches) {
		w.drop()
		if err := w.start(ctx, b, name, tree, base, s); err != nil {
			return nil, err
		}
	}
	m := w.tree
	if err := b.apply(ctx, m.src, base, len(m.patches)); err != nil {
		w.drop() // some patches are in, some not
		return nil, err
	}
	m.b, m.patches = b, b.series.patches
	return m, nil
}

// start makes the tree, without patches.
func (w *work) start(ctx context.Context, b *builder, name, tree, base string, s source) error {
	unlock, err := b.cache.lock(ctx, name, func() { b.opts.Progress.Note("waiting for another process that builds the same") })
	if err != nil {
		return err
	}
	tmp, remove, err := b.cache.work(name)
	if err != nil {
		unlock()
		return err
	}
	// Below the source the build names it by relative paths, which are the
	// same in every build: what ccache needs to find objects again.
	src := filepath.Join(tmp, "tree")
	w.tree = &kbuild{b: b, dir: tmp, src: src, out: filepath.Join(src, "build")}
	w.source, w.remove = s.SHA256, func() { remove(); unlock() }
	if err := b.copySource(ctx, s, tree, src, base); err != nil {
		w.drop()
		return err
	}
	if err := os.Mkdir(w.tree.out, 0o755); err != nil {
		w.drop()
		return err
	}
	return nil
}

// startsWith says whether the series begins with these patches.
func startsWith(series, patches []patch) bool {
	return len(patches) <= len(series) && slices.EqualFunc(series[:len(patches)], patches, func(a, b patch) bool {
		return a.name == b.name && bytes.Equal(a.data, b.data)
	})
}

// image makes the kernel, and an entry of what is kept of it.
func (m *kbuild) image(ctx context.Context, base string, s source) (*Image, error) {
	entry := filepath.Join(m.dir, "entry")
	if err := os.RemoveAll(entry); err != nil {
		return nil, err
	}
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
	if err := m.make(ctx, "compiling", "bzImage", "headers"); err != nil {
		return nil, err
	}
	if err := m.whole(); err != nil {
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
	dir      string // of its own: nothing but the tree, and the entry that it makes
	src, out string
	patches  []patch // which the tree has
	log      io.Writer
	objects  int
}

// whole says whether the bzImage has the kernel in it that was linked, which a
// cache of objects can get wrong: the payload is a file that an object includes.
func (m *kbuild) whole() error {
	boot := filepath.Join(m.out, "arch", "x86", "boot")
	image, err := os.ReadFile(filepath.Join(boot, "bzImage"))
	if err != nil {
		return err
	}
	payload, err := os.ReadFile(filepath.Join(boot, "compressed", "vmlinux.bin.gz"))
	if err != nil {
		return err
	}
	if !bytes.Contains(image, payload) {
		return fmt.Errorf("the bzImage has another kernel in it than the one that was linked: remove %s and build again", m.b.cache.path(ccacheDir))
	}
	return nil
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

// settings are make's in every build. gcc is faster when it need not remember of
// which macros a token comes; no instruction changes. Compilers that a machine
// may have beside it shall not show in its configuration.
var settings = []string{"KCFLAGS=-ftrack-macro-expansion=0", "RUSTC=none", "PAHOLE=none"}

func (m *kbuild) make(ctx context.Context, stage string, args ...string) error {
	argv := []string{"make", "-j" + strconv.Itoa(m.b.opts.Jobs), "ARCH=x86_64", "O=" + m.out, "LOCALVERSION=" + variants[m.b.opts.Variant].local}
	argv = append(argv, settings...)
	if _, err := exec.LookPath("ccache"); err == nil {
		argv = append(argv, "CC=ccache gcc", "HOSTCC=ccache gcc")
	}
	return m.run(ctx, stage, append(argv, args...)...)
}

func (m *kbuild) run(ctx context.Context, stage string, argv ...string) error {
	m.b.opts.Progress.Stage(stage)
	total := m.b.expect()
	var said bytes.Buffer
	// depend_mode spares the preprocessor where nothing is found, but does not see
	// .incbin: one kernel's payload is taken for another's that is as long.
	env := append(slices.Clone(reproducible), "CCACHE_DIR="+m.b.cache.path(ccacheDir), "CCACHE_NODEPEND=1")
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
	log := m.b.cache.path(logsDir, filepath.Base(m.dir)+".log")
	if werr := os.WriteFile(log, said.Bytes(), 0o644); werr != nil {
		return errors.Join(err, werr)
	}
	return &BuildError{Stage: stage + " the kernel", Lines: firstError(said.String()), Log: log, Err: err}
}

// typicalObjects is what the configuration of this project compiles, roughly.
const typicalObjects = 1400

// expect guesses how many objects there will be: in a new tree as many as ever.
func (b *builder) expect() int {
	most := 0
	for _, im := range list(b.cache, func(string) {}) {
		most = max(most, im.Objects)
	}
	return cmp.Or(most, typicalObjects)
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
