//! From words to a condition, by recursive descent with a bound on the depth.

use super::token::{self, Token};
use super::{Comparison, Condition, Literal, Operand, TextTest, kind_at};
use crate::local_cloud::orchestrator::errors::Refusal;
use crate::local_cloud::orchestrator::path::shortened;
use crate::local_cloud::orchestrator::schema::{Kind, Schema};

/// How many expressions a filter may have, as Orchestrator's own description says.
const MOST_EXPRESSIONS: usize = 100;
/// How deep parentheses, functions and negations may be nested.
const DEEPEST: usize = 50;

/// Reads a filter over entities of `schema`.
pub fn read(text: &str, schema: Schema) -> Result<Condition, Refusal> {
    let mut parser = Parser { tokens: token::split(text)?, at: 0, schema, depth: 0, expressions: 0 };
    let condition = parser.disjunction()?;
    if parser.at < parser.tokens.len() {
        return Err(Refusal::query("$filter goes on where it should end."));
    }
    Ok(condition)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    schema: Schema,
    depth: usize,
    expressions: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, Refusal> {
        let token = self.peek().cloned().ok_or_else(|| Refusal::query("$filter ends too early."))?;
        self.at += 1;
        Ok(token)
    }

    fn take(&mut self, wanted: &Token) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word)) if word == wanted);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), Refusal> {
        if self.take(wanted) { Ok(()) } else { Err(Refusal::query("A sign is missing in $filter.")) }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Refusal::query("$filter is nested too deep."));
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn disjunction(&mut self) -> Result<Condition, Refusal> {
        let mut condition = self.conjunction()?;
        while self.take_word("or") {
            condition = Condition::Or(Box::new(condition), Box::new(self.conjunction()?));
        }
        Ok(condition)
    }

    fn conjunction(&mut self) -> Result<Condition, Refusal> {
        let mut condition = self.factor()?;
        while self.take_word("and") {
            condition = Condition::And(Box::new(condition), Box::new(self.factor()?));
        }
        Ok(condition)
    }

    fn factor(&mut self) -> Result<Condition, Refusal> {
        if self.take_word("not") {
            return self.deeper(|parser| Ok(Condition::Not(Box::new(parser.factor()?))));
        }
        if self.take(&Token::Open) {
            let condition = self.deeper(Self::disjunction)?;
            self.expect(&Token::Close)?;
            return Ok(condition);
        }
        self.expressions += 1;
        if self.expressions > MOST_EXPRESSIONS {
            return Err(Refusal::query(format!("$filter has more than {MOST_EXPRESSIONS} expressions.")));
        }
        self.text_test().unwrap_or_else(|| self.comparison())
    }

    /// `contains(…)` and its like; `None` if something else stands here.
    fn text_test(&mut self) -> Option<Result<Condition, Refusal>> {
        let Some(Token::Word(word)) = self.peek() else { return None };
        let test = match word.as_str() {
            "contains" => TextTest::Contains,
            "startswith" => TextTest::StartsWith,
            "endswith" => TextTest::EndsWith,
            _ => return None,
        };
        self.at += 1;
        Some(self.text_arguments().map(|(one, other)| Condition::Text(test, one, other)))
    }

    fn text_arguments(&mut self) -> Result<(Operand, Operand), Refusal> {
        self.expect(&Token::Open)?;
        let one = self.operand()?;
        self.expect(&Token::Comma)?;
        let other = self.operand()?;
        self.expect(&Token::Close)?;
        if is_text(&one) && is_text(&other) {
            Ok((one, other))
        } else {
            Err(Refusal::query("A function in $filter needs texts."))
        }
    }

    fn comparison(&mut self) -> Result<Condition, Refusal> {
        let one = self.operand()?;
        let Some(Token::Word(word)) = self.peek() else { return alone(one) };
        let comparison = match word.as_str() {
            "eq" => Comparison::Equal,
            "ne" => Comparison::NotEqual,
            "lt" => Comparison::Less,
            "le" => Comparison::LessOrEqual,
            "gt" => Comparison::Greater,
            "ge" => Comparison::GreaterOrEqual,
            "in" => {
                self.at += 1;
                return self.list(one);
            }
            "and" | "or" => return alone(one),
            other => return Err(Refusal::query(format!("There is no operator '{}'.", shortened(other)))),
        };
        self.at += 1;
        let other = self.operand()?;
        require_comparable(&one, &other)?;
        require_comparable(&other, &one)?;
        Ok(Condition::Compare(one, comparison, other))
    }

    fn list(&mut self, one: Operand) -> Result<Condition, Refusal> {
        self.expect(&Token::Open)?;
        let mut others = Vec::new();
        loop {
            let other = self.operand()?;
            require_comparable(&one, &other)?;
            others.push(other);
            if !self.take(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::Close)?;
        Ok(Condition::In(one, others))
    }

    fn operand(&mut self) -> Result<Operand, Refusal> {
        let word = match self.next()? {
            Token::Literal(literal) => return Ok(Operand::Literal(literal)),
            Token::Word(word) => word,
            _ => return Err(Refusal::query("A value is missing in $filter.")),
        };
        if matches!(word.as_str(), "tolower" | "toupper") {
            self.expect(&Token::Open)?;
            let inner = self.deeper(Self::operand)?;
            self.expect(&Token::Close)?;
            if !is_text(&inner) {
                return Err(Refusal::query("A function in $filter needs texts."));
            }
            let inner = Box::new(inner);
            return Ok(if word == "tolower" { Operand::Lower(inner) } else { Operand::Upper(inner) });
        }
        let path: Vec<String> = word.split('/').map(str::to_owned).collect();
        match kind_at(self.schema, &path) {
            Some(kind) => Ok(Operand::Member(path, kind)),
            None => Err(Refusal::query(format!("Could not find a property named '{}'.", shortened(&word)))),
        }
    }
}

/// A member without a comparison has to be a boolean.
fn alone(operand: Operand) -> Result<Condition, Refusal> {
    match operand {
        Operand::Member(_, Kind::Bool) | Operand::Literal(Literal::Bool(_)) => Ok(Condition::Holds(operand)),
        _ => Err(Refusal::query("A comparison is missing in $filter.")),
    }
}

fn is_text(operand: &Operand) -> bool {
    match operand {
        Operand::Member(_, Kind::Text(_))
        | Operand::Literal(Literal::Text(_))
        | Operand::Lower(_)
        | Operand::Upper(_) => true,
        Operand::Member(..) | Operand::Literal(_) => false,
    }
}

/// Whether the second operand, if it is a literal, is of the first one's type, if that is a member.
fn require_comparable(one: &Operand, other: &Operand) -> Result<(), Refusal> {
    let Operand::Literal(literal) = other else { return Ok(()) };
    let fits = match one {
        Operand::Literal(_) => true,
        Operand::Lower(_) | Operand::Upper(_) => matches!(literal, Literal::Text(_) | Literal::Null),
        Operand::Member(_, kind) => match (kind, literal) {
            (Kind::Object(_) | Kind::AnyObject | Kind::List(_), _) => false,
            (Kind::Choice(choices), Literal::Text(text)) => choices.contains(&text.as_str()),
            (_, Literal::Null)
            | (Kind::Bool, Literal::Bool(_))
            | (Kind::Int | Kind::Long, Literal::Integer(_) | Literal::Decimal(_))
            | (Kind::Text(_), Literal::Text(_))
            | (Kind::Guid, Literal::Guid(_))
            | (Kind::Time, Literal::Time(_)) => true,
            _ => false,
        },
    };
    if fits { Ok(()) } else { Err(Refusal::query("$filter compares what cannot be compared.")) }
}
