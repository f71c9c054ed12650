// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"image/color"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"wqfan/bench/result"
)

// Okabe and Ito's palette, which people with any colour vision tell apart.
var (
	black     = color.RGBA{0x00, 0x00, 0x00, 0xff}
	orange    = color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	skyBlue   = color.RGBA{0x56, 0xb4, 0xe9, 0xff}
	green     = color.RGBA{0x00, 0x9e, 0x73, 0xff}
	yellow    = color.RGBA{0xf0, 0xe4, 0x42, 0xff}
	blue      = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	vermilion = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	purple    = color.RGBA{0xcc, 0x79, 0xa7, 0xff}

	indigo    = color.RGBA{0x5b, 0x3a, 0x9e, 0xff}
	brown     = color.RGBA{0x8c, 0x51, 0x0a, 0xff}
	paleGreen = color.RGBA{0xb5, 0xe3, 0xd5, 0xff}
	midGrey   = color.RGBA{0x9a, 0x9a, 0x9a, 0xff}
	grey      = color.RGBA{0x80, 0x80, 0x80, 0xff}
	darkGrey  = color.RGBA{0x58, 0x58, 0x58, 0xff}
	lightGrey = color.RGBA{0xa8, 0xa8, 0xa8, 0xff}
	gridGrey  = color.RGBA{0xe6, 0xe6, 0xe6, 0xff}
	white     = color.RGBA{0xff, 0xff, 0xff, 0xff}
)

// armStyle is how a channel looks in every plot: a colour of its own, and a
// dash and a marker for those who see or print none.
type armStyle struct {
	name  string
	about string
	color color.RGBA
	dash  []vg.Length
	glyph draw.GlyphDrawer
}

var armStyles = []armStyle{
	{"fan", "fanotify, mainline FAN_FS_ERROR: merges what is alike", blue, nil, draw.RingGlyph{}},
	{"fan-detail", "fanotify with detailed records: errors that differ are not merged, identical ones are", skyBlue, []vg.Length{1, 2}, draw.CrossGlyph{}},
	{"wq-base", "watch_queue with mainline's queue, posted where the error happens", vermilion, []vg.Length{7, 3}, draw.TriangleGlyph{}},
	{"wq-base-worker", "the same, posted from fserror's worker as fanotify's events are", orange, []vg.Length{7, 2, 1.5, 2}, draw.SquareGlyph{}},
	{"fan-honest", "FAN_FS_ERROR that merges when its queue is full, and counts what it drops", purple, []vg.Length{10, 2}, draw.BoxGlyph{}},
	{"wq", "watch_queue as the series makes it", green, []vg.Length{3, 2}, draw.PlusGlyph{}},
	{"wq-parts", "the same, where each part of a long record may be lost by itself", indigo, []vg.Length{1, 3}, draw.PyramidGlyph{}},
	{"healthmon", "XFS's health monitor: 512 errors of file ranges; it counts what it loses, and tells with the next error", brown, []vg.Length{5, 1.5}, draw.CircleGlyph{}},
	{"kmsg", "the kernel's log as it is: ext4 writes ten lines in five seconds, and tells of the others with the next line", darkGrey, []vg.Length{1.5, 1.5}, diamond{}},
	{"kmsg-all", "the kernel's log without ext4's rate limit", lightGrey, []vg.Length{4, 1, 1, 1}, diamond{hollow: true}},
}

// diamond is a square on its corner.
type diamond struct{ hollow bool }

// DrawGlyph implements draw.GlyphDrawer.
func (d diamond) DrawGlyph(c *draw.Canvas, sty draw.GlyphStyle, at vg.Point) {
	r := sty.Radius * 1.2
	var p vg.Path
	p.Move(vg.Point{X: at.X, Y: at.Y + r})
	p.Line(vg.Point{X: at.X + r, Y: at.Y})
	p.Line(vg.Point{X: at.X, Y: at.Y - r})
	p.Line(vg.Point{X: at.X - r, Y: at.Y})
	p.Close()
	if !d.hollow {
		c.Fill(p)
		return
	}
	c.SetLineStyle(draw.LineStyle{Color: sty.Color, Width: vg.Points(0.5)})
	c.Stroke(p)
}

// onKernel stands between an arm and its kernel, where a run has the arm on the
// patched kernel too.
const onKernel = " on "

// baseline says that a channel is none of the two that the claims are about.
func baseline(arm string) bool { return arm == "healthmon" || strings.HasPrefix(arm, "kmsg") }

// tellsLate says that a channel tells of a loss with the next error that it has
// room for, or the leave to print: until there is one the loss is silent.
func tellsLate(arm string) bool { return arm == "healthmon" || arm == "kmsg" }

func armRank(name string) int {
	name, _, _ = strings.Cut(name, onKernel)
	i := slices.IndexFunc(armStyles, func(s armStyle) bool { return s.name == name })
	if i < 0 {
		return len(armStyles)
	}
	return i
}

func compareArms(a, b string) int {
	return cmp.Or(cmp.Compare(armRank(a), armRank(b)), strings.Compare(a, b))
}

func styleOf(arm string) armStyle {
	if i := armRank(arm); i < len(armStyles) {
		s := armStyles[i]
		if _, kernel, ok := strings.Cut(arm, onKernel); ok {
			s.name, s.about, s.dash = arm, s.about+"; on the kernel "+kernel, []vg.Length{2, 1}
		}
		return s
	}
	return armStyle{name: arm, color: grey, glyph: draw.CrossGlyph{}}
}

func (s armStyle) line() draw.LineStyle {
	return draw.LineStyle{Color: s.color, Width: 1.6, Dashes: s.dash}
}

func (s armStyle) marker() draw.GlyphStyle {
	return draw.GlyphStyle{Color: s.color, Radius: 3.4, Shape: s.glyph}
}

// fate is what can become of an error, and how a plot shows it. The loss that
// nobody is told of is the one in black.
type fate struct {
	name  string
	of    func(*result.Cell) float64
	fill  color.RGBA
	hatch vg.Length // distance of diagonal lines, 0 for none
	edge  bool
}

// The two losses.
var (
	signalled = fate{"lost, and the reader was told", func(c *result.Cell) float64 { return float64(c.Account.Signalled) }, yellow, 5, true}
	silent    = fate{"lost silently", func(c *result.Cell) float64 { return float64(c.Account.Silent) }, black, 0, false}
)

var fates = []fate{
	{"delivered in detail", func(c *result.Cell) float64 { return float64(c.Account.Detailed) }, green, 0, false},
	{"delivered as a count only", func(c *result.Cell) float64 { return float64(c.Account.Coalesced) }, paleGreen, 0, false},
	{"filtered", func(c *result.Cell) float64 { return float64(c.Account.Filtered) }, skyBlue, 0, false},
	{"refused by fserror", func(c *result.Cell) float64 { return float64(c.Account.Refused) }, midGrey, 0, false},
	signalled,
	silent,
	{"unexplained", func(c *result.Cell) float64 { return float64(max(0, c.Account.Unexplained())) }, purple, 2.5, true},
}
