//! Colours of plots, and what makes them readable on light and dark ground.
//!
//! The drawing library writes colours as attributes. Rules of a style sheet come before attributes, so one
//! sheet in the file turns text and lines over where the reader's ground is dark; curves have colours that can
//! be told apart on both; the first of them also by those who see fewer colours (after Okabe and Ito, 2008).

use plotters::style::RGBColor;

/// Text and axes.
pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Lines of the grid.
pub(super) const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
/// Behind everything.
pub(super) const GROUND: RGBColor = RGBColor(0xff, 0xff, 0xff);

const CURVES: [RGBColor; 10] = [
    RGBColor(0x80, 0x80, 0x80),
    RGBColor(0x00, 0x8b, 0xd0),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x7a, 0x5f, 0xd0),
    RGBColor(0x9c, 0x6b, 0x4f),
    RGBColor(0x4f, 0xc3, 0xd9),
    RGBColor(0xc0, 0x30, 0x50),
];

/// Turns the colours above over.
const STYLE: &str = r##"<style>
text { font-family: system-ui, sans-serif }
@media (prefers-color-scheme: dark) {
  [fill="#FFFFFF"] { fill: #16181c }
  [fill="#222222"] { fill: #d8dadf }
  [stroke="#222222"] { stroke: #9a9da4 }
  [stroke="#DDDDDD"] { stroke: #33363c }
}
</style>
"##;

/// The colour of the curve at this place.
pub(super) fn curve(position: usize) -> RGBColor {
    CURVES[position % CURVES.len()]
}

/// The drawing with the style sheet in it.
pub(super) fn themed(svg: &str) -> String {
    let end =
        svg.find("<svg").and_then(|start| svg[start..].find('>').map(|end| start + end + 1)).unwrap_or(0);
    format!("{}\n{STYLE}{}", &svg[..end], svg[end..].trim_start())
}
