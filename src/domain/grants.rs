//! Which grant types (RFC 7591 section 2) an application needs.

use std::collections::BTreeSet;

use super::registration::{ClientType, Desired, Grant};

pub const AUTHORIZATION_CODE: &str = "authorization_code";
pub const REFRESH_TOKEN: &str = "refresh_token";
pub const CLIENT_CREDENTIALS: &str = "client_credentials";

/// A person signs in where there are user scopes; the application acts for itself where it is confidential and has
/// application scopes.
pub fn grant_types(desired: &Desired) -> BTreeSet<String> {
    let asks = |grant| desired.scopes.iter().any(|scope| scope.grant == grant);
    let mut types = BTreeSet::new();
    if asks(Grant::User) {
        types.extend([AUTHORIZATION_CODE, REFRESH_TOKEN]);
    }
    let alone = desired.scopes.is_empty() || asks(Grant::Application);
    if alone && desired.client_type == ClientType::Confidential {
        types.insert(CLIENT_CREDENTIALS);
    }
    types.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::desired;
    use crate::domain::registration::Scope;

    #[test]
    fn a_grant_is_asked_for_exactly_where_the_application_can_use_it() {
        let of = |scopes: &[(&str, Grant)], client_type| {
            let scope = |(name, grant): &(&str, Grant)| Scope { name: (*name).into(), grant: *grant };
            let wanted = Desired { scopes: scopes.iter().map(scope).collect(), client_type, ..desired() };
            grant_types(&wanted).into_iter().collect::<Vec<_>>().join(" ")
        };
        let (user, own) = (("read", Grant::User), ("read", Grant::Application));
        let table = [
            (&[own][..], ClientType::Confidential, "client_credentials"),
            (&[user], ClientType::Confidential, "authorization_code refresh_token"),
            (&[user, own], ClientType::Confidential, "authorization_code client_credentials refresh_token"),
            (&[], ClientType::Confidential, "client_credentials"),
            (&[user], ClientType::NonConfidential, "authorization_code refresh_token"),
            (&[own], ClientType::NonConfidential, ""),
        ];
        for (scopes, client_type, expected) in table {
            assert_eq!(of(scopes, client_type), expected, "{scopes:?}");
        }
    }
}
