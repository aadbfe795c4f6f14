//! Where a registration differs from what is wanted, field by field.

use std::collections::BTreeSet;

use super::registration::{ClientType, Desired, Grant, Listed, Registered};
use crate::api::external_application::FieldDifference;

/// The longest text of one side of a difference, in characters.
const SHOWN: usize = 512;

/// Every field in which the registration is not as wanted; empty where it is.
pub fn between(desired: &Desired, actual: &Registered) -> Vec<FieldDifference> {
    let mut found = Vec::new();
    let mut compare = |field: &str, desired: String, actual: String| {
        if desired != actual {
            found.push(FieldDifference { field: field.into(), desired: shorten(desired), actual: shorten(actual) });
        }
    };
    compare("displayName", desired.display_name.clone(), actual.display_name.clone());
    compare("type", type_name(desired.client_type), type_name(actual.client_type));
    compare("redirectUris", words(desired.redirect_uris.iter()), words(actual.redirect_uris.iter()));
    for (field, grant) in [("userScopes", Grant::User), ("applicationScopes", Grant::Application)] {
        let of = |scopes: &BTreeSet<super::registration::Scope>| {
            words(scopes.iter().filter(|scope| scope.grant == grant).map(|scope| &scope.name))
        };
        compare(field, of(&desired.scopes), of(&actual.scopes));
    }
    found
}

/// The one difference of a registration that is not there.
pub fn absent() -> Vec<FieldDifference> {
    vec![FieldDifference { field: "registration".into(), desired: "present".into(), actual: "absent".into() }]
}

/// Whether a row of the server's list already shows a difference. A list tells less than a read: no scopes.
pub fn shows_in_list(desired: &Desired, row: &Listed) -> bool {
    desired.display_name != row.display_name || desired.redirect_uris != row.redirect_uris
}

fn type_name(client_type: ClientType) -> String {
    match client_type {
        ClientType::Confidential => "Confidential".into(),
        ClientType::NonConfidential => "NonConfidential".into(),
    }
}

fn words<'a>(items: impl Iterator<Item = &'a String>) -> String {
    items.map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn shorten(text: String) -> String {
    if text.chars().count() <= SHOWN { text } else { text.chars().take(SHOWN - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{desired, registered};

    #[test]
    fn equal_sides_show_no_difference() {
        assert_eq!(between(&desired(), &registered("id")), []);
        assert!(!shows_in_list(&desired(), &registered("id").as_listed()));
    }

    #[test]
    fn every_changed_field_is_named_with_both_sides() {
        let mut actual = registered("id");
        actual.display_name = "Else".into();
        actual.redirect_uris.insert("https://x.example/".into());
        actual.scopes.clear();
        let fields: Vec<(String, String, String)> =
            between(&desired(), &actual).into_iter().map(|d| (d.field, d.desired, d.actual)).collect();
        assert_eq!(
            fields,
            [
                ("displayName".into(), "Invoice sync".into(), "Else".into()),
                ("redirectUris".into(), String::new(), "https://x.example/".into()),
                ("applicationScopes".into(), "OR.Queues".into(), String::new()),
            ]
        );
        assert!(shows_in_list(&desired(), &actual.as_listed()));
    }
}
