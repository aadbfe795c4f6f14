//! The parameters of a request, from a form body or from a query.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};

use super::refusal::Refusal;

/// The most parameters that one request may have.
const MOST_PARAMETERS: usize = 64;

/// The parameters of a request (RFC 6749 sections 3.1 and 3.2): each at most once, empty ones count as absent.
#[derive(Default)]
pub struct Form(BTreeMap<String, String>);

/// Why the parameters cannot be relied on. Whoever reads one of two values may not be the one who checked the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A parameter occurs more than once.
    Repeated,
    /// There are too many.
    TooMany,
    /// Not UTF-8, or with control characters.
    Unreadable,
}

impl Malformed {
    /// In words that can be sent to the client.
    pub fn words(self) -> &'static str {
        match self {
            Self::Repeated => "A parameter occurs more than once",
            Self::TooMany => "There are too many parameters",
            Self::Unreadable => "A parameter is not readable text",
        }
    }
}

impl Form {
    /// Whether `headers` announce a form body at all.
    pub fn is_announced(headers: &HeaderMap) -> bool {
        let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }

    /// Reads a form body or a query.
    pub fn read(text: &[u8]) -> Result<Self, Malformed> {
        let mut parameters = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(text).filter(|(_, value)| !value.is_empty()) {
            // The decoder writes U+FFFD for what is no UTF-8.
            let readable = |text: &str| !text.contains(|c: char| c == char::REPLACEMENT_CHARACTER || c.is_control());
            if !readable(&name) || !readable(&value) {
                return Err(Malformed::Unreadable);
            }
            if parameters.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(Malformed::Repeated);
            }
            if parameters.len() > MOST_PARAMETERS {
                return Err(Malformed::TooMany);
            }
        }
        Ok(Self(parameters))
    }

    /// Reads the form body that a client sent.
    pub fn of_client(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        if !Self::is_announced(headers) {
            return Err(Refusal::malformed("The body must be application/x-www-form-urlencoded"));
        }
        Self::read(body).map_err(|malformed| Refusal::malformed(malformed.words()))
    }

    /// The same parameters as a query.
    pub fn to_query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_empty_ones_are_absent() {
        let form = Form::read(b"a=x%2By+z&b=").unwrap();
        assert_eq!(form.get("a"), Some("x+y z"));
        assert_eq!(form.get("b"), None);
    }

    #[test]
    fn a_parameter_that_occurs_twice_spoils_the_request() {
        assert_eq!(Form::read(b"scope=a&scope=b").err(), Some(Malformed::Repeated));
        assert_eq!(Form::read(b"scope=a&sc%6Fpe=a").err(), Some(Malformed::Repeated));
    }

    #[test]
    fn what_is_no_text_spoils_the_request() {
        for text in [&b"state=%ff"[..], b"state=a%00b", b"state=a%0d%0aLocation:", b"st%0aate=a", b"state=\xc3\x28"] {
            assert_eq!(Form::read(text).err(), Some(Malformed::Unreadable), "{text:?}");
        }
        assert_eq!(Form::read("state=ä%C3%A4".as_bytes()).unwrap().get("state"), Some("ää"));
    }

    #[test]
    fn there_is_an_end_to_parameters() {
        let many: Vec<String> = (0..=MOST_PARAMETERS).map(|index| format!("p{index}=x")).collect();
        assert_eq!(Form::read(many.join("&").as_bytes()).err(), Some(Malformed::TooMany));
        assert!(Form::read(many[1..].join("&").as_bytes()).is_ok());
    }
}
