//! A run as a drawing for a slide, 16 to 9: from the top down, a life-line for each CPU.
//!
//! A life-line is thick while an operation is under way and dashed while it waits. Right of it are the steps,
//! left of it a bar for each lock as long as it is held: solid if exclusively, with a dashed edge if shared.
//! An arrow leads to the CPU that goes on. The last column says how locks and page tables are. Only `full`
//! draws each step: else operations, the steps of the code that decide something, waiting, and the locks that
//! more than one CPU takes. Accesses to memory that follow one another are one line. Everything that colour
//! says is also said by shape or words, for print in black and white.
//!
//! `layout.rs` says where everything is; `xml.rs` writes elements. No scripts, no fonts of its own, nothing
//! from outside.

mod layout;
mod xml;

use layout::{Bar, LINE, Layout, PAD, Row, STEP};
use xml::Xml;

use super::{Kind, Trace};

/// The look of it. Fill and edge are told apart in print by edge alone.
const STYLE: &str = "\
text{font-family:'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:11px;fill:#111}\
.title{font-size:13px;font-weight:bold}.head{font-weight:bold}.small{font-size:9px;fill:#444}\
.begins{font-weight:bold}.wrong text{font-weight:bold;fill:#b00020}\
.box{fill:#fff;stroke:#333;stroke-width:1}.box.begins,.box.ends{fill:#e8e8e8;stroke:#000;stroke-width:1.6}\
.box.table{fill:#dcebfa}.box.tlb{fill:#efe3f7}.box.waits{fill:#fff;stroke-dasharray:4 3}\
.box.wrong{fill:#ffe3e3;stroke:#b00020;stroke-width:3}\
.life{stroke:#777;stroke-width:1}.busy{stroke:#000;stroke-width:3}.waiting{stroke:#fff;stroke-width:1.6;stroke-dasharray:4 4}\
.switch{fill:none;stroke:#0a4f8f;stroke-width:1.2}.tip{fill:#0a4f8f}.rule{stroke:#ddd;stroke-width:1}\
.bar{stroke:#000;stroke-width:1.4}.bar.shared{stroke-dasharray:3 2;stroke-width:1}";

/// Fills of bars, one lock after another: of different lightness.
const FILLS: [&str; 6] = ["#ffd27f", "#9fd8b4", "#c9b6ec", "#f3aebb", "#a9d3ee", "#e6e39a"];

/// Draws a run as a picture in SVG 1.1; all steps of it, or (not `full`) those that tell the story.
pub fn svg(trace: &Trace, full: bool) -> String {
    let layout = Layout::new(trace, full);
    let mut xml = Xml::new(layout.width, layout.height, &trace.verdict, &trace.story, STYLE);
    let mut y = PAD;
    for (lines, class) in [(&layout.title, "title"), (&layout.story, "small")] {
        for line in lines {
            y += LINE + if class == "title" { 3.0 } else { 0.0 };
            xml.text(PAD, y, class, line);
        }
    }
    for rule in &layout.rows {
        if !rule.state.is_empty() {
            xml.line((PAD, rule.bottom()), (layout.width - PAD, rule.bottom()), "rule");
        }
    }
    heads(&mut xml, &layout);
    life_lines(&mut xml, &layout);
    for bar in &layout.bars {
        draw_bar(&mut xml, &layout, bar);
    }
    for pair in layout.rows.windows(2) {
        if let [from, to] = pair
            && from.cpu != to.cpu
        {
            switch(&mut xml, &layout, from, to);
        }
    }
    for row in &layout.rows {
        draw_row(&mut xml, &layout, row);
    }
    for (index, line) in layout.legend.iter().enumerate() {
        xml.text(PAD, layout.foot + LINE * (index + 1) as f64, "small", line);
    }
    xml.end()
}

fn heads(xml: &mut Xml, layout: &Layout) {
    for column in &layout.columns {
        for (index, line) in column.head.iter().enumerate() {
            xml.text(column.left, layout.top - LINE * (column.head.len() - index) as f64, "head", line);
        }
    }
    xml.text(layout.state, layout.top - LINE, "head", "locks and page tables");
}

fn life_lines(xml: &mut Xml, layout: &Layout) {
    for column in &layout.columns {
        xml.line((column.life, layout.top), (column.life, layout.bottom), "life");
        for &(from, to) in &column.busy {
            xml.line((column.life, from), (column.life, to), "busy");
        }
        for &(from, to) in &column.waiting {
            xml.line((column.life, from), (column.life, to), "waiting");
        }
    }
}

/// A lock held: its name inside if it is long enough, else only beside the step that took it.
fn draw_bar(xml: &mut Xml, layout: &Layout, bar: &Bar<'_>) {
    let x = layout.columns[bar.cpu].life - STEP * (bar.lane + 1) as f64;
    let fill = FILLS[bar.lock % FILLS.len()];
    let class = if bar.shared { "bar shared" } else { "bar" };
    xml.rect((x, bar.from), (STEP - 3.0, bar.to - bar.from), class, fill);
    let long = bar.name.chars().count() as f64 * 5.6;
    if long + 4.0 <= bar.to - bar.from {
        xml.upwards(x + STEP - 5.5, bar.from.midpoint(bar.to) + long / 2.0, "small", bar.name);
    }
}

/// From the last step of one CPU to the next one's first: along the row, down left of the right one's bars,
/// along.
fn switch(xml: &mut Xml, layout: &Layout, from: &Row, to: &Row) {
    // The next switch may come right after, from where this one leads to: it goes out a little lower.
    let (y, end) = (from.middle() + 2.5, to.middle() - 2.5);
    let right = &layout.columns[from.cpu.max(to.cpu)];
    let channel = right.left - 8.0;
    let column = &layout.columns[to.cpu];
    let (start, tip) = if from.cpu < to.cpu {
        (from.right, column.life - 5.0)
    } else {
        (layout.columns[from.cpu].life, to.right + 1.0)
    };
    xml.path(&[(start, y), (channel, y), (channel, end), (tip, end)], "switch");
    let back = if from.cpu < to.cpu { -7.0 } else { 7.0 };
    xml.polygon(&[(tip, end), (tip + back, end - 3.5), (tip + back, end + 3.5)], "tip");
}

fn draw_row(xml: &mut Xml, layout: &Layout, row: &Row) {
    let class = match row.kind {
        Kind::Begins => "begins",
        Kind::Ends => "ends",
        Kind::Waits => "waits",
        Kind::Table => "table",
        Kind::Tlb => "tlb",
        Kind::Wrong => "wrong",
        Kind::Point | Kind::Passing | Kind::Lock | Kind::Unlock | Kind::Memory | Kind::Fence => "",
    };
    let life = layout.columns[row.cpu].life;
    xml.open(class);
    if row.boxed {
        let left = row.left;
        xml.rect((left, row.top + 2.0), (row.right - left, row.tall()), &format!("box {class}"), "");
    }
    xml.circle((life, row.middle()), if row.boxed { 3.0 } else { 2.0 });
    for (index, line) in row.text.iter().enumerate() {
        xml.text(row.left + 5.0, row.line(index), class, line);
    }
    xml.close();
    xml.right(layout.numbers, row.line(0), "small", &row.number);
    for (index, line) in row.state.iter().enumerate() {
        xml.text(layout.state, row.line(index), "", line);
    }
}
