//! The form body of a token request.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};

/// The parameters of a token request (RFC 6749 section 3.2): each at most once, empty ones count as absent.
#[derive(Default)]
pub struct Form(BTreeMap<String, String>);

/// A parameter occurs more than once.
#[derive(Debug)]
pub struct Repeated;

impl Form {
    /// Whether `headers` announce a form body at all.
    pub fn is_announced(headers: &HeaderMap) -> bool {
        let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }

    /// Reads `body`.
    pub fn read(body: &[u8]) -> Result<Self, Repeated> {
        let mut parameters = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(body).filter(|(_, value)| !value.is_empty()) {
            if parameters.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(Repeated);
            }
        }
        Ok(Self(parameters))
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
        assert!(Form::read(b"scope=a&scope=b").is_err());
    }
}
