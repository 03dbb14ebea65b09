//! The bar: a log from start to end in one line, with a letter where each reader is.
//!
//! ```text
//! 0 |---------A------------------B| 1204
//!                                C
//! ```
//! Readers at one place stand below each other.

/// Columns between the bar's ends.
const WIDTH: usize = 60;

const LETTERS: &[u8; 26] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// What stands for the reader of this number: a letter, then a small one, then nothing special.
pub fn letter(index: usize) -> char {
    let of = |index: usize| LETTERS.get(index).map(|letter| char::from(*letter));
    of(index)
        .or_else(|| of(index.checked_sub(LETTERS.len())?).map(|letter| letter.to_ascii_lowercase()))
        .unwrap_or('+')
}

/// The bar of a log from `start` to `end` (numbers of records before), and where readers are in it.
pub fn draw(start: u64, end: u64, places: &[(char, u64)]) -> String {
    let from = start.to_string();
    let indent = " ".repeat(from.len() + 2);
    let mut lines: Vec<[char; WIDTH]> = vec![['-'; WIDTH]];
    for (letter, place) in places {
        let column = column(*place, start, end);
        let free = lines.iter().position(|line| matches!(line[column], '-' | ' '));
        let index = free.unwrap_or_else(|| {
            lines.push([' '; WIDTH]);
            lines.len() - 1
        });
        lines[index][column] = *letter;
    }
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let line: String = line.iter().collect();
        if index == 0 {
            text.push_str(&format!("{from} |{line}| {end}\n"));
        } else {
            text.push_str(format!("{indent}{line}").trim_end());
            text.push('\n');
        }
    }
    text
}

/// Only who is at the very start stands in the first column, and only who is at the very end in the last.
fn column(place: u64, start: u64, end: u64) -> usize {
    const LAST: usize = WIDTH - 1;
    if place >= end || end <= start {
        return LAST;
    }
    if place <= start {
        return 0;
    }
    let inner = u128::from(place - start) * (LAST as u128) / u128::from(end - start);
    usize::try_from(inner).unwrap_or(LAST).clamp(1, LAST - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_stand_where_they_are_and_below_each_other() {
        let text = draw(10, 110, &[('A', 10), ('B', 110), ('C', 110), ('D', 11), ('E', 60), ('F', 109)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("10 |AD---") && lines[0].ends_with("-FB| 110"), "{text}");
        assert_eq!(lines[0].find('E'), Some(4 + 29));
        assert_eq!(lines[1].find('C'), lines[0].find('B'), "{text}");
    }

    #[test]
    fn an_empty_log_and_numbers_at_the_edge_have_a_bar() {
        assert!(draw(0, 0, &[('A', 0)]).contains("A| 0"));
        assert!(draw(7, 7, &[('A', 3)]).contains("A| 7"), "behind the start of an empty log is at its end");
        assert!(draw(0, u64::MAX, &[('A', u64::MAX - 1)]).contains("A-| "));
        assert_eq!(['A', 'Z', 'a', 'z', '+'], [0, 25, 26, 51, 52].map(letter));
    }
}
