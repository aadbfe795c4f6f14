//! How commands for people print: plain aligned text, or JSON.

use std::io::{ErrorKind, Write};

use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For scripts: one document, in the shape that docs/command-line.md describes.
    Json,
}

/// Writes to standard output. A reader that has gone, such as `head`, has what it wants.
pub fn print(text: &str) -> Result<(), super::cluster::Error> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(super::cluster::Error::Output(error)),
        _ => Ok(()),
    }
}

/// A note beside what was asked for, to standard error.
pub fn note(text: &str) {
    // Without a reader there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

/// One document in JSON, with a line feed.
pub fn json(value: &impl Serialize) -> Result<String, super::cluster::Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| super::cluster::Error::Output(error.into()))?;
    Ok(text + "\n")
}

/// Columns under their headings, each line indented by two. Nothing for no rows.
pub fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let headings = headings.map(str::to_owned);
    let lines: Vec<&[String; N]> = std::iter::once(&headings).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{:width$}", plain(cell)));
        text.push_str(format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end());
        text.push('\n');
    }
    text
}

/// Names and what is said of each, aligned. Entries without a value are left out.
pub fn list(entries: &[(&str, Option<String>)]) -> String {
    let given: Vec<(&str, &String)> =
        entries.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?))).collect();
    let width = given.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let lines = given.iter().map(|(name, value)| ["  ", &format!("{name:width$}"), "  ", &plain(value), "\n"].concat());
    lines.collect()
}

/// Without control characters: what others wrote must not steer a terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A duration in its largest unit that still says enough: `95s`, `47m`, `30h`, `12d`.
pub fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago something was; `-` where it is not known.
pub fn age(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map_or_else(|| "-".into(), |time| span(now.duration_since(time)))
}

/// A time in full, and how far it is from now.
pub fn moment(time: Timestamp, now: Timestamp) -> String {
    if time > now {
        format!("{time:.0} (in {})", span(time.duration_since(now)))
    } else {
        format!("{time:.0} ({} ago)", span(now.duration_since(time)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_with_their_text() {
        let rows = [["a", "invoice-sync"], ["longer", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(["ID", "NAME"], &rows), "  ID      NAME\n  a       invoice-sync\n  longer  x\n");
        assert_eq!(table(["ID", "NAME"], &[]), "");
    }

    #[test]
    fn a_list_leaves_out_what_is_not_known() {
        let entries = [("client id", Some("id".to_owned())), ("issuer", None), ("x", Some("y".to_owned()))];
        assert_eq!(list(&entries), "  client id  id\n  x          y\n");
    }

    #[test]
    fn what_others_wrote_does_not_steer_the_terminal() {
        let text = table(["MESSAGE"], &[["a\u{1b}[2Jb\nc".to_owned()]]) + &list(&[("x", Some("a\rb".to_owned()))]);
        assert_eq!(text, "  MESSAGE\n  a [2Jb c\n  x  a b\n");
    }

    #[test]
    fn a_span_is_told_in_one_unit() {
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7_199, "119m"),
            (7_200, "2h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (40 * 86_400, "40d"),
        ] {
            assert_eq!(span(SignedDuration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_moment_says_whether_it_has_been() {
        let now: Timestamp = "2026-11-25T12:00:00.5Z".parse().expect("a time");
        let hour = SignedDuration::from_hours(2);
        assert_eq!(moment(now + hour, now), "2026-11-25T14:00:00Z (in 2h)");
        assert_eq!(moment(now - hour, now), "2026-11-25T10:00:00Z (2h ago)");
        assert_eq!(age(None, now), "-");
    }
}
