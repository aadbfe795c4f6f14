//! `$filter`: the part of OData 4's expressions that clients of Orchestrator use.
//!
//! Comparisons, `and`, `or`, `not`, `in`, parentheses, `contains`, `startswith`, `endswith`, `tolower`, `toupper`,
//! and paths such as `UserEntity/Type`. Texts are compared by their very letters: whoever wants `Finance` and asks
//! for `finance` finds nothing here, whatever the collation of a real server's database makes of it.

use std::cmp::Ordering;

use serde_json::Value;
use uuid::Uuid;

use super::errors::Refusal;
use super::schema::{self, Kind, Schema};

mod parser;
mod token;

/// A condition on an entity.
#[derive(Debug)]
pub struct Filter(Condition);

#[derive(Debug)]
enum Condition {
    Or(Box<Condition>, Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    Compare(Operand, Comparison, Operand),
    In(Operand, Vec<Operand>),
    Text(TextTest, Operand, Operand),
    /// A boolean member that stands for itself.
    Holds(Operand),
}

#[derive(Debug)]
enum Operand {
    Member(Vec<String>, Kind),
    Literal(Literal),
    Lower(Box<Operand>),
    Upper(Box<Operand>),
}

#[derive(Clone, Debug, PartialEq)]
enum Literal {
    Null,
    Bool(bool),
    Integer(i64),
    Decimal(f64),
    Text(String),
    Guid(Uuid),
    /// As it was written; times compare like texts as all of them are in UTC.
    Time(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
}

impl Filter {
    /// Reads a filter over entities of `schema`.
    pub fn read(text: &str, schema: Schema) -> Result<Self, Refusal> {
        parser::read(text, schema).map(Self)
    }

    /// Whether an entity, with everything that could be expanded, meets the condition.
    pub fn admits(&self, entity: &Value) -> bool {
        self.0.holds(entity)
    }
}

impl Condition {
    fn holds(&self, entity: &Value) -> bool {
        match self {
            Self::Or(one, other) => one.holds(entity) || other.holds(entity),
            Self::And(one, other) => one.holds(entity) && other.holds(entity),
            Self::Not(condition) => !condition.holds(entity),
            Self::Compare(one, comparison, other) => comparison.holds(&one.value(entity), &other.value(entity)),
            Self::In(one, others) => {
                let value = one.value(entity);
                others.iter().any(|other| Comparison::Equal.holds(&value, &other.value(entity)))
            }
            Self::Text(wanted, one, other) => match (one.value(entity), other.value(entity)) {
                (Literal::Text(text), Literal::Text(part)) => wanted.holds(&text, &part),
                _ => false,
            },
            Self::Holds(member) => member.value(entity) == Literal::Bool(true),
        }
    }
}

impl Operand {
    fn value(&self, entity: &Value) -> Literal {
        match self {
            Self::Literal(literal) => literal.clone(),
            Self::Lower(inner) => inner.value(entity).map_text(|text| text.to_lowercase()),
            Self::Upper(inner) => inner.value(entity).map_text(|text| text.to_uppercase()),
            Self::Member(path, kind) => member(entity, path, *kind),
        }
    }
}

fn member(entity: &Value, path: &[String], kind: Kind) -> Literal {
    let found = path.iter().try_fold(entity, |value, name| value.get(name));
    match found {
        Some(Value::Bool(value)) => Literal::Bool(*value),
        Some(Value::Number(number)) => match number.as_i64() {
            Some(integer) => Literal::Integer(integer),
            None => number.as_f64().map_or(Literal::Null, Literal::Decimal),
        },
        Some(Value::String(text)) => match kind {
            Kind::Guid => Uuid::parse_str(text).map_or(Literal::Null, Literal::Guid),
            Kind::Time => Literal::Time(text.clone()),
            _ => Literal::Text(text.clone()),
        },
        _ => Literal::Null,
    }
}

impl Literal {
    fn map_text(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Text(text) => Self::Text(change(text)),
            other => other,
        }
    }

    /// `None` for what has no order: null, and values of different types.
    fn compared(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => Some(one.cmp(other)),
            (Self::Integer(one), Self::Integer(other)) => Some(one.cmp(other)),
            (Self::Integer(one), Self::Decimal(other)) => rough(*one).partial_cmp(other),
            (Self::Decimal(one), Self::Integer(other)) => one.partial_cmp(&rough(*other)),
            (Self::Decimal(one), Self::Decimal(other)) => one.partial_cmp(other),
            (Self::Text(one), Self::Text(other)) | (Self::Time(one), Self::Time(other)) => Some(one.cmp(other)),
            (Self::Guid(one), Self::Guid(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number with a decimal point is compared roughly anyway")]
fn rough(integer: i64) -> f64 {
    integer as f64
}

impl Comparison {
    fn holds(self, one: &Literal, other: &Literal) -> bool {
        if *one == Literal::Null || *other == Literal::Null {
            return match self {
                Self::Equal => one == other,
                Self::NotEqual => one != other,
                _ => false,
            };
        }
        let Some(order) = one.compared(other) else { return self == Self::NotEqual };
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl TextTest {
    fn holds(self, text: &str, part: &str) -> bool {
        match self {
            Self::Contains => text.contains(part),
            Self::StartsWith => text.starts_with(part),
            Self::EndsWith => text.ends_with(part),
        }
    }
}

/// The type at the end of a path such as `UserEntity/Type`.
pub fn kind_at(schema: Schema, path: &[String]) -> Option<Kind> {
    let (first, rest) = path.split_first()?;
    match (schema::find(schema, first)?, rest) {
        (kind, []) => Some(kind),
        (Kind::Object(inner), rest) => kind_at(inner, rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn admits(filter: &str) -> bool {
        let entity = json!({
            "Id": 12, "DisplayName": "O'Brien", "FullyQualifiedName": "Shared/O'Brien", "IsPersonal": false,
            "Key": "7a1b0c6e-8b6f-4f0e-9d55-0123456789ab", "FolderType": "Standard",
        });
        Filter::read(filter, schema::FOLDER).unwrap_or_else(|refusal| panic!("{filter}: {refusal:?}")).admits(&entity)
    }

    #[test]
    fn conditions_hold_as_odata_says() {
        for filter in [
            "Id eq 12",
            "Id ne 13 and Id ge 12 and Id lt 12.5",
            "FullyQualifiedName eq 'Shared/O''Brien'",
            "DisplayName eq 'x' or not (DisplayName eq 'y')",
            "startswith(DisplayName, 'O''') and endswith(DisplayName,'Brien') and contains(DisplayName,'Br')",
            "tolower(DisplayName) eq 'o''brien'",
            "ParentId eq null",
            "Id in (1, 12)",
            "Key eq 7A1B0C6E-8B6F-4F0E-9D55-0123456789AB",
            "IsPersonal eq false",
            "not IsPersonal",
            "'Standard' eq FolderType",
            "((Id eq 12))",
        ] {
            assert!(admits(filter), "{filter}");
        }
        for filter in
            ["Id eq 1", "DisplayName eq 'o''brien'", "ParentId ne null", "ParentId gt 1", "Id eq 1 and Id eq 12"]
        {
            assert!(!admits(filter), "{filter}");
        }
    }

    #[test]
    fn and_binds_closer_than_or() {
        assert!(admits("Id eq 12 or Id eq 1 and Id eq 2"));
        assert!(!admits("(Id eq 12 or Id eq 1) and Id eq 2"));
    }

    #[test]
    fn a_path_leads_into_an_object() {
        let filter = Filter::read("UserEntity/Type eq 'DirectoryUser'", schema::USER_ROLES).unwrap();
        assert!(filter.admits(&json!({ "UserEntity": { "Type": "DirectoryUser" } })));
        assert!(!filter.admits(&json!({ "UserEntity": { "Type": "User" } })));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        let deep = format!("{}Id eq 1{}", "(".repeat(5_000), ")".repeat(5_000));
        let nots = format!("{}IsPersonal", "not ".repeat(5_000));
        let lowers = format!("{}DisplayName{} eq 'x'", "tolower(".repeat(5_000), ")".repeat(5_000));
        let many = vec!["Id eq 1"; 101].join(" or ");
        for filter in [
            "",
            "Id",
            "Id eq",
            "Id eq 'x'",
            "DisplayName eq 1",
            "DisplayName eq 'open",
            "DisplayName eq 'O'Brien'",
            "Nothing eq 1",
            "Id eq 1 and",
            "(Id eq 1",
            "Id eq 1)",
            "Id eq 99999999999999999999",
            "Id like 1",
            "FolderType eq 'Nonsense'",
            "contains(Id,'1')",
            "startswith(DisplayName)",
            "DisplayName/Length eq 1",
            "Id in ()",
            "Id eq 1; drop table folders",
            deep.as_str(),
            nots.as_str(),
            lowers.as_str(),
            many.as_str(),
        ] {
            assert!(Filter::read(filter, schema::FOLDER).is_err(), "{}", &filter[..filter.len().min(80)]);
        }
    }
}
