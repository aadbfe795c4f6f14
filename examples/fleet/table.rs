//! The report: a Markdown table that reads well as it is.

use std::fmt;

pub struct Table {
    heading: String,
    rows: Vec<[String; 2]>,
}

impl Table {
    pub fn new(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), rows: vec![["what".into(), "measured".into()]] }
    }

    pub fn row(&mut self, what: impl Into<String>, measured: impl Into<String>) {
        let row = [what.into(), measured.into()];
        eprintln!("  {}: {}", row[0], row[1]);
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (what, measured) = (width(0), width(1));
        writeln!(f, "\n{}\n", self.heading)?;
        for (number, row) in self.rows.iter().enumerate() {
            writeln!(f, "| {:<what$} | {:<measured$} |", row[0], row[1])?;
            if number == 0 {
                writeln!(f, "|{}|{}|", "-".repeat(what + 2), "-".repeat(measured + 2))?;
            }
        }
        Ok(())
    }
}
