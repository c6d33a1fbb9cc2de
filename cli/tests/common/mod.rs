//! A tiny terminal: enough of a VT100 to show what the editor's echo does. Anything else in the echo is a
//! panic, so the editor cannot begin to use a sequence that was not thought about here.

/// Rows of characters and a cursor. Wraps late, as VT100 and its descendants do, and scrolls.
pub(crate) struct Terminal {
    width: usize,
    height: usize,
    pub(crate) rows: Vec<Vec<char>>,
    pub(crate) row: usize,
    pub(crate) column: usize,
    pending: bool,
    pub(crate) bells: usize,
}

impl Terminal {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        let rows = vec![vec![' '; width]; height];
        Self { width, height, rows, row: 0, column: 0, pending: false, bells: 0 }
    }

    /// The row as text, without blanks at its end.
    pub(crate) fn text(&self, row: usize) -> String {
        self.rows[row].iter().collect::<String>().trim_end().into()
    }

    pub(crate) fn print(&mut self, text: &str) {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\x07' => self.bells += 1,
                '\r' => self.go(self.row, 0),
                '\n' => self.line_feed(),
                '\x08' => {
                    assert!(self.column > 0 && !self.pending, "terminals disagree on this backspace");
                    self.go(self.row, self.column - 1);
                }
                '\x1b' => {
                    assert_eq!(chars.next(), Some('['), "{text:?}");
                    let digits: String = chars.clone().take_while(char::is_ascii_digit).collect();
                    let last = chars.nth(digits.len()).expect(text);
                    self.sequence(digits.parse().ok(), last);
                }
                c if c.is_control() => panic!("{c:?} in {text:?}"),
                c => self.put(c),
            }
        }
    }

    fn sequence(&mut self, n: Option<usize>, last: char) {
        assert_ne!(n, Some(0));
        let by = n.unwrap_or(1);
        match last {
            'A' => self.go(self.row.checked_sub(by).expect("above the top"), self.column),
            'B' => self.go(self.row + by, self.column),
            'C' => self.go(self.row, self.column + by),
            'D' => self.go(self.row, self.column.checked_sub(by).expect("left of the edge")),
            'H' if n.is_none() => self.go(0, 0),
            // Erasing starts with the cursor's cell, which in the pending state is the character just
            // written.
            'K' if n.is_none() => self.erase_row(),
            'J' if n.is_none() => {
                self.erase_row();
                let below = self.row + 1;
                self.rows[below..].iter_mut().for_each(|row| row.fill(' '));
            }
            'J' if n == Some(2) => self.rows.iter_mut().for_each(|row| row.fill(' ')),
            _ => panic!("ESC [ {n:?} {last}"),
        }
    }

    fn erase_row(&mut self) {
        self.rows[self.row][self.column..].fill(' ');
    }

    fn go(&mut self, row: usize, column: usize) {
        assert!(row < self.height && column < self.width, "motion off the screen: {row} {column}");
        (self.row, self.column, self.pending) = (row, column, false);
    }

    fn line_feed(&mut self) {
        if self.row + 1 == self.height {
            self.rows.remove(0);
            self.rows.push(vec![' '; self.width]);
        } else {
            self.row += 1;
        }
        self.pending = false;
    }

    fn put(&mut self, c: char) {
        if self.pending {
            self.column = 0;
            self.line_feed();
        }
        self.rows[self.row][self.column] = c;
        self.pending = self.column + 1 == self.width;
        self.column += usize::from(!self.pending);
    }
}
