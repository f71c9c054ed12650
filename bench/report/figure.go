// SPDX-License-Identifier: MIT

package report

import (
	"bytes"
	"image/color"
	"strings"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// figure is one file of plots: a title, a legend outside the data, and a grid
// of panels, rows first, in which nil is an empty place.
type figure struct {
	name   string
	title  string
	notes  []string // lines below the title: what the axes cannot say
	legend []entry
	panels [][]*plot.Plot
	alt    string      // the description for those who do not see it
	wide   bool        // the labels of the vertical axis are words
	high   []vg.Length // the data of each row of panels, where they are not of the usual height
}

// entry is a legend entry: its swatch, and what it means.
type entry struct {
	name string
	draw func(c *draw.Canvas)
}

// The layout, in points. The data of all panels have the same size; what is
// around them depends on which labels they carry.
const (
	width    = 8 * vg.Inch
	margin   = 10
	lineStep = 13 // from one line of notes to the next
	swatch   = 26
	leftWith = 48 // vertical label and tick labels
	left     = 22
	right    = 18
	below    = 12
	baseWith = 38 // horizontal label and tick labels
	titled   = 20 // a panel's title
	dpi      = 150
)

func sans(size vg.Length, weight xfont.Weight) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size, Weight: weight}
}

func textStyle(size vg.Length, weight xfont.Weight, c color.Color) text.Style {
	return text.Style{Font: sans(size, weight), Color: c, Handler: plot.DefaultTextHandler, XAlign: draw.XLeft, YAlign: draw.YTop}
}

// render draws the figure twice. Neither format carries a date.
func (f *figure) render() (svg, png []byte, err error) {
	h := f.height()
	s := vgsvg.New(width, h)
	f.draw(s)
	var sb bytes.Buffer
	if _, err := s.WriteTo(&sb); err != nil {
		return nil, nil, err
	}
	// Arial and Helvetica have the measures of Liberation Sans.
	svg = bytes.ReplaceAll(sb.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;"))

	p := vgimg.NewWith(vgimg.UseWH(width, h), vgimg.UseDPI(dpi))
	f.draw(p)
	var pb bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: p}).WriteTo(&pb); err != nil {
		return nil, nil, err
	}
	return svg, pb.Bytes(), nil
}

func (f *figure) header() vg.Length {
	return 2*margin + 16 + lineStep*vg.Length(len(f.noteLines())) + 16*vg.Length(len(f.legendLines()))
}

func noteStyle() text.Style { return textStyle(9.5, xfont.WeightNormal, color.Gray{0x40}) }

// noteLines are the notes, broken where the figure is too narrow.
func (f *figure) noteLines() []string {
	style := noteStyle()
	var lines []string
	for _, n := range f.notes {
		line := ""
		for _, word := range strings.Fields(n) {
			longer := strings.TrimPrefix(line+" "+word, " ")
			if line != "" && style.Width(longer) > width-2*margin {
				lines = append(lines, line)
				longer = word
			}
			line = longer
		}
		lines = append(lines, line)
	}
	return lines
}

// panelHeight is that of the data alone, of a row of panels.
func (f *figure) panelHeight(row int) vg.Length {
	switch {
	case f.high != nil:
		return f.high[row]
	case len(f.panels) == 1:
		return 190
	}
	return 125
}

// panelWidth is that of the data alone.
func (f *figure) panelWidth() vg.Length {
	cols := vg.Length(len(f.panels[0]))
	return (width - margin - right - f.left() - (cols-1)*left) / cols
}

// heading is the style of the panels' titles: as large as lets each of them stand
// over its own panel.
func (f *figure) heading() text.Style {
	const largest, smallest = 9.5, 7
	style := textStyle(largest, xfont.WeightBold, black)
	for _, row := range f.panels {
		for _, p := range row {
			if p == nil {
				continue
			}
			for style.Font.Size > smallest && style.Width(p.Title.Text) > f.panelWidth() {
				style.Font.Size -= 0.25
			}
		}
	}
	style.YAlign = draw.YBottom
	return style
}

// left is the room left of the data of the first column.
func (f *figure) left() vg.Length {
	if f.wide {
		return 200
	}
	return leftWith
}

func (f *figure) height() vg.Length {
	h := f.header() + margin
	for i := range f.panels {
		h += titled + f.panelHeight(i) + f.under(i)
	}
	return h
}

// under is the room below the data of a row. The labels of a panel below which none
// is have the room of that.
func (f *figure) under(row int) vg.Length {
	last := row == len(f.panels)-1
	for j, p := range f.panels[row] {
		if p != nil && p.X.Label.Text != "" && (last || f.panels[row+1][j] != nil) {
			return baseWith
		}
	}
	return below
}

func (f *figure) draw(cs vg.CanvasSizer) {
	c := draw.New(cs)
	c.FillPolygon(white, []vg.Point{c.Min, {X: c.Max.X, Y: c.Min.Y}, c.Max, {X: c.Min.X, Y: c.Max.Y}})

	at := vg.Point{X: c.Min.X + margin, Y: c.Max.Y - margin}
	c.FillText(textStyle(13, xfont.WeightBold, black), at, f.title)
	at.Y -= 18
	for _, n := range f.noteLines() {
		c.FillText(noteStyle(), at, n)
		at.Y -= lineStep
	}
	at.Y -= 3
	label := textStyle(9.5, xfont.WeightNormal, black)
	label.YAlign = draw.YCenter
	for _, line := range f.legendLines() {
		x := at.X
		for _, e := range line {
			mid := at.Y - 6
			box := draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{Min: vg.Point{X: x, Y: mid - 5}, Max: vg.Point{X: x + swatch, Y: mid + 5}}}
			e.draw(&box)
			c.FillText(label, vg.Point{X: x + swatch + 5, Y: mid}, e.name)
			x += e.width(label)
		}
		at.Y -= 16
	}

	w, heading := f.panelWidth(), f.heading()
	top := c.Max.Y - f.header()
	for i, row := range f.panels {
		h := f.panelHeight(i)
		top -= titled
		for j, p := range row {
			if p == nil {
				continue
			}
			x := c.Min.X + margin + f.left() + vg.Length(j)*(w+left)
			data := vg.Rectangle{Min: vg.Point{X: x, Y: top - h}, Max: vg.Point{X: x + w, Y: top}}
			drawPanel(c, p, data, heading)
		}
		top -= h + f.under(i)
	}
}

// drawPanel draws p so that its data fill the rectangle. Gonum goes the other
// way: it finds the place of the data in a canvas, which depends on the size
// of the canvas through the glyphs at its edges. A few steps settle it.
func drawPanel(c draw.Canvas, p *plot.Plot, data vg.Rectangle, heading text.Style) {
	title := p.Title.Text
	c.FillText(heading, vg.Point{X: data.Min.X, Y: data.Max.Y + 4}, title)
	p.Title.Text = ""
	defer func() { p.Title.Text = title }()

	c.Rectangle = data
	for range 8 {
		got := p.DataCanvas(c).Rectangle
		c.Min.X += data.Min.X - got.Min.X
		c.Min.Y += data.Min.Y - got.Min.Y
		c.Max.X += data.Max.X - got.Max.X
		c.Max.Y += data.Max.Y - got.Max.Y
	}
	p.Draw(c)
}

func (e entry) width(label text.Style) vg.Length {
	return swatch + 5 + label.Width(e.name) + 16
}

// legendLines breaks the legend into lines that fit.
func (f *figure) legendLines() [][]entry {
	label := textStyle(9.5, xfont.WeightNormal, black)
	var lines [][]entry
	room := vg.Length(0)
	for _, e := range f.legend {
		w := e.width(label)
		if w > room {
			lines = append(lines, nil)
			room = width - 2*margin
		}
		lines[len(lines)-1] = append(lines[len(lines)-1], e)
		room -= w
	}
	return lines
}

// panel returns an empty plot in the house style.
func panel(title string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	p.Title.Text = title
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font = sans(9.5, xfont.WeightNormal)
		a.Label.Padding = 3
		a.Tick.Label.Font = sans(8.5, xfont.WeightNormal)
		a.Tick.Length = 4
		a.Padding = 0
		a.LineStyle.Width = 0.6
		a.Tick.LineStyle.Width = 0.6
	}
	p.Add(grid{})
	return p
}

// share gives the panels of a row one vertical label, and those of a column
// one horizontal label, at the outside; the axes must be the same.
func shareAxes(panels [][]*plot.Plot) {
	for _, row := range panels {
		first := true
		for _, p := range row {
			if p == nil {
				continue
			}
			if !first {
				p.Y.Label.Text = ""
				p.Y.Tick.Marker = unlabelled{p.Y.Tick.Marker}
			}
			first = false
		}
	}
	for j := range panels[0] {
		last := true
		for i := len(panels) - 1; i >= 0; i-- {
			p := panels[i][j]
			if p == nil {
				continue
			}
			if !last {
				p.X.Label.Text = ""
				p.X.Tick.Marker = unlabelled{p.X.Tick.Marker}
			}
			last = false
		}
	}
}

// unlabelled keeps the ticks that had a label, for the grid, without it.
type unlabelled struct{ plot.Ticker }

func (u unlabelled) Ticks(lo, hi float64) []plot.Tick {
	ticks := u.Ticker.Ticks(lo, hi)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = " "
		}
	}
	return ticks
}

// grid draws a line at each labelled tick, behind the data.
type grid struct{}

func (grid) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := draw.LineStyle{Color: gridGrey, Width: 0.6}
	if p.X.Tick.Length > 0 {
		for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
			if !t.IsMinor() {
				c.StrokeLine2(style, x(t.Value), c.Min.Y, x(t.Value), c.Max.Y)
			}
		}
	}
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if !t.IsMinor() {
			c.StrokeLine2(style, c.Min.X, y(t.Value), c.Max.X, y(t.Value))
		}
	}
}

// haloText writes text that stays legible on what lies below.
func haloText(c draw.Canvas, sty text.Style, at vg.Point, s string) {
	halo := sty
	halo.Color = white
	for _, d := range []vg.Point{{X: -1}, {X: 1}, {Y: -1}, {Y: 1}} {
		c.FillText(halo, at.Add(d), s)
	}
	c.FillText(sty, at, s)
}
