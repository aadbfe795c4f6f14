//! Access tokens at the stand-in's own OAuth endpoints (RFC 6750).

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a token does not open an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is none; then RFC 6750 section 3.1 wants no error code either.
    NoToken,
    InvalidToken,
    /// The token lacks this scope.
    Needs(&'static str),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, challenge, error) = match self {
            Self::NoToken => (StatusCode::UNAUTHORIZED, "Bearer".to_owned(), None),
            Self::InvalidToken => {
                (StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\"".to_owned(), Some("invalid_token"))
            }
            Self::Needs(scope) => {
                let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
                (StatusCode::FORBIDDEN, challenge, Some("insufficient_scope"))
            }
        };
        let mut response = match error {
            Some(error) => (status, Json(json!({ "error": error }))).into_response(),
            None => status.into_response(),
        };
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// The token in the header. One in the query or in a body is none: addresses and bodies are kept in too many places
/// (RFC 9700 section 4.3.2).
pub fn token(headers: &HeaderMap) -> Result<&str, Refused> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let first = values.next().ok_or(Refused::NoToken)?.to_str().map_err(|_| Refused::InvalidToken)?;
    if values.next().is_some() {
        return Err(Refused::InvalidToken);
    }
    let (scheme, token) = first.split_once(' ').ok_or(Refused::NoToken)?;
    if scheme.eq_ignore_ascii_case("Bearer") { Ok(token.trim()) } else { Err(Refused::NoToken) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_in_one_header_of_its_scheme() {
        let headers = |values: &[&str]| -> HeaderMap {
            values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())).collect()
        };
        assert_eq!(token(&headers(&["bearer abc"])), Ok("abc"));
        assert_eq!(token(&headers(&[])), Err(Refused::NoToken));
        assert_eq!(token(&headers(&["Basic abc"])), Err(Refused::NoToken));
        assert_eq!(token(&headers(&["Bearer"])), Err(Refused::NoToken));
        assert_eq!(token(&headers(&["Bearer a", "Bearer b"])), Err(Refused::InvalidToken));
    }
}
