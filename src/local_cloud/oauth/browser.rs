//! How a browser is known again, and how its forms are told from those of other sites.
//!
//! The cookie has no `Secure` and no `__Host-` prefix, which a browser grants over HTTPS only: the stand-in speaks plain
//! HTTP. Cookies are shared by all ports of a host, so the name holds the port, and the path keeps it from whatever
//! listens beside the stand-in without having an `identity_` of its own.

use aws_lc_rs::hmac;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use url::Url;

use crate::local_cloud::clock::NoEntropy;
use crate::local_cloud::secrets::{self, SecretHash};

/// How many characters a cookie has: 32 bytes in base64url.
const LENGTH: usize = 43;

/// A browser, by its cookie. Whether somebody is signed in with it is another matter.
#[derive(Debug)]
pub struct Browser {
    cookie: SecretString,
    pub hash: SecretHash,
}

impl Browser {
    /// A browser that nobody has seen before.
    pub fn fresh() -> Result<Self, NoEntropy> {
        Ok(Self::with(secrets::opaque()?))
    }

    /// The browser that sent `headers`, if it has a cookie called `name` in the form in which they are given out.
    pub fn known(name: &str, headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(found, _)| *found == name)?;
        let usable = value.len() == LENGTH && URL_SAFE_NO_PAD.decode(value).is_ok();
        usable.then(|| Self::with(SecretString::from(value)))
    }

    fn with(cookie: SecretString) -> Self {
        Self { hash: SecretHash::of(&cookie), cookie }
    }

    /// The `Set-Cookie` header that makes this browser known below the identity server that `uri` belongs to.
    pub fn set_cookie(&self, name: &str, uri: &Uri) -> Option<HeaderValue> {
        let (value, path) = (self.cookie.expose_secret(), identity_path(uri));
        let mut header = HeaderValue::from_str(&format!("{name}={value}; Path={path}; HttpOnly; SameSite=Lax")).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    /// What a form about `subject` must bring along: only who has the cookie can know it.
    pub fn form_token(&self, subject: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.cookie.expose_secret().as_bytes());
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, subject.as_bytes()))
    }

    /// Whether a form about `subject` comes from a page that this browser was given.
    pub fn sent(&self, headers: &HeaderMap, subject: &str, token: Option<&str>) -> bool {
        let expected = self.form_token(subject);
        let fits = token.is_some_and(|token| token.as_bytes().ct_eq(expected.as_bytes()).into());
        fits && is_same_origin(headers)
    }
}

/// Up to and with `identity_`: where the cookie is good for.
fn identity_path(uri: &Uri) -> &str {
    const SEGMENT: &str = "/identity_";
    let path = uri.path();
    path.find("/identity_/").map_or(SEGMENT, |at| &path[..at + SEGMENT.len()])
}

/// Whether the browser says that a form came from a page of this server; older browsers say nothing.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return false;
    }
    let Some(origin) = text("origin") else { return true };
    let host = text("host").unwrap_or_default();
    // The scheme is left out: whoever puts TLS in front of the stand-in changes it.
    let authority = |url: Url| url.host_str().map(|host| (host.to_owned(), url.port()));
    let (origin, here) = (Url::parse(origin), Url::parse(&format!("http://{host}")));
    matches!((origin.map(authority), here.map(authority)), (Ok(Some(one)), Ok(Some(other))) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_browser_is_known_by_the_cookie_that_it_was_given() {
        let browser = Browser::fresh().unwrap();
        let set = browser.set_cookie("name", &Uri::from_static("/acme/identity_/connect/authorize")).unwrap();
        let set = set.to_str().unwrap();
        assert!(set.ends_with("; Path=/acme/identity_; HttpOnly; SameSite=Lax"), "{set}");
        let pair = set.split(';').next().unwrap();
        let known = Browser::known("name", &headers(&[("cookie", &format!("a=b; {pair}"))])).unwrap();
        assert_eq!(known.hash, browser.hash);
        assert!(Browser::known("other", &headers(&[("cookie", pair)])).is_none());
        assert!(Browser::known("name", &headers(&[("cookie", "name=short")])).is_none());
    }

    #[test]
    fn a_form_token_is_of_one_browser_and_one_subject() {
        let (one, other, none) = (Browser::fresh().unwrap(), Browser::fresh().unwrap(), HeaderMap::new());
        let token = one.form_token("a");
        assert!(one.sent(&none, "a", Some(&token)));
        assert!(!one.sent(&none, "b", Some(&token)) && !other.sent(&none, "a", Some(&token)));
        assert!(!one.sent(&none, "a", None) && !one.sent(&none, "a", Some("")));
    }

    #[test]
    fn a_form_of_another_site_is_recognised_by_what_the_browser_says() {
        for (fits, pairs) in [
            (true, &[][..]),
            (true, &[("host", "127.0.0.1:1"), ("origin", "http://127.0.0.1:1"), ("sec-fetch-site", "same-origin")]),
            (true, &[("host", "cloud.example"), ("origin", "https://cloud.example")]),
            (false, &[("host", "127.0.0.1:1"), ("origin", "http://127.0.0.1:2")]),
            (false, &[("host", "127.0.0.1:1"), ("origin", "http://evil.example")]),
            (false, &[("host", "127.0.0.1:1"), ("origin", "null")]),
            (false, &[("sec-fetch-site", "cross-site")]),
            (false, &[("sec-fetch-site", "same-site")]),
        ] {
            assert_eq!(is_same_origin(&headers(pairs)), fits, "{pairs:?}");
        }
    }
}
