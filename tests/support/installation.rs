//! What an installation of this very build applies: its kinds and its permissions, from the library itself.

use super::error::{Context, Result};

/// The definitions of the kinds as YAML documents.
pub fn kinds() -> Result<String> {
    let mut text = String::new();
    for definition in extapp::api::definitions() {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&definition).context("cannot write a definition as YAML")?);
    }
    Ok(text)
}

/// The operator's permissions as YAML documents.
pub fn permissions() -> String {
    extapp::controller::rbac::manifest(&[], extapp::controller::rbac::Extras::default())
}
