//! Tables that people can read.

/// Rows in columns as wide as they need to be; numbers to the right.
#[derive(Debug)]
pub struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these heads. A head that begins with `>` is of a column of numbers.
    pub fn new(heads: &[&'static str]) -> Self {
        Self { heads: heads.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A column in which nothing stands says nothing.
        let shown: Vec<usize> = (0..self.heads.len())
            .filter(|&column| self.rows.iter().any(|row| !row[column].is_empty()))
            .collect();
        let heads: Vec<&str> = self.heads.iter().map(|head| head.trim_start_matches('>')).collect();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([heads[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::new();
            for (column, cell) in cells.enumerate().filter(|(column, _)| shown.contains(column)) {
                let fill = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
                if !text.is_empty() {
                    text.push_str("  ");
                }
                let numbers = self.heads[column].starts_with('>');
                let (before, after) = if numbers { (fill.as_str(), "") } else { ("", fill.as_str()) };
                text.push_str(before);
                text.push_str(cell);
                text.push_str(after);
            }
            text.trim_end().to_owned()
        };
        writeln!(f, "{}", line(&mut heads.iter().copied()))?;
        for row in &self.rows {
            writeln!(f, "{}", line(&mut row.iter().map(String::as_str)))?;
        }
        Ok(())
    }
}
