//! The words of a filter.

use uuid::Uuid;

use super::Literal;
use crate::local_cloud::orchestrator::errors::Refusal;
use crate::local_cloud::orchestrator::path::shortened;

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Open,
    Close,
    Comma,
    /// A keyword, a function, or the path of a member.
    Word(String),
    Literal(Literal),
}

/// Splits a filter into its words.
pub fn split(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '\'' => quoted(rest)?,
            _ => word(rest)?,
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// A text in quotes, in which two quotes stand for one.
fn quoted(rest: &str) -> Result<(Token, usize), Refusal> {
    let mut value = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != '\'' {
            value.push(character);
        } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
            value.push('\'');
        } else {
            return Ok((Token::Literal(Literal::Text(value)), at + 1));
        }
    }
    Err(Refusal::query("A text in $filter is not closed."))
}

fn word(rest: &str) -> Result<(Token, usize), Refusal> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | '\'');
    let length = rest.find(ends).unwrap_or(rest.len());
    let word = &rest[..length];
    let token = match word {
        "null" => Token::Literal(Literal::Null),
        "true" => Token::Literal(Literal::Bool(true)),
        "false" => Token::Literal(Literal::Bool(false)),
        _ => {
            value(word).ok_or_else(|| Refusal::query(format!("'{}' in $filter is not understood.", shortened(word))))?
        }
    };
    Ok((token, length))
}

fn value(word: &str) -> Option<Token> {
    if word.len() == 36
        && let Ok(id) = Uuid::parse_str(word)
    {
        return Some(Token::Literal(Literal::Guid(id)));
    }
    if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/');
        return word.chars().all(allowed).then(|| Token::Word(word.to_owned()));
    }
    if let Ok(time) = word.parse::<jiff::Timestamp>() {
        return Some(Token::Literal(Literal::Time(format!("{time:.3}"))));
    }
    if let Ok(integer) = word.parse::<i64>() {
        return Some(Token::Literal(Literal::Integer(integer)));
    }
    let decimal = word.contains('.').then(|| word.parse::<f64>().ok()).flatten()?;
    Some(Token::Literal(Literal::Decimal(decimal)))
}
