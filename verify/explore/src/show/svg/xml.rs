//! Elements of a drawing, as text.

use std::fmt::{Display, Write};

/// A place, in pixels.
type Pixels = (f64, f64);

/// A drawing that is being written.
pub(super) struct Xml {
    out: String,
}

/// Text that stands in XML: what would be markup is escaped, and what XML 1.0 cannot hold is replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(letter),
        }
    }
    out
}

impl Xml {
    /// Begins an empty picture on white. `title` and `about` are for readers that cannot see it, and to be
    /// copied.
    pub(super) fn new(width: f64, height: f64, title: &str, about: &str, style: &str) -> Self {
        let (title, about) = (escape(title), escape(about));
        let out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" \
             width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n<title>{title}</title>\n\
             <desc>{about}</desc>\n<style>{style}</style>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
        );
        Self { out }
    }

    /// Ends the picture and returns the whole of it.
    pub(super) fn end(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }

    fn element(&mut self, element: impl Display) {
        let _ = writeln!(self.out, "{element}");
    }

    /// Begins a group.
    pub(super) fn open(&mut self, class: &str) {
        self.element(format_args!("<g class=\"{class}\">"));
    }

    /// Ends it.
    pub(super) fn close(&mut self) {
        self.element("</g>");
    }

    fn write(&mut self, at: Pixels, more: impl Display, class: &str, text: &str) {
        let ((x, y), text) = (at, escape(text));
        let space = "xml:space=\"preserve\"";
        self.element(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" {space}{more}>{text}</text>"
        ));
    }

    /// Writes text from `x` on, on the line `y`.
    pub(super) fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.write((x, y), "", class, text);
    }

    /// Writes text that ends at `x`.
    pub(super) fn right(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.write((x, y), " text-anchor=\"end\"", class, text);
    }

    /// Writes text that goes up from `y`.
    pub(super) fn upwards(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.write((x, y), format_args!(" transform=\"rotate(-90 {x:.1} {y:.1})\""), class, text);
    }

    /// Draws a rectangle. `fill`: a colour, or what the class says if empty.
    pub(super) fn rect(&mut self, (x, y): Pixels, (width, height): Pixels, class: &str, fill: &str) {
        let fill = if fill.is_empty() { String::new() } else { format!(" fill=\"{fill}\"") };
        self.element(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\" class=\"{class}\"{fill}/>"
        ));
    }

    /// Draws a straight line.
    pub(super) fn line(&mut self, (x1, y1): Pixels, (x2, y2): Pixels, class: &str) {
        self.element(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
        ));
    }

    /// Draws a dot.
    pub(super) fn circle(&mut self, (x, y): Pixels, radius: f64) {
        self.element(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>"));
    }

    /// Draws a line with corners.
    pub(super) fn path(&mut self, points: &[Pixels], class: &str) {
        self.element(format_args!("<polyline points=\"{}\" class=\"{class}\"/>", list(points)));
    }

    /// Draws a filled shape.
    pub(super) fn polygon(&mut self, points: &[Pixels], class: &str) {
        self.element(format_args!("<polygon points=\"{}\" class=\"{class}\"/>", list(points)));
    }
}

fn list(points: &[Pixels]) -> String {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    points.join(" ")
}
