//! How results are shown: a table for people, JSON for programs, names for pipes.
//!
//! JSON is a contract: fields may be added, never renamed or given another meaning.

use std::io::{IsTerminal, Write};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::exit::Failure;

/// The form of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// More columns
    Wide,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
    /// Names only, one a line
    Name,
}

/// The choice of form.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Something that has a line in a table.
pub trait Row: Serialize {
    /// The columns' titles.
    fn titles(wide: bool) -> Vec<&'static str>;
    /// What stands in them.
    fn cells(&self, wide: bool) -> Vec<String>;
    /// What it is called.
    fn name(&self) -> String;
}

/// Prints `rows` in the form that was chosen.
///
/// # Errors
/// Stdout doesn't take it.
pub fn list<R: Row>(rows: &[R], format: Format) -> Result<(), Failure> {
    let text = match format {
        Format::Table | Format::Wide => table_of(rows, format == Format::Wide),
        Format::Json => format!("{}\n", json_pretty(&rows)),
        Format::Jsonl => rows.iter().map(|row| json_line(row) + "\n").collect(),
        Format::Name => rows.iter().map(|row| row.name() + "\n").collect(),
    };
    print(&text)
}

/// The table of `rows`, with a final newline.
pub fn table_of<R: Row>(rows: &[R], wide: bool) -> String {
    table(&R::titles(wide), rows.iter().map(|row| row.cells(wide)).collect())
}

/// A table without lines: titles, then rows, columns two spaces apart. Nothing is cut or wrapped, so a script
/// that reads a table sees every cell whole.
pub fn table(titles: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut widths: Vec<usize> = titles.iter().map(|title| title.len()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  "));
        padded.collect::<String>().trim_end().to_owned()
    };
    let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    let titles = line(&titles);
    let mut text = if colour() { format!("\x1b[1m{titles}\x1b[0m\n") } else { titles + "\n" };
    for row in rows {
        text.push_str(&line(&row));
        text.push('\n');
    }
    text
}

/// Whether stdout is a terminal whose owner hasn't asked for plain text (<https://no-color.org>).
pub fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Indented JSON.
pub fn json_pretty<T: Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).expect("plain structs of strings and numbers always serialise")
}

/// JSON in one line.
pub fn json_line<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain structs of strings and numbers always serialise")
}

/// Bytes as one cell of one line: control characters escaped, so that no record can move the cursor or forge
/// a line.
pub fn cell(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "null".to_owned() };
    let mut text = String::new();
    for letter in String::from_utf8_lossy(bytes).chars() {
        if letter.is_control() { text.extend(letter.escape_default()) } else { text.push(letter) }
    }
    text
}

/// Writes data to stdout.
///
/// # Errors
/// Stdout doesn't take it.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::output)
}

/// Writes a line of progress to stderr, where scripts don't see it.
pub fn progress(text: &str) {
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// `1 record`, `2 records`.
pub fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// `1,2,3` as `1-3`, so that a topic of a thousand partitions fits a line.
pub fn ranges(numbers: &[i32]) -> String {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut parts: Vec<String> = Vec::new();
    let mut run: Option<(i32, i32)> = None;
    let flush = |run: Option<(i32, i32)>, parts: &mut Vec<String>| {
        if let Some((first, last)) = run {
            parts.push(if first == last { first.to_string() } else { format!("{first}-{last}") });
        }
    };
    for number in sorted {
        run = match run {
            Some((first, last)) if last.checked_add(1) == Some(number) => Some((first, number)),
            ended => {
                flush(ended, &mut parts);
                Some((number, number))
            }
        };
    }
    flush(run, &mut parts);
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_trailing_blanks() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["longer".to_owned(), String::new()]];
        assert_eq!(table(&["NAME", "N"], rows), "NAME    N\na       1\nlonger\n");
    }

    #[test]
    fn one_thing_is_not_plural() {
        for (count, text) in [(0, "0 records"), (1, "1 record"), (2, "2 records")] {
            assert_eq!(counted(count, "record"), text);
        }
    }

    #[test]
    fn ranges_join_neighbours() {
        for (numbers, text) in [
            (&[][..], ""),
            (&[3][..], "3"),
            (&[2, 0, 1][..], "0-2"),
            (&[0, 1, 4, 6, 7][..], "0-1,4,6-7"),
            (&[i32::MAX, i32::MAX - 1][..], "2147483646-2147483647"),
        ] {
            assert_eq!(ranges(numbers), text);
        }
    }
}
