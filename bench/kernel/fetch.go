// SPDX-License-Identifier: MIT

package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fetch gets a source from the network into the cache. accept says whether the
// series applies to one that is not 7.3.
func (b *builder) fetch(ctx context.Context, accept func(source) error) (source, error) {
	unlock, err := b.cache.lock(ctx, "fetch", func() { b.opts.Progress.Note("waiting for another process that fetches a source") })
	if err != nil {
		return source{}, err
	}
	defer unlock()
	if list := b.cache.cachedSources(); len(list) > 0 {
		return list[0], nil // the other process got it
	}
	if err := b.cache.room("fetching a kernel source", room.source); err != nil {
		return source{}, err
	}
	tmp, remove, err := b.cache.work("fetch")
	if err != nil {
		return source{}, err
	}
	defer remove()
	failed := &UnavailableError{}
	for _, place := range []struct {
		name string
		get  func(context.Context, string, func(source) error) (source, error)
	}{
		{"Debian's linux-source through apt", b.fetchDebian},
		{"the tarball of " + envURL, b.fetchURL},
	} {
		s, err := place.get(ctx, tmp, accept)
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		if serr := b.cache.noSpace("fetching a kernel source", err, err.Error()); serr != err {
			return source{}, serr
		}
		failed.Tried = append(failed.Tried, Attempt{place.name, err})
	}
	return source{}, failed
}

// debianKeyrings are where Debian and its derivatives keep the archive's keys.
var debianKeyrings = []string{
	"/usr/share/keyrings/debian-archive-keyring.pgp",
	"/usr/share/keyrings/debian-archive-keyring.gpg",
}

// apt runs apt with folders of its own below dir: unprivileged, and without a
// trace in the system.
type apt struct {
	dir     string
	mirrors []string
}

func newApt(ctx context.Context, dir string) (*apt, error) {
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("this system has no %s", tool)
		}
	}
	out, err := command{}.output(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)")
	if err != nil {
		return nil, fmt.Errorf("apt-get indextargets: %w: %s", err, lastLine(out))
	}
	a := &apt{dir: dir, mirrors: debianMirrors(out)}
	if len(a.mirrors) == 0 {
		return nil, errors.New("apt's sources name no archive of Debian's main")
	}
	for _, d := range []string{"lists/partial", "cache/archives/partial", "log"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	return a, os.WriteFile(filepath.Join(dir, "status"), nil, 0o644)
}

// debianMirrors picks from apt's own list of index files (address, release,
// component) the archives that have Debian's main: those with a suite of
// Debian's, the usual folder name first. Whether it is really Debian's is for
// the signature to say.
func debianMirrors(targets string) []string {
	var mirrors []string
	for l := range strings.Lines(targets) {
		f := strings.Split(strings.TrimSpace(l), "\t")
		if len(f) != 3 || f[2] != "main" || strings.Contains(f[1], "security") {
			continue
		}
		suite, _, _ := strings.Cut(f[1], "-")
		if slices.Contains([]string{"bullseye", "bookworm", "trixie", "forky", "duke", "sid", "oldoldstable", "oldstable", "stable", "testing", "unstable"}, suite) {
			mirrors = appendOnce(mirrors, f[0])
		}
	}
	slices.SortStableFunc(mirrors, func(x, y string) int {
		rank := func(uri string) int {
			if path.Base(strings.TrimRight(uri, "/")) == "debian" {
				return 0
			}
			return 1
		}
		return cmp.Compare(rank(x), rank(y))
	})
	return mirrors
}

// sources writes the sources file for one archive.
func (a *apt) sources(mirror string, suites []string) error {
	text := "Types: deb\nURIs: " + mirror + "\nSuites: " + strings.Join(suites, " ") + "\nComponents: main\n"
	for _, k := range debianKeyrings {
		if _, err := os.Stat(k); err == nil {
			text += "Signed-By: " + k + "\n"
			break
		}
	}
	return os.WriteFile(filepath.Join(a.dir, "wqfan.sources"), []byte(text), 0o644)
}

// run runs one of apt's programs in dir.
func (a *apt) run(ctx context.Context, dir, program string, args ...string) (string, error) {
	o := func(k, v string) string { return "-o" + k + "=" + v }
	in := func(name string) string { return filepath.Join(a.dir, name) }
	argv := append([]string{program,
		o("Dir::Etc::sourcelist", in("wqfan.sources")), o("Dir::Etc::sourceparts", "/dev/null"),
		o("Dir::State::lists", in("lists")), o("Dir::State::status", in("status")),
		o("Dir::State::extended_states", in("extended_states")),
		o("Dir::Cache", in("cache")), o("Dir::Log", in("log")),
		o("Debug::NoLocking", "1"), o("APT::Sandbox::User", ""),
		o("Acquire::Languages", "none"), o("Acquire::Retries", "3"),
		o("Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled", "false"),
		o("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false"),
		o("APT::Get::List-Cleanup", "0"), o("APT::Update::Error-Mode", "any"),
		"-q",
	}, args...)
	out, err := command{dir: dir}.output(ctx, argv...)
	if err != nil && ctx.Err() == nil {
		return out, fmt.Errorf("%s %s: %w: %s", program, args[0], err, aptErrors(out))
	}
	return out, err
}

// aptErrors are the lines that say why apt failed.
func aptErrors(out string) string {
	var lines []string
	for l := range strings.Lines(out) {
		if strings.HasPrefix(l, "E: ") || strings.HasPrefix(l, "Err:") {
			lines = append(lines, strings.TrimSpace(l))
		}
	}
	if len(lines) == 0 {
		return lastLine(out)
	}
	return strings.Join(lines[:min(3, len(lines))], "; ")
}

// suites are where Debian may have the version, the smaller list first.
var suites = []string{"trixie-backports", "sid"}

// fetchVersion downloads the linux-source of one version.
func (b *builder) fetchVersion(ctx context.Context, tmp, version string) (source, error) {
	a, err := newApt(ctx, filepath.Join(tmp, "apt"))
	if err != nil {
		return source{}, err
	}
	name := "linux-source-" + version
	var errs []error
	for _, mirror := range a.mirrors {
		names, err := b.askDebian(ctx, a, tmp, mirror, name)
		if err == nil && slices.Contains(names, name) {
			return b.fetchPackage(ctx, a, tmp, name)
		}
		if ctx.Err() != nil {
			return source{}, err
		}
		errs = append(errs, cmp.Or(err, fmt.Errorf("%s has no %s in %s, only %s", mirror, name, strings.Join(suites, ", "), strings.Join(names, ", "))))
	}
	return source{}, errors.Join(errs...)
}

// askDebian gives the kernel sources of an archive, the newest first, looking into
// no more suites than it takes to find the one that is wanted.
func (b *builder) askDebian(ctx context.Context, a *apt, tmp, mirror, name string) (names []string, err error) {
	for i := range suites {
		b.opts.Progress.Stage("asking Debian " + suites[i] + " for " + name)
		if err := a.sources(mirror, suites[:i+1]); err != nil {
			return names, err
		}
		if _, err := a.run(ctx, tmp, "apt-get", "update"); err != nil {
			return names, err
		}
		out, err := a.run(ctx, tmp, "apt-cache", "pkgnames", "linux-source-7.")
		if err != nil {
			return names, err
		}
		if names = sourcePackages(out); slices.Contains(names, name) {
			break
		}
	}
	return names, nil
}

// fetchDebian downloads linux-source-7.3, or the newest 7.x that is accepted.
func (b *builder) fetchDebian(ctx context.Context, tmp string, accept func(source) error) (source, error) {
	a, err := newApt(ctx, filepath.Join(tmp, "apt"))
	if err != nil {
		return source{}, err
	}
	var names []string
	var last error
	for _, mirror := range a.mirrors {
		if names, last = b.askDebian(ctx, a, tmp, mirror, "linux-source-"+wanted); ctx.Err() != nil {
			return source{}, last
		}
		if slices.Contains(names, "linux-source-"+wanted) {
			return b.fetchPackage(ctx, a, tmp, "linux-source-"+wanted)
		}
		if len(names) > 0 {
			break
		}
	}
	if len(names) == 0 {
		return source{}, cmp.Or(last, fmt.Errorf("no linux-source-7.x in %s", strings.Join(suites, ", ")))
	}
	var errs []error
	for _, name := range names {
		b.opts.Progress.Note(fmt.Sprintf("Debian has no linux-source-%s: trying %s", wanted, name))
		s, err := b.fetchPackage(ctx, a, tmp, name)
		if err == nil {
			if err = accept(s); err == nil {
				b.opts.Progress.Note("the series applies to " + s.base(s.Version) + ", which is used in place of " + wanted)
				return s, nil
			}
			b.cache.discard(s)
			os.RemoveAll(b.cache.path(treesDir, s.id()))
		}
		if ctx.Err() != nil {
			return source{}, err
		}
		errs = append(errs, err)
	}
	return source{}, errors.Join(errs...)
}

var sourcePackage = regexp.MustCompile(`^linux-source-(7\.\d+)$`)

// sourcePackages are the kernel sources in a list of package names, the newest
// first.
func sourcePackages(out string) []string {
	var names []string
	for _, n := range strings.Fields(out) {
		if sourcePackage.MatchString(n) {
			names = appendOnce(names, n)
		}
	}
	slices.SortFunc(names, func(x, y string) int {
		return compareVersions(strings.TrimPrefix(y, "linux-source-"), strings.TrimPrefix(x, "linux-source-"))
	})
	return names
}

// fetchPackage downloads one package and keeps the tarball that is in it.
func (b *builder) fetchPackage(ctx context.Context, a *apt, tmp, name string) (source, error) {
	out, err := a.run(ctx, tmp, "apt-cache", "show", "--no-all-versions", name)
	if err != nil {
		return source{}, err
	}
	version, size := field(out, "Version"), field(out, "Size")
	b.opts.Progress.Stage("downloading " + name + " " + version)
	deb := filepath.Join(tmp, "deb")
	if err := os.MkdirAll(deb, 0o755); err != nil {
		return source{}, err
	}
	total, _ := strconv.ParseInt(size, 10, 64)
	stop := b.watchSize(tmp, total)
	_, err = a.run(ctx, deb, "apt-get", "download", name)
	stop()
	if err != nil {
		return source{}, err
	}
	debs, _ := filepath.Glob(filepath.Join(deb, name+"_*.deb"))
	if len(debs) != 1 {
		return source{}, fmt.Errorf("apt-get download %s left %d files", name, len(debs))
	}
	x := filepath.Join(tmp, "x")
	if out, err := (command{}).output(ctx, "dpkg-deb", "-x", debs[0], x); err != nil {
		return source{}, fmt.Errorf("dpkg-deb -x %s: %w: %s", filepath.Base(debs[0]), err, lastLine(out))
	}
	tarball := filepath.Join(x, "usr", "src", name+".tar.xz")
	if _, err := os.Stat(tarball); err != nil {
		return source{}, fmt.Errorf("%s %s has no %s", name, version, filepath.Base(tarball))
	}
	upstream, _, _ := strings.Cut(version, "-")
	s, err := b.cache.keep(tarball, source{
		Version: upstream,
		Package: "Debian " + version,
		Origin:  "Debian's package " + name + ", signature checked by apt",
		File:    name + "_" + version + ".tar.xz",
	})
	os.RemoveAll(x)
	os.RemoveAll(deb)
	return s, err
}

// watchSize shows how much of total bytes has arrived below dir.
func (b *builder) watchSize(dir string, total int64) (stop func()) {
	before := treeSize(dir)
	done, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				b.opts.Progress.Step(int((treeSize(dir)-before)>>20), int(total>>20), "MB", false)
			}
		}
	}()
	return func() { close(done); <-finished }
}

// treeSize sums the sizes of the files below dir.
func treeSize(dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// field reads a field of a package's description.
func field(text, name string) string {
	for l := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(l, name+": "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// The tarball of a release and its checksum. There is no default: an address
// whose content nobody vouches for is of no use.
const (
	envURL = "WQFAN_KERNEL_URL"
	envSum = "WQFAN_KERNEL_SHA256"
)

var tarballName = regexp.MustCompile(`^linux-(\d+\.\d+(?:\.\d+)?)\.tar(\.\w+)?$`)

// fetchURL downloads the tarball that the environment names.
func (b *builder) fetchURL(ctx context.Context, tmp string, _ func(source) error) (source, error) {
	url, want := os.Getenv(envURL), strings.ToLower(os.Getenv(envSum))
	if url == "" || len(want) != 64 {
		return source{}, fmt.Errorf("set %s to linux-%s.tar.xz of kernel.org or a mirror, and %s to its SHA-256 (64 hex digits)", envURL, wanted, envSum)
	}
	name := path.Base(url)
	m := tarballName.FindStringSubmatch(name)
	if m == nil {
		return source{}, fmt.Errorf("%s: the last part of %s is not linux-VERSION.tar.xz", envURL, url)
	}
	b.opts.Progress.Stage("downloading " + name)
	file := filepath.Join(tmp, name)
	if err := b.download(ctx, url, file); err != nil {
		return source{}, err
	}
	got, err := fileHash(file)
	if err != nil {
		return source{}, err
	}
	if got != want {
		return source{}, fmt.Errorf("%s: SHA-256 is %s, %s says %s: refused", url, got, envSum, want)
	}
	return b.cache.keep(file, source{Version: m[1], Origin: url, File: name})
}

func (b *builder) download(ctx context.Context, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	stop := b.watchSize(filepath.Dir(file), resp.ContentLength)
	_, err = io.Copy(out, resp.Body)
	stop()
	return errors.Join(err, out.Close())
}
