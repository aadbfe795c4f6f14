//! Redirect URIs: which ones are an application's own, and how an answer is put on them.

use std::net::IpAddr;

use url::{Host, Url};

/// Loopback addresses as native applications write them (RFC 8252 section 7.3).
const LOOPBACK: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];

/// Whether `requested` is one of the `registered` URIs (separated by commas) and safe to send somebody to.
///
/// They are compared byte for byte. Only the port of a loopback address is free, and only for applications that are
/// not confidential: a program on somebody's machine takes the port it gets. `localhost` is no such address, because it
/// need not lead to this machine (RFC 8252 section 8.3).
pub fn is_registered(requested: &str, registered: Option<&str>, confidential: bool) -> bool {
    let same = |uri: &str| uri == requested || (!confidential && same_but_port(uri, requested));
    registered.is_some_and(|uris| uris.split(',').any(same)) && is_safe(requested)
}

fn same_but_port(registered: &str, requested: &str) -> bool {
    let portless = |uri| portless(uri).filter(|_| Url::parse(uri).is_ok());
    portless(registered).is_some_and(|registered| portless(requested) == Some(registered))
}

/// A loopback URI in two parts, without the port between them.
fn portless(uri: &str) -> Option<(&str, &str)> {
    let (start, rest) = LOOPBACK.iter().find_map(|start| Some((*start, uri.strip_prefix(start)?)))?;
    let rest = match rest.strip_prefix(':') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            &rest[end..]
        }
        None => rest,
    };
    let ends = rest.is_empty() || rest.starts_with(['/', '?']);
    ends.then_some((start, rest))
}

/// RFC 9700 section 2.6: no plain HTTP but to this machine. Schemes that belong to an application are named after a
/// domain (RFC 8252 section 7.1), which keeps `javascript:` and its kind out. A fragment would swallow the answer, and a parser may
/// take away what is no character of a URI.
fn is_safe(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else { return false };
    if !uri.bytes().all(|c| c.is_ascii_graphic())
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return false;
    }
    match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback(&url),
        scheme => scheme.contains('.'),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

/// `uri` with further query parameters. What was registered is not written anew.
pub fn with_parameters(uri: &str, parameters: &[(&str, &str)]) -> String {
    let separator = match uri.find('?') {
        None => "?",
        Some(at) if uri[at + 1..].is_empty() || uri.ends_with('&') => "",
        Some(_) => "&",
    };
    let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("{uri}{separator}{encoded}")
}

/// Where a form may lead if its answer is a redirect to `uri`, as a source of a content security policy. Chromium
/// applies `form-action` to redirects too.
pub fn form_target(uri: &str) -> String {
    let Ok(url) = Url::parse(uri) else { return String::new() };
    let plain = |host: &str| host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-'));
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(host)) if plain(host) => url.origin().ascii_serialization(),
        // IPv6 addresses and private schemes have no form of their own there.
        (scheme, _) => format!("{scheme}:"),
    }
}

/// Where `uri` leads, for people.
pub fn destination(uri: &str) -> String {
    match Url::parse(uri) {
        Ok(url) if url.has_host() && matches!(url.scheme(), "http" | "https") => url.origin().ascii_serialization(),
        Ok(url) => format!("{}:", url.scheme()),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_uri_is_compared_byte_for_byte() {
        let registered = Some("https://app.example/cb,https://app.example/cb2?x=1");
        assert!(is_registered("https://app.example/cb", registered, true));
        assert!(is_registered("https://app.example/cb2?x=1", registered, true));
        for other in [
            "https://app.example/cb/",
            "https://app.example/CB",
            "https://APP.example/cb",
            "https://app.example:443/cb",
            "https://app.example/cb?",
            "https://app.example/cb2",
            "https://app.example/%63b",
            "https://app.example/x/../cb",
            "https://app.example/cb,https://app.example/cb2?x=1",
            "https://app.example.evil.example/cb",
            "https://user@app.example/cb",
            "",
        ] {
            assert!(!is_registered(other, registered, true), "{other}");
        }
        assert!(!is_registered("https://app.example/cb", None, true));
    }

    #[test]
    fn a_wildcard_stands_for_nothing_but_itself() {
        assert!(!is_registered("https://host.example/action-1", Some("https://host.example/action-**"), true));
    }

    #[test]
    fn the_port_of_a_loopback_address_is_free_for_native_applications_only() {
        let registered = Some("http://127.0.0.1/cb,http://[::1]:1/cb?x");
        for uri in ["http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", "http://[::1]/cb?x", "http://[::1]:9/cb?x"] {
            assert!(is_registered(uri, registered, false), "{uri}");
        }
        assert!(!is_registered("http://127.0.0.1:49152/cb", registered, true));
        for other in [
            "http://127.0.0.1:49152/cb/",
            "http://127.0.0.1:/cb",
            "http://127.0.0.1:x/cb",
            "http://127.0.0.1:99999/cb",
            "http://127.0.0.1:80@evil.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.2:1/cb",
            "https://127.0.0.1:1/cb",
            "http://localhost:1/cb",
            "http://[::1]:9/cb",
        ] {
            assert!(!is_registered(other, registered, false), "{other}");
        }
        assert!(!is_registered("http://localhost:49152/cb", Some("http://localhost/cb"), false));
        assert!(is_registered("http://localhost/cb", Some("http://localhost/cb"), false));
    }

    #[test]
    fn what_is_not_safe_is_no_redirect_uri_even_if_it_is_registered() {
        for uri in [
            "http://app.example/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://user:password@app.example/cb",
            "https://app.example/cb#x",
            "myapp:/cb",
            "https://app.example/cb ",
            "https://app.example/c\tb",
            "https://app.example/c\u{fc}",
        ] {
            assert!(!is_registered(uri, Some(uri), false), "{uri}");
        }
        assert!(is_registered("com.example.app:/cb", Some("com.example.app:/cb"), false));
    }

    #[test]
    fn an_answer_keeps_the_query_that_is_there() {
        let with = |uri| with_parameters(uri, &[("code", "a b&c")]);
        assert_eq!(with("https://a/cb"), "https://a/cb?code=a+b%26c");
        assert_eq!(with("https://a/cb?x=%41"), "https://a/cb?x=%41&code=a+b%26c");
        assert_eq!(with("https://a/cb?"), "https://a/cb?code=a+b%26c");
    }

    #[test]
    fn a_form_may_lead_to_the_origin_or_else_to_the_scheme() {
        assert_eq!(form_target("https://app.example:8443/cb?x"), "https://app.example:8443");
        assert_eq!(form_target("http://127.0.0.1:9/cb"), "http://127.0.0.1:9");
        assert_eq!(form_target("http://[::1]:9/cb"), "http:");
        assert_eq!(form_target("https://a;sandbox/cb"), "https:");
        assert_eq!(form_target("com.example.app:/cb"), "com.example.app:");
    }
}
