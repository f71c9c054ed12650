// SPDX-License-Identifier: MIT

package report

import (
	"bytes"
	"fmt"
	"html"
	"regexp"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
)

// The page around the report. It loads nothing: fonts are the reader's own.
const pageHead = `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>%s</title>
<style>
body { font: 16px/1.5 "Liberation Sans", Arial, Helvetica, sans-serif; color: #111; background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1, h2, h3 { line-height: 1.2; margin: 2rem 0 .7rem }
h2 { border-bottom: 1px solid #ccc; padding-bottom: .2rem }
table { border-collapse: collapse; font-size: .85rem; display: block; overflow-x: auto; font-variant-numeric: tabular-nums }
th, td { border: 1px solid #ddd; padding: .25rem .5rem; text-align: left; vertical-align: top }
th { background: #f4f4f4 }
[align=right] { text-align: right; white-space: nowrap }
figure { margin: 1.5rem 0 }
figure svg { width: 100%%; height: auto }
blockquote { margin: 0; padding-left: 1rem; border-left: 4px solid #0072b2 }
code, pre { font-family: "Liberation Mono", monospace; font-size: .9em }
pre { background: #f4f4f4; padding: .7rem; overflow-x: auto }
@media print { body { max-width: none; margin: 0 } figure, tr { break-inside: avoid } }
</style>
`

var (
	shown     = regexp.MustCompile(`<p><img src="` + plotDir + `/([A-Za-z0-9_-]+)\.png" alt="([^"]*)"></p>|<a href="` + plotDir + `/([A-Za-z0-9_-]+)\.png">([^<]*)</a>`)
	svgProlog = regexp.MustCompile(`(?s)^.*?(<svg )`)
	svgSize   = regexp.MustCompile(`<svg width="([0-9.]+)pt" height="([0-9.]+)pt"`)
)

// page makes one self-contained HTML file of report.md: its plots are inside.
func page(md string, svgs map[string][]byte) ([]byte, error) {
	var body bytes.Buffer
	m := goldmark.New(goldmark.WithExtensions(extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute))),
		goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	if err := m.Convert([]byte(md), &body); err != nil {
		return nil, fmt.Errorf("make a page of %s: %w", File, err)
	}
	seen := map[string]bool{}
	inside := shown.ReplaceAllFunc(body.Bytes(), func(old []byte) []byte {
		part := shown.FindSubmatch(old)
		name, text := string(part[1])+string(part[3]), append(part[2], part[4]...)
		if seen[name] {
			return fmt.Appendf(nil, `<a href="#plot-%s">%s</a>`, name, text)
		}
		seen[name] = true
		svg := svgProlog.ReplaceAll(svgs[name], []byte("$1"))
		svg = svgSize.ReplaceAll(svg, []byte(`<svg role="img" aria-label="`+string(text)+`" width="${1}pt" height="${2}pt"`))
		return fmt.Appendf(nil, `<figure id="plot-%s">%s</figure>`, name, bytes.TrimSpace(svg))
	})
	title, _, _ := bytes.Cut([]byte(md), []byte("\n"))
	head := fmt.Sprintf(pageHead, html.EscapeString(string(bytes.TrimPrefix(title, []byte("# ")))))
	return append([]byte(head), inside...), nil
}
