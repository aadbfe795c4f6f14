//! Where a registration differs from what is wanted, field by field.

use std::collections::BTreeSet;

use super::grants::grant_types;
use super::registration::{
    BY_SECRET, ClientType, Desired, Grant, Listed, Mark, Registered, Scope, Setting, SettingValue,
};
use crate::api::external_application::FieldDifference;

/// The longest text of one side of a difference, in characters.
const SHOWN: usize = 512;

/// The field that says whose registration it is.
const OWNER: &str = "owner";

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
    if let Some(types) = &actual.grant_types {
        let names = |scopes: &BTreeSet<Scope>| {
            let names: BTreeSet<&String> = scopes.iter().map(|scope| &scope.name).collect();
            words(names.into_iter())
        };
        compare("scopes", names(&desired.scopes), names(&actual.scopes));
        compare("grantTypes", words(grant_types(desired).iter()), words(types.iter()));
    } else {
        for (field, grant) in [("userScopes", Grant::User), ("applicationScopes", Grant::Application)] {
            let of = |scopes: &BTreeSet<Scope>| {
                words(scopes.iter().filter(|scope| scope.grant == grant).map(|scope| &scope.name))
            };
            compare(field, of(&desired.scopes), of(&actual.scopes));
        }
    }
    for (setting, value) in &desired.settings {
        let actual = actual.settings.get(setting);
        if actual != Some(value) {
            compare(setting.field(), value.to_string(), actual.map_or_else(|| "not set".into(), ToString::to_string));
        }
    }
    if let Some(method) = unasked_method(desired, actual) {
        compare(Setting::TokenEndpointAuthMethod.field(), "with its secret".into(), method.to_owned());
    }
    match &actual.owner {
        Mark::Uid(uid) if *uid != desired.owner.uid => compare(OWNER, desired.owner.uid.clone(), uid.clone()),
        Mark::Absent => compare(OWNER, desired.owner.uid.clone(), "nobody".into()),
        Mark::Uid(_) | Mark::Unsupported => {}
    }
    found
}

/// How it authenticates, where that is not what it takes if nobody asks for anything: with its secret.
fn unasked_method<'a>(desired: &Desired, actual: &'a Registered) -> Option<&'a str> {
    let method = Setting::TokenEndpointAuthMethod;
    let confidential = [desired.client_type, actual.client_type].iter().all(|kind| *kind == ClientType::Confidential);
    if !confidential || desired.secretless || desired.settings.contains_key(&method) {
        return None;
    }
    match actual.settings.get(&method) {
        Some(SettingValue::Text(text)) if !BY_SECRET.contains(&text.as_str()) => Some(text),
        _ => None,
    }
}

/// The same for who only observes: whose registration it is, is none of their business.
pub fn observed(desired: &Desired, actual: &Registered) -> Vec<FieldDifference> {
    let mut found = between(desired, actual);
    found.retain(|difference| difference.field != OWNER);
    found
}

/// The one difference of a registration that is not there.
pub fn absent() -> Vec<FieldDifference> {
    vec![FieldDifference { field: "registration".into(), desired: "present".into(), actual: "absent".into() }]
}

/// Whether a row of the server's list already shows a difference. Unless it tells as much as a read, a row
/// tells less: no scopes.
pub fn shows_in_list(desired: &Desired, row: &Listed) -> bool {
    if let Some(whole) = &row.whole {
        return !between(desired, whole).is_empty();
    }
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
    use crate::domain::registration::{Setting, SettingValue, both_grants};

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

    fn fields(desired: &Desired, actual: &Registered) -> Vec<String> {
        between(desired, actual).into_iter().map(|difference| difference.field).collect()
    }

    #[test]
    fn where_a_server_keeps_one_set_of_scopes_names_and_grant_types_are_compared() {
        let one_set = |names: &[&str], types: &[&str]| Registered {
            scopes: both_grants(names.iter().copied()),
            grant_types: Some(types.iter().map(ToString::to_string).collect()),
            ..registered("id")
        };
        let same = one_set(&["OR.Queues"], &["client_credentials"]);
        assert_eq!(fields(&desired(), &same), [""; 0]);
        assert!(!shows_in_list(&desired(), &same.clone().into_listed()));
        let wider = one_set(&["OR.Jobs", "OR.Queues"], &["client_credentials"]);
        assert_eq!(fields(&desired(), &wider), ["scopes"]);
        assert!(shows_in_list(&desired(), &wider.into_listed()), "the list tells as much as a read");
        let password = one_set(&["OR.Queues"], &["client_credentials", "password"]);
        assert_eq!(fields(&desired(), &password), ["grantTypes"]);
    }

    #[test]
    fn a_setting_is_compared_only_where_one_is_asked_for() {
        let lifespan = |seconds| [(Setting::AccessTokenLifespan, SettingValue::Seconds(seconds))].into();
        let actual = Registered { settings: lifespan(60), ..registered("id") };
        assert_eq!(fields(&desired(), &actual), [""; 0]);
        let wanted = Desired { settings: lifespan(3_600), ..desired() };
        let found = between(&wanted, &actual);
        assert_eq!((found[0].desired.as_str(), found[0].actual.as_str()), ("3600s", "60s"));
        assert_eq!(between(&wanted, &registered("id"))[0].actual, "not set");
    }

    #[test]
    fn who_is_not_told_how_to_authenticate_does_so_with_its_secret() {
        let by = |method: &str| [(Setting::TokenEndpointAuthMethod, SettingValue::Text(method.into()))].into();
        let actual = |method| Registered { settings: by(method), ..registered("id") };
        for method in BY_SECRET {
            assert_eq!(fields(&desired(), &actual(method)), [""; 0]);
        }
        let found = between(&desired(), &actual("private_key_jwt"));
        assert_eq!(found[0].field, "settings.tokenEndpointAuthMethod");
        assert_eq!((found[0].desired.as_str(), found[0].actual.as_str()), ("with its secret", "private_key_jwt"));
        let signing = Desired { settings: by("private_key_jwt"), ..desired() };
        assert_eq!(fields(&signing, &actual("private_key_jwt")), [""; 0]);
        assert_eq!(fields(&signing, &actual("client_secret_basic")).len(), 1);
    }

    #[test]
    fn a_mark_that_is_missing_or_anothers_is_a_difference_where_there_is_a_place_for_it() {
        let marked = |owner| Registered { owner, ..registered("id") };
        assert_eq!(fields(&desired(), &marked(Mark::Uid("app-uid".into()))), [""; 0]);
        for owner in [Mark::Absent, Mark::Uid("another".into())] {
            assert_eq!(fields(&desired(), &marked(owner)), [OWNER]);
        }
    }
}
