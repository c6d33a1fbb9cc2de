//! Counterexamples for people: one run as a table, as a trace that Perfetto opens, and as a drawing.
//!
//! Nothing here knows what a run is made of: whoever ran it tells it as a [`Trace`], and each form draws what
//! it is told. Takes no locks.
//!
//! | file | what |
//! |---|---|
//! | `table.rs` | text: a column for each CPU, a line for each step |
//! | `perfetto.rs` | JSON in the trace-event format |
//! | `svg/` | a drawing for a slide |
//! | `spans.rs` | what lasts: operations, locks, waiting |
//! | `state.rs` | locks and page tables, part by part |
//! | `text.rs` | wrapping, and widths from content |

mod perfetto;
mod spans;
mod state;
mod svg;
mod table;
mod text;

pub use perfetto::perfetto;
pub use svg::svg;
pub use table::table;

/// One run, as told to people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// What repeats it exactly.
    pub story: String,
    /// A head for each CPU: "CPU 0, space a: load".
    pub cpus: Vec<String>,
    /// What happened, in order.
    pub steps: Vec<ShownStep>,
    /// What came of it, in a line or two.
    pub verdict: String,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownStep {
    /// Who did it.
    pub cpu: usize,
    /// What sort of thing it is.
    pub kind: Kind,
    /// What, as [`Kind`] says.
    pub what: String,
    /// Those locks and page tables that are now other than before, as parts with "; " between them: "dax_sem:
    /// 1 shared; a: page 1 → zero page, r". A part's name is what comes before its "→", or its ": " if there
    /// is no arrow. Empty: all is as before.
    pub state: String,
    /// The number of the visible step that it belongs to: never less than the one before.
    pub number: u64,
}

/// Sorts of steps. Each form adds the words around [`ShownStep::what`] that are given here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An operation begins: "load".
    Begins,
    /// The CPU's operation ends. What: its result. Shown as "ends: 0x1000".
    Ends,
    /// A named step of the code.
    Point,
    /// The same, of those that only say how far a lock or a fault is: bars and boxes show that too.
    Passing,
    /// It has a lock. What: the lock's name, and " shared" if it is. Shown as "lock dax_sem shared".
    Lock,
    /// It let go of a lock. What: as when it took it; the mode may be left out. Shown as "unlock dax_sem".
    Unlock,
    /// It cannot go on. What: that which it waits for, until its next step. Shown as "waits for dax_sem".
    Waits,
    /// A page table changed.
    Table,
    /// A TLB was filled or emptied. Shown as "TLB: filled, page 1".
    Tlb,
    /// A load, a store or a flush of persistent memory, or a shared word.
    Memory,
    /// A fence. What may be empty. Shown as "fence".
    Fence,
    /// Here a property broke. What: which. Shown between stars, as in the RFC.
    Wrong,
}

impl ShownStep {
    /// What happened, with the words around it.
    fn text(&self) -> String {
        let what = &self.what;
        match self.kind {
            Kind::Ends => format!("ends: {what}"),
            Kind::Lock => format!("lock {what}"),
            Kind::Unlock => format!("unlock {what}"),
            Kind::Waits => format!("waits for {what}"),
            Kind::Tlb => format!("TLB: {what}"),
            Kind::Fence if what.is_empty() => "fence".into(),
            Kind::Wrong => format!("*{what}*"),
            _ => what.clone(),
        }
    }
}

impl Trace {
    /// A head for each CPU: one that has steps but no head gets its number.
    fn heads(&self) -> Vec<String> {
        let cpus = self.steps.iter().map(|step| step.cpu + 1).max().unwrap_or(0).max(self.cpus.len());
        (0..cpus).map(|cpu| self.cpus.get(cpu).cloned().unwrap_or_else(|| format!("CPU {cpu}"))).collect()
    }

    /// Whether each step is inside an operation of its CPU, its beginning and end left out.
    fn inside(&self) -> Vec<bool> {
        let mut busy = vec![false; self.heads().len()];
        let inside = |step: &ShownStep| {
            let was = busy[step.cpu];
            busy[step.cpu] = step.kind == Kind::Begins || was && step.kind != Kind::Ends;
            was && busy[step.cpu] && step.kind != Kind::Begins
        };
        self.steps.iter().map(inside).collect()
    }
}
