//! Decisions, as pure functions over plain data: no clock, no client, no async.
//!
//! What is seen goes in (`observed`), what must be done comes out (`plan`), and what a person reads about it is made
//! from both (`status`).

pub mod capabilities;
pub mod catalogue;
pub mod consent;
pub mod consumers;
pub mod credentials;
pub mod difference;
pub mod farewell;
pub mod federation;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod grants;
pub mod intent;
pub mod jwks;
pub mod observed;
pub mod outputs;
pub mod own_credential;
pub mod permissions;
pub mod plan;
pub mod reason;
pub mod registration;
pub mod renewal;
pub mod restarts;
pub mod rotation;
pub mod scopes;
pub mod server_status;
pub mod settings;
pub mod status;
pub mod sweep;
pub mod tenant;
pub mod upkeep;
pub mod validate;

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
