//! Texts of answers that may be secrets.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// A text that is never shown.
#[derive(Deserialize)]
#[serde(from = "String")]
pub(super) struct Hidden(SecretString);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Hidden {
    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}
