//! Where everything is: widths from content, a row for each step from the top down.

use super::super::spans::{Sort, Span, spans};
use super::super::state::PartStates;
use super::super::text::{fit, wrap};
use super::super::{Kind, ShownStep, Trace};

/// Around everything, in pixels.
pub(super) const PAD: f64 = 14.0;
/// The height of a line of text.
pub(super) const LINE: f64 = 14.0;
/// The width that a lock's bar takes.
pub(super) const STEP: f64 = 15.0;
/// The width of a letter: 6.6 in a monospaced font of 11 pixels, and readers that draw on whole pixels make
/// it 7.
const LETTER: f64 = 7.0;
/// Between a life-line and its boxes.
const AWAY: f64 = 9.0;
/// Left of a column's bars, for arrows.
const CHANNEL: f64 = 22.0;
/// Width to height.
const SHAPE: f64 = 16.0 / 9.0;
/// Letters in all columns together, for each CPU and for the state.
const LETTERS: (usize, usize) = (36, 44);

/// What bars and arrows mean.
const LEGEND: &str =
    "bar: a lock is held; solid edge: exclusively, dashed: shared. Arrow: the other CPU goes on.";

/// A step, or several accesses to memory.
pub(super) struct Row {
    pub(super) cpu: usize,
    pub(super) kind: Kind,
    pub(super) number: String,
    pub(super) text: Vec<String>,
    pub(super) state: Vec<String>,
    pub(super) top: f64,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) boxed: bool,
    /// The indices of its steps.
    first: usize,
    last: usize,
}

impl Row {
    pub(super) fn middle(&self) -> f64 {
        self.top + LINE / 2.0 + 4.0
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Returns the height of its box.
    pub(super) fn tall(&self) -> f64 {
        LINE * self.text.len().max(1) as f64 + 4.0
    }

    /// Returns where a line of its text stands.
    pub(super) fn line(&self, index: usize) -> f64 {
        self.top + 4.0 + LINE * (index as f64 + 0.8)
    }
}

/// What one CPU has.
pub(super) struct Column {
    pub(super) head: Vec<String>,
    /// Where its bars begin.
    pub(super) left: f64,
    pub(super) life: f64,
    /// From where to where an operation was under way.
    pub(super) busy: Vec<(f64, f64)>,
    pub(super) waiting: Vec<(f64, f64)>,
}

/// A lock that is held.
pub(super) struct Bar<'a> {
    pub(super) cpu: usize,
    /// The how manieth bar left of the life-line.
    pub(super) lane: usize,
    pub(super) name: &'a str,
    /// The how manieth lock of the run.
    pub(super) lock: usize,
    pub(super) shared: bool,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// The whole picture.
pub(super) struct Layout<'a> {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) title: Vec<String>,
    pub(super) story: Vec<String>,
    /// Where numbers of steps end.
    pub(super) numbers: f64,
    pub(super) columns: Vec<Column>,
    /// Where the state begins.
    pub(super) state: f64,
    pub(super) rows: Vec<Row>,
    pub(super) bars: Vec<Bar<'a>>,
    /// From where to where life-lines go.
    pub(super) top: f64,
    pub(super) bottom: f64,
    /// Where what is under them begins.
    pub(super) foot: f64,
    pub(super) legend: Vec<String>,
}

impl<'a> Layout<'a> {
    pub(super) fn new(trace: &'a Trace, full: bool) -> Self {
        let heads = trace.heads();
        let told = told(trace, full);
        let long = |text: &str| text.chars().count();
        // Letters of each column and of the state.
        let widest = |cpu| told.iter().filter(|told| told.cpu == cpu).map(|told| long(&told.text)).max();
        let natural = heads.iter().enumerate().map(|(cpu, head)| widest(cpu).unwrap_or(0).max(long(head)));
        let letters = fit(&natural.collect::<Vec<_>>(), LETTERS.0 * heads.len(), 16);
        let state = told.iter().map(|told| long(&told.state)).max().unwrap_or(0).clamp(21, LETTERS.1);

        let mut spans = spans(trace);
        if !full {
            keep_shared(&mut spans, &told);
        }
        let lanes = lanes(&spans);
        let digits = told.iter().map(|told| told.number.len()).max().unwrap_or(0);
        let numbers = PAD + digits as f64 * LETTER;
        let mut x = numbers;
        let mut columns = Vec::new();
        for (cpu, head) in heads.iter().enumerate() {
            let bars = lanes.iter().zip(&spans).filter(|(_, span)| span.cpu == cpu);
            let bars = bars.filter_map(|(lane, _)| *lane).max().map_or(0, |lane| lane + 1);
            let left = x + CHANNEL;
            let life = left + (STEP * bars as f64).max(8.0);
            columns.push(Column {
                head: wrap(head, letters[cpu]),
                left,
                life,
                busy: vec![],
                waiting: vec![],
            });
            x = life + AWAY + letters[cpu] as f64 * LETTER + 2.0 * 5.0;
        }
        let width = (x + CHANNEL + state as f64 * LETTER + PAD).ceil();
        let wide = ((width - 2.0 * PAD) / LETTER) as usize;
        let title = wrap(&trace.verdict, wide * 10 / 12);
        let story = wrap(&format!("replay: {}", trace.story), wide);
        let heads = columns.iter().map(|column| column.head.len()).max().unwrap_or(1).max(1);
        let top = PAD + title.len() as f64 * (LINE + 3.0) + LINE * (story.len() + heads + 2) as f64;

        let mut y = top + 6.0;
        let mut rows = Vec::new();
        for told in told {
            let text = wrap(&told.text, letters[told.cpu]);
            let state = wrap(&told.state, state);
            let height = LINE * text.len().max(state.len()).max(1) as f64 + 8.0;
            let left = columns[told.cpu].life + AWAY;
            let widest = text.iter().map(|line| long(line)).max().unwrap_or(0);
            let right = left + widest as f64 * LETTER + 10.0;
            let Told { cpu, kind, number, first, last, .. } = told;
            let boxed = !matches!(kind, Kind::Lock | Kind::Unlock | Kind::Memory | Kind::Fence);
            rows.push(Row {
                cpu,
                kind,
                number,
                text,
                state,
                top: y,
                height,
                left,
                right,
                boxed,
                first,
                last,
            });
            y += height;
        }
        let bottom = y + 10.0;
        let foot = bottom + 6.0;
        let legend = wrap(LEGEND, wide);
        let height = foot + LINE * legend.len() as f64 + PAD;
        // A slide's shape: what is too narrow or too low gets room at the right or below.
        let (width, height) = (width.max((height * SHAPE).ceil()), height.max((width / SHAPE).ceil()));
        let mut layout = Self {
            width,
            height,
            title,
            story,
            numbers,
            columns,
            state: x + CHANNEL,
            rows,
            bars: vec![],
            top,
            bottom,
            foot,
            legend,
        };
        layout.place(&spans, &lanes);
        layout
    }

    /// Where the step of this index is drawn; one that is left out, after the last one before it.
    fn at(&self, index: usize) -> f64 {
        match self.rows.iter().rev().find(|row| row.first <= index) {
            Some(row) if index <= row.last => row.middle(),
            Some(row) => row.bottom(),
            None => self.top,
        }
    }

    /// Where everything that lasts is drawn.
    fn place(&mut self, spans: &[Span<'a>], lanes: &[Option<usize>]) {
        let mut locks: Vec<&str> = Vec::new();
        for (span, lane) in spans.iter().zip(lanes) {
            let from = self.at(span.first);
            let to = span.last.map_or(self.bottom, |last| self.at(last));
            let column = &mut self.columns[span.cpu];
            match (span.sort, lane) {
                (Sort::Operation, _) => column.busy.push((from, to)),
                (Sort::Waiting, _) => column.waiting.push((from, to)),
                (Sort::Lock { shared }, lane) => {
                    let lock = locks.iter().position(|&name| name == span.name).unwrap_or(locks.len());
                    if lock == locks.len() {
                        locks.push(span.name);
                    }
                    let (cpu, name, lane) = (span.cpu, span.name, lane.unwrap_or(0));
                    self.bars.push(Bar { cpu, lane, name, lock, shared, from, to });
                }
            }
        }
    }
}

/// What a row says, before it has a place.
struct Told {
    cpu: usize,
    kind: Kind,
    number: String,
    text: String,
    state: String,
    first: usize,
    last: usize,
}

/// Whether the short drawing tells of such steps.
fn is_told(kind: Kind) -> bool {
    match kind {
        Kind::Begins | Kind::Ends | Kind::Point | Kind::Waits | Kind::Wrong => true,
        // That an entry was installed is a point; the state says what is in it.
        Kind::Passing | Kind::Table | Kind::Lock | Kind::Unlock => false,
        Kind::Tlb | Kind::Memory | Kind::Fence => false,
    }
}

/// Leaves those locks that more than one CPU takes, as long as somebody is told to do something meanwhile;
/// and all else.
fn keep_shared(spans: &mut Vec<Span<'_>>, told: &[Told]) {
    let locks: Vec<(&str, usize)> = spans
        .iter()
        .filter(|span| matches!(span.sort, Sort::Lock { .. }))
        .map(|span| (span.name, span.cpu))
        .collect();
    let is_shared = |span: &Span<'_>| locks.iter().any(|&(name, cpu)| name == span.name && cpu != span.cpu);
    let is_seen = |span: &Span<'_>| {
        told.iter().any(|told| told.first > span.first && span.last.is_none_or(|last| told.last < last))
    };
    spans.retain(|span| !matches!(span.sort, Sort::Lock { .. }) || is_shared(span) && is_seen(span));
}

/// The steps that are told; accesses to memory that follow one another on one CPU are counted.
fn told(trace: &Trace, full: bool) -> Vec<Told> {
    let memory = |step: &ShownStep| matches!(step.kind, Kind::Memory | Kind::Fence) && step.state.is_empty();
    let mut state = PartStates::default();
    let mut told = Vec::new();
    let mut first = 0;
    for run in trace.steps.chunk_by(|a, b| memory(a) && memory(b) && a.cpu == b.cpu) {
        let [step, more @ ..] = run else { continue };
        state.now(&step.state);
        if !full && !is_told(step.kind) {
            first += run.len();
            continue;
        }
        let text = if more.is_empty() { step.text() } else { format!("({} steps on memory)", run.len()) };
        let number = step.number.to_string();
        let last = first + more.len();
        told.push(Told { cpu: step.cpu, kind: step.kind, number, text, state: state.news(), first, last });
        first = last + 1;
    }
    told
}

/// The lane of each lock: the first that no other lock of the CPU has at that time.
fn lanes(spans: &[Span<'_>]) -> Vec<Option<usize>> {
    let mut lanes: Vec<Option<usize>> = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let held = |lane: usize| {
            let others = spans[..index].iter().zip(&lanes);
            let at_once = |other: &Span<'_>| other.last.is_none_or(|last| last >= span.first);
            let mut there = others.filter(|(other, taken)| other.cpu == span.cpu && **taken == Some(lane));
            there.any(|(other, _)| at_once(other))
        };
        let is_lock = matches!(span.sort, Sort::Lock { .. });
        lanes.push(is_lock.then(|| (0..).find(|&lane| !held(lane)).unwrap_or(0)));
    }
    lanes
}
