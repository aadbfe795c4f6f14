//! Which addresses the operator may send its credentials to.

use url::{Host, Url};

/// Why an address is refused, and what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    #[error(
        "the url must begin with https:// (http:// only for loopback or for a host given with --allow-insecure-host)"
    )]
    Insecure,
    #[error("the url must begin with https://")]
    Scheme,
    #[error("the url must not carry a user name or a password: credentials belong in the Secret of credentialsRef")]
    UserInfo,
    #[error("the url must not carry a query or a fragment")]
    QueryOrFragment,
}

/// `https` always; `http` for a server on this machine and for hosts that the operator's own flag lists; nothing
/// else, and nothing that hides a user name, a query or a fragment.
pub fn url_permitted(url: &Url, insecure_hosts: &[String]) -> Result<(), UrlRefused> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlRefused::UserInfo);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(UrlRefused::QueryOrFragment);
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) || is_listed(url, insecure_hosts) => Ok(()),
        "http" => Err(UrlRefused::Insecure),
        _ => Err(UrlRefused::Scheme),
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_listed(url: &Url, hosts: &[String]) -> bool {
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    url.host_str().is_some_and(|host| hosts.iter().any(|listed| bare(listed) == bare(host)))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{UrlRefused, url_permitted};

    #[test]
    fn only_tls_or_this_machine_or_a_listed_host() {
        let listed = ["local-cloud.identity.svc".to_owned(), "fd00::1".to_owned()];
        let table = [
            ("https://cloud.uipath.com", Ok(())),
            ("https://cloud.uipath.com/prefix/", Ok(())),
            ("http://127.0.0.1:8080", Ok(())),
            ("http://127.9.9.9", Ok(())),
            ("http://localhost:1", Ok(())),
            ("http://[::1]:80", Ok(())),
            ("http://Local-Cloud.identity.svc:8080", Ok(())),
            ("http://[fd00::1]", Ok(())),
            ("http://cloud.uipath.com", Err(UrlRefused::Insecure)),
            ("http://localhost.evil.example", Err(UrlRefused::Insecure)),
            ("http://local-cloud.identity.svc.evil.example", Err(UrlRefused::Insecure)),
            ("http://0.0.0.0", Err(UrlRefused::Insecure)),
            ("http://10.0.0.1", Err(UrlRefused::Insecure)),
            ("ftp://127.0.0.1", Err(UrlRefused::Scheme)),
            ("file:///etc/passwd", Err(UrlRefused::Scheme)),
            ("https://me:pw@cloud.uipath.com", Err(UrlRefused::UserInfo)),
            ("https://me@cloud.uipath.com", Err(UrlRefused::UserInfo)),
            ("https://cloud.uipath.com/?q", Err(UrlRefused::QueryOrFragment)),
            ("https://cloud.uipath.com/#f", Err(UrlRefused::QueryOrFragment)),
        ];
        for (url, expected) in table {
            assert_eq!(url_permitted(&Url::parse(url).unwrap(), &listed), expected, "{url}");
        }
    }
}
