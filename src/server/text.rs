//! A server's own words, made fit for a status message.

use std::fmt;

/// The longest text that is quoted, in characters.
const LONGEST: usize = 200;
/// A run of this many characters without a break may be a token or a key, and is masked.
const SUSPICIOUS_RUN: usize = 24;
/// A secret shorter than this is not looked for: replacing it would only garble the text.
const SHORTEST_SECRET: usize = 4;
const MASK: &str = "***";

/// A server's own words: one line of at most 200 characters, without control characters and without anything that
/// could be a secret. Fit for a status message, an Event and a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerText(String);

impl ServerText {
    /// Quotes a server. Every occurrence of `secrets` goes, and so does every long run that could be a token: a
    /// server may repeat in an error what it was sent.
    pub fn quote(words: &str, secrets: &[&str]) -> Self {
        let mut text = words.to_owned();
        for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST_SECRET) {
            text = text.replace(secret, MASK);
        }
        let line = text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        Self(shorten(&mask_runs(&line)))
    }

    /// Words of our own, where a server gave none.
    pub(super) fn ours(words: &'static str) -> Self {
        Self(words.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn mask_runs(line: &str) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    while !rest.is_empty() {
        let run = rest.find(|c| !of_a_token(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(run);
        masked.push_str(if run >= SUSPICIOUS_RUN && !is_guid(word) { MASK } else { word });
        let between = after.find(of_a_token).unwrap_or(after.len());
        masked.push_str(&after[..between]);
        rest = &after[between..];
    }
    masked
}

/// The alphabets of base64 and base64url. A dot is a break, so that names of scopes stay readable; the parts of a
/// JWT are each long enough to be masked.
fn of_a_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_')
}

/// Client ids and organizations are GUIDs, and no secrets.
fn is_guid(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.chars().all(|c| c.is_ascii_hexdigit()))
}

fn shorten(line: &str) -> String {
    if line.chars().count() <= LONGEST {
        return line.to_owned();
    }
    let kept: String = line.chars().take(LONGEST - 1).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::ServerText;
    use proptest::prelude::*;

    fn quoted(words: &str) -> String {
        ServerText::quote(words, &["Co!rGU28KcNcohi"]).to_string()
    }

    #[test]
    fn names_of_scopes_stay_readable() {
        let text = "Not all scopes=OR.TestSetSchedules.Read,AutomationSolutions.Access are present in database";
        assert_eq!(quoted(text), text);
    }

    #[test]
    fn a_guid_is_no_secret() {
        let text = "Client=7e0e2f9a-1111-4222-8333-1234567890ab is not allowed to access User scopes";
        assert_eq!(quoted(text), text);
    }

    #[test]
    fn a_secret_that_was_sent_is_masked_wherever_it_stands() {
        assert_eq!(quoted("client_secret=Co!rGU28KcNcohi; refused"), "client_secret=***; refused");
    }

    #[test]
    fn a_token_is_masked_in_every_part() {
        let jwt = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiIxMjM0NTY3ODkwIn0x.c2lnbmF0dXJlLXNpZ25hdHVyZQ";
        assert_eq!(quoted(&format!("Bearer {jwt} has expired")), "Bearer ***.***.*** has expired");
    }

    #[test]
    fn control_characters_and_line_breaks_become_one_space() {
        assert_eq!(quoted("one\r\n\t two\u{1b}[31m\0three"), "one two [31m three");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let text = quoted(&"ä ".repeat(500));
        assert_eq!(text.chars().count(), 200);
        assert!(text.ends_with('…'));
    }

    proptest! {
        #[test]
        fn no_text_is_long_or_has_control_characters_or_a_long_run(words in any::<String>()) {
            let text = quoted(&words);
            prop_assert!(text.chars().count() <= 200);
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert!(text.split(|c| !super::of_a_token(c)).all(|run| run.len() < 24 || super::is_guid(run)));
        }
    }
}
