//! The operator's own access token at UiPath: it names the organization. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;

use super::answer::Reader;
use crate::server::http::Answer;
use crate::server::token;
pub(super) use crate::server::token::{NoToken, request_body};

/// An access token, and what it says.
#[derive(Debug)]
pub(super) struct Token {
    token: token::Token,
    /// Claim `prt_id`: the GUID of the organization.
    pub(super) organization: Option<String>,
}

impl std::ops::Deref for Token {
    type Target = token::Token;

    fn deref(&self) -> &token::Token {
        &self.token
    }
}

/// The meaning of the token endpoint's answer.
pub(super) fn read(reader: &Reader<'_>, answer: &Answer, now: Timestamp) -> Result<Token, NoToken> {
    let token = token::read(answer, now, |answer| reader.json(answer), |answer| reader.done(answer).err())?;
    Ok(Token { organization: organization(token.expose()), token })
}

/// Reads the claim without verifying the token: it came over TLS from the server that it is shown to, and only
/// that server will judge by it.
fn organization(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        prt_id: Option<String>,
    }
    let payload = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok()?.prt_id.filter(|id| super::paths::is_segment(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_organization_is_read_from_the_claim() {
        let jwt = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(organization(&jwt(r#"{"prt_id":"org-1","sub":"x"}"#)).as_deref(), Some("org-1"));
        for nothing in
            [jwt("{}"), jwt(r#"{"prt_id":"../x y"}"#), jwt(r#"{"prt_id":".."}"#), "opaque".into(), "a.%%.c".into()]
        {
            assert_eq!(organization(&nothing), None, "{nothing}");
        }
    }
}
