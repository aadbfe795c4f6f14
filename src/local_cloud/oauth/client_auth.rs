//! Which client is asking: `client_secret_post` and `client_secret_basic` (RFC 6749 section 2.3.1), and `none` for
//! clients that have no secret.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::federated;
use super::form::Form;
use super::refusal::{Failure, Refusal};
use crate::local_cloud::cloud::{Cloud, SeenClient};
use crate::local_cloud::secrets::{self, SecretHash};
use crate::local_cloud::store::applications::{self, Client};

/// What a client presents.
#[derive(Debug)]
struct Presented {
    client_id: String,
    secret: Option<SecretString>,
}

/// Finds out which client asks for a token for itself: like [`authenticated`], or by a token of somebody else's.
pub async fn authenticated_for_itself(
    cloud: &Cloud,
    seen: &SeenClient,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Client, Failure> {
    if !federated::is_presented(form) {
        return authenticated(cloud, seen, headers, form).await;
    }
    require_one_way(headers, form)?;
    federated::authenticated(cloud, seen, form).await
}

/// Finds out which client sent a request, and notes it for the access log.
pub async fn authenticated(
    cloud: &Cloud,
    seen: &SeenClient,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Client, Failure> {
    let by_header = headers.contains_key(header::AUTHORIZATION);
    let presented = presented(headers, form)?;
    let (id, now) = (presented.client_id.to_ascii_lowercase(), cloud.clock.now_milliseconds());
    let client = cloud.store.read(move |store| applications::client(store, &id, now)).await?;
    let proven = proves(&presented, client.as_ref());
    let client = client.filter(|_| proven).ok_or(Refusal::InvalidClient { by_header })?;
    seen.note(&client.id);
    Ok(client)
}

/// The secret in a token request, whoever's it is.
pub fn presented_secret(headers: &HeaderMap, body: &[u8]) -> Option<SecretString> {
    presented(headers, &Form::read(body).ok()?).ok()?.secret
}

/// Refuses a request that authenticates in more than one way: by the `Authorization` header, by a secret in the body, by
/// an assertion.
fn require_one_way(headers: &HeaderMap, form: &Form) -> Result<(), Refusal> {
    let ways = [
        headers.contains_key(header::AUTHORIZATION),
        form.get("client_secret").is_some(),
        federated::is_presented(form),
    ];
    let taken = ways.iter().filter(|way| **way).count();
    if taken > 1 { Err(Refusal::malformed("A client authenticates in one way only")) } else { Ok(()) }
}

/// Reads the credentials from the `Authorization` header or from the body.
fn presented(headers: &HeaderMap, form: &Form) -> Result<Presented, Refusal> {
    require_one_way(headers, form)?;
    if federated::is_presented(form) {
        // It proves who asks for a token for itself, and nothing elsewhere.
        return Err(Refusal::InvalidClient { by_header: false });
    }
    let in_body = form.get("client_id");
    let mut header = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = header.next() else {
        let client_id = in_body.ok_or(Refusal::InvalidClient { by_header: false })?.to_owned();
        return Ok(Presented { client_id, secret: form.get("client_secret").map(SecretString::from) });
    };
    let nothing = Refusal::InvalidClient { by_header: true };
    let basic = first.to_str().ok().and_then(basic).ok_or(nothing)?;
    if header.next().is_some() {
        return Err(Refusal::malformed("A client authenticates in one way only"));
    }
    if in_body.is_some_and(|id| id != basic.client_id) {
        return Err(Refusal::malformed("Two client ids"));
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
/// not confidential has nothing to prove, and one that tries all the same is not what it takes itself for.
fn proves(presented: &Presented, client: Option<&Client>) -> bool {
    // An unknown client costs one comparison too, so that time does not tell it from a wrong secret.
    let absent = SecretString::from(String::new());
    let secret = presented.secret.as_ref().unwrap_or(&absent);
    let nobody = [SecretHash::of(&absent)];
    let stored = client.map_or(&nobody[..], |client| &client.secrets);
    let matches = secrets::any_matches(secret, stored);
    let empty = secret.expose_secret().is_empty();
    client.is_some_and(|client| if client.confidential { !empty && matches } else { empty })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

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
        assert!(matches!(outcome(b"client_secret=x"), Err(Refusal::InvalidRequest(_))));
        assert!(matches!(outcome(b"client_id=other"), Err(Refusal::InvalidRequest(_))));
        assert_eq!(outcome(b"client_id=id"), Ok(()));
    }

    #[test]
    fn only_a_public_client_needs_no_secret_and_it_must_not_have_one() {
        let with =
            |secret: Option<&str>| Presented { client_id: "id".to_owned(), secret: secret.map(SecretString::from) };
        let (nothing, empty, some) = (with(None), with(Some("")), with(Some("secret")));
        let client =
            |confidential| Client { id: "id".to_owned(), confidential, scopes: Vec::new(), secrets: Vec::new() };
        assert!(proves(&nothing, Some(&client(false))));
        assert!(proves(&empty, Some(&client(false))));
        assert!(!proves(&some, Some(&client(false))));
        assert!(!proves(&nothing, Some(&client(true))));
        assert!(!proves(&nothing, None));
        assert!(!proves(&empty, None));
        assert!(!proves(&empty, Some(&client(true))));
    }
}
