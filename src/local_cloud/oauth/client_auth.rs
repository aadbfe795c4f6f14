//! Who is asking for a token: `client_secret_post` and `client_secret_basic` (RFC 6749 section 2.3.1).

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::form::Form;
use crate::local_cloud::secrets::{self, SecretHash};
use crate::local_cloud::store::applications::Client;

/// What a client presents.
#[derive(Debug)]
pub struct Presented {
    pub client_id: String,
    pub secret: Option<SecretString>,
}

/// Why nothing usable was presented.
#[derive(Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Nothing, or nothing readable.
    Nothing,
    /// Two methods at once, or two client ids.
    Contradiction,
}

/// Reads the credentials from the `Authorization` header or from the body.
pub fn presented(headers: &HeaderMap, form: &Form) -> Result<Presented, Unusable> {
    let in_body = form.get("client_id");
    let Some(header) = headers.get(header::AUTHORIZATION) else {
        let client_id = in_body.ok_or(Unusable::Nothing)?.to_owned();
        return Ok(Presented { client_id, secret: form.get("client_secret").map(SecretString::from) });
    };
    let basic = header.to_str().ok().and_then(basic).ok_or(Unusable::Nothing)?;
    if form.get("client_secret").is_some() || in_body.is_some_and(|id| id != basic.client_id) {
        return Err(Unusable::Contradiction);
    }
    Ok(basic)
}

/// Both halves are form-url-encoded before they are joined; a secret with a percent sign shows who forgot that.
fn basic(header: &str) -> Option<Presented> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = pair.split_once(':')?;
    Some(Presented { client_id: decoded(client_id), secret: Some(SecretString::from(decoded(secret))) })
}

/// A lone value in form-url-encoding. A bare `&` or `=` has no meaning here, so only `+` and `%` are looked at.
fn decoded(value: &str) -> String {
    let guarded = value.replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(guarded.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

/// Whether `presented` proves that the caller is `client`; `false` for a client that doesn't exist. A client that is
/// not confidential has nothing to prove.
pub fn proves(presented: &Presented, client: Option<&Client>) -> bool {
    // An unknown client costs one comparison too, so that time does not tell it from a wrong secret.
    let absent = SecretString::from(String::new());
    let secret = presented.secret.as_ref().unwrap_or(&absent);
    let nobody = [SecretHash::of(&absent)];
    let stored = client.map_or(&nobody[..], |client| &client.secrets);
    let matches = secrets::any_matches(secret, stored);
    client.is_some_and(|client| !client.confidential || (presented.secret.is_some() && matches))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use secrecy::ExposeSecret;

    use super::*;

    fn headers(pair: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(pair));
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(&value).unwrap())])
    }

    #[test]
    fn basic_credentials_are_decoded_after_they_are_split() {
        let presented = presented(&headers("id:a%3Ab%25+c"), &Form::default()).unwrap();
        assert_eq!(presented.client_id, "id");
        assert_eq!(presented.secret.unwrap().expose_secret(), "a:b% c");
    }

    #[test]
    fn credentials_in_header_and_body_contradict_each_other() {
        let outcome = |body: &[u8]| presented(&headers("id:secret"), &Form::read(body).unwrap()).map(|_| ());
        assert_eq!(outcome(b"client_secret=x"), Err(Unusable::Contradiction));
        assert_eq!(outcome(b"client_id=other"), Err(Unusable::Contradiction));
        assert_eq!(outcome(b"client_id=id"), Ok(()));
    }

    #[test]
    fn only_a_public_client_needs_no_secret() {
        let nothing = Presented { client_id: "id".to_owned(), secret: None };
        let empty = Presented { client_id: "id".to_owned(), secret: Some(SecretString::from(String::new())) };
        let client =
            |confidential| Client { id: "id".to_owned(), confidential, scopes: Vec::new(), secrets: Vec::new() };
        assert!(proves(&nothing, Some(&client(false))));
        assert!(!proves(&nothing, Some(&client(true))));
        assert!(!proves(&nothing, None));
        assert!(!proves(&empty, None));
        assert!(!proves(&empty, Some(&client(true))));
    }
}
