//! Listings in columns: `ls -l`, `df`, `mount`.
//!
//! Each column is as wide as its widest cell, one or more blanks apart. A row is padded only up to its last
//! cell that is not empty, so no line ends in blanks of the table's making. A character counts as one column
//! wide.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::fmt::Write;

/// Where a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellAlign {
    /// Text: at the left edge.
    Left,
    /// Numbers: at the right edge.
    Right,
}

/// A table that is filled row by row and then displayed, every line ended by `\n`.
#[derive(Clone, Debug)]
pub struct Table {
    aligns: Vec<CellAlign>,
    gap: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns an empty table. Columns beyond those of `aligns` stand left; columns are two blanks apart.
    pub fn new(aligns: &[CellAlign]) -> Self {
        Self { aligns: aligns.into(), gap: 2, rows: Vec::new() }
    }

    /// Sets the blanks between columns (`ls -l` has 1).
    pub fn gap(mut self, blanks: usize) -> Self {
        self.gap = blanks;
        self
    }

    /// Adds a row. Rows may differ in length.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    /// Returns how many rows there are.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.rows {
            // Blanks owed before the next cell that has text: printed only if there is one.
            let mut owed = 0;
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let gap = if column == 0 { 0 } else { self.gap };
                let pad = width.saturating_sub(cell.chars().count());
                let right = self.aligns.get(column) == Some(&CellAlign::Right);
                owed += gap + if right { pad } else { 0 };
                if !cell.is_empty() {
                    for _ in 0..owed {
                        f.write_char(' ')?;
                    }
                    f.write_str(cell)?;
                    owed = 0;
                }
                owed += if right { 0 } else { pad };
            }
            f.write_char('\n')?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::CellAlign::*;
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn numbers_stand_right_and_text_left() {
        let mut table = Table::new(&[Left, Right, Left]);
        table
            .row(["Filesystem", "Size", "Mounted on"])
            .row(["pmem0", "128M", "/"])
            .row(["p", "4096M", "/mnt/pm"]);
        let text = "Filesystem   Size  Mounted on\npmem0        128M  /\np           4096M  /mnt/pm\n";
        assert_eq!(table.to_string(), text);
    }

    #[test]
    fn no_line_ends_in_padding() {
        let mut table = Table::new(&[Left, Left, Right]).gap(1);
        table.row(["a", "bb", "1"]).row(["aaa", "", ""]).row(["x"]).row::<&str>([]).row(["", "", "22"]);
        assert_eq!(table.to_string(), "a   bb  1\naaa\nx\n\n       22\n");
    }

    #[test]
    fn width_counts_characters_not_bytes() {
        let mut table = Table::new(&[]);
        table.row(["é", "x"]).row(["ab", "y"]);
        assert_eq!(table.to_string(), "é   x\nab  y\n");
        assert_eq!(table.rows(), 2);
    }

    #[test]
    fn an_empty_table_prints_nothing() {
        assert_eq!(Table::new(&[Left]).to_string(), "");
    }
}
