//! The rules for what may be registered. Where Automation Cloud's own rule is not known, the stricter one stands.

use std::collections::BTreeSet;

use url::Url;

use super::wire::{RegistrationRequest, ScopeRequest};
use crate::local_cloud::catalogue::{Catalogue, ScopeType};
use crate::local_cloud::errors::ApiError;
use crate::local_cloud::store::applications::Registration;

/// Turns a request into what is stored.
pub fn registration(
    request: RegistrationRequest,
    confidential: bool,
    catalogue: &Catalogue,
) -> Result<Registration, ApiError> {
    let name = request.name.filter(|name| !name.trim().is_empty()).ok_or_else(|| ApiError::required("name"))?;
    if request.client_certificates.is_some_and(|certificates| !certificates.is_empty()) {
        return Err(refused("Client certificates are not part of this stand-in."));
    }
    let scopes = scopes(&request.scopes.unwrap_or_default(), catalogue)?;
    let redirect_uri = request.redirect_uri.filter(|uri| !uri.is_empty());
    if let Some(uris) = &redirect_uri {
        require_absolute(uris)?;
    }
    let has = |kind| scopes.iter().any(|(_, found)| *found == kind);
    if !confidential && has(ScopeType::Application) {
        return Err(refused("Application scopes are allowed for confidential applications only."));
    }
    if redirect_uri.is_none() && (has(ScopeType::User) || !confidential) {
        return Err(refused("A redirect URI is required for user scopes and for non-confidential applications."));
    }
    Ok(Registration { name, redirect_uri, scopes })
}

fn scopes(requested: &[ScopeRequest], catalogue: &Catalogue) -> Result<Vec<(String, ScopeType)>, ApiError> {
    if requested.is_empty() {
        return Err(refused("At least one scope is required."));
    }
    let unknown: Vec<&str> =
        requested.iter().map(|scope| scope.name.as_str()).filter(|name| catalogue.find(name).is_none()).collect();
    if !unknown.is_empty() {
        return Err(refused(format!("Not all scopes={} are present in database", unknown.join(","))));
    }
    let mut scopes = BTreeSet::new();
    for scope in requested {
        let kind = scope.kind.as_ref().and_then(super::wire::ScopeTypeRequest::read);
        let kind = kind.ok_or_else(|| refused(format!("The type of scope {} is not valid.", scope.name)))?;
        if !catalogue.find(&scope.name).is_some_and(|(_, available)| available.allows(kind)) {
            return Err(refused(format!("Scope {} is not available with this type.", scope.name)));
        }
        scopes.insert((scope.name.clone(), kind));
    }
    Ok(scopes.into_iter().collect())
}

/// Several URIs come in one string, separated by commas. Wildcards are taken as they come.
fn require_absolute(uris: &str) -> Result<(), ApiError> {
    for uri in uris.split(',') {
        let usable = Url::parse(uri).is_ok_and(|uri| uri.fragment().is_none());
        if !usable {
            return Err(refused(format!("The redirect URI '{uri}' is not valid.")));
        }
    }
    Ok(())
}

fn refused(message: impl Into<String>) -> ApiError {
    ApiError::business("InvalidRequest", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(confidential: bool, body: serde_json::Value) -> Result<Registration, String> {
        let request = serde_json::from_value(body).unwrap();
        registration(request, confidential, &Catalogue::seeded()).map_err(|error| match error {
            ApiError::Business { message, .. } | ApiError::Binding { message, .. } => message,
            other => format!("{other:?}"),
        })
    }

    fn body(scopes: &[(&str, i64)], redirect_uri: Option<&str>) -> serde_json::Value {
        let scopes: Vec<_> =
            scopes.iter().map(|(name, kind)| serde_json::json!({ "name": name, "type": kind })).collect();
        serde_json::json!({ "name": "app", "redirectUri": redirect_uri, "scopes": scopes })
    }

    #[test]
    fn one_scope_may_stand_in_both_types_and_repetitions_vanish() {
        let scopes = [("OR.Jobs", 1), ("OR.Jobs", 0), ("OR.Jobs", 1)];
        let registration = judge(true, body(&scopes, Some("http://localhost:1/"))).unwrap();
        let both = vec![("OR.Jobs".to_owned(), ScopeType::User), ("OR.Jobs".to_owned(), ScopeType::Application)];
        assert_eq!(registration.scopes, both);
    }

    #[test]
    fn unknown_scopes_are_named_in_the_refusal() {
        let refusal = judge(true, body(&[("OR.Nope", 1), ("OR.Jobs", 1), ("X", 1)], None)).unwrap_err();
        assert_eq!(refusal, "Not all scopes=OR.Nope,X are present in database");
    }

    #[test]
    fn a_scope_is_refused_with_a_type_that_the_catalogue_does_not_allow() {
        assert!(judge(true, body(&[("AI.Helper.Read", 0)], Some("http://localhost/"))).is_err());
        assert!(judge(true, body(&[("Apps.Read", 1)], None)).is_err());
        assert!(judge(true, body(&[("OR.Jobs", 2)], None)).is_err());
    }

    #[test]
    fn user_scopes_and_public_applications_need_a_redirect_uri() {
        assert!(judge(true, body(&[("OR.Jobs", 0)], None)).is_err());
        assert!(judge(true, body(&[("OR.Jobs", 0)], Some(""))).is_err());
        assert!(judge(false, body(&[("OR.Jobs", 0)], None)).is_err());
        assert!(judge(true, body(&[("OR.Jobs", 1)], None)).is_ok());
    }

    #[test]
    fn redirect_uris_are_absolute_and_separated_by_commas() {
        let with = |uris| judge(true, body(&[("OR.Jobs", 0)], Some(uris)));
        assert!(with("http://localhost:5173,http://localhost:5173/").is_ok());
        assert!(with("https://host.example/action-**").is_ok());
        for wrong in ["/callback", "http://a/,", "http://a/#here", "not a uri"] {
            assert!(with(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_public_application_gets_no_application_scopes() {
        assert!(judge(false, body(&[("OR.Jobs", 1)], Some("http://localhost/"))).is_err());
        assert!(judge(false, body(&[("OR.Jobs", 0)], Some("http://localhost/"))).is_ok());
    }

    #[test]
    fn a_name_and_a_scope_are_the_least_that_must_be_there() {
        assert!(judge(true, body(&[], None)).is_err());
        assert!(judge(true, serde_json::json!({ "name": " ", "scopes": [{ "name": "OR.Jobs", "type": 1 }] })).is_err());
        assert!(judge(true, serde_json::json!({ "name": "app", "scopes": [{ "name": "OR.Jobs" }] })).is_err());
        assert!(judge(true, serde_json::json!({ "name": "app" })).is_err());
    }
}
