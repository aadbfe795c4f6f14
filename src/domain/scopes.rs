//! Which of the scopes asked for may be had, and what to say about the others.

use std::collections::BTreeSet;

use super::consent::allows_scope;
use super::reason::Reason;
use super::registration::{Catalogue, Grant, Scope};
use crate::api::api_resource::GrantKind;
use crate::api::external_application::{RequestedResource, ScopeState, ScopeStatus};

impl From<Grant> for GrantKind {
    fn from(grant: Grant) -> Self {
        match grant {
            Grant::User => Self::User,
            Grant::Application => Self::Application,
        }
    }
}

/// Every scope that a spec asks for, with the resource it is listed under.
pub fn requested(resources: &[RequestedResource]) -> impl Iterator<Item = (&str, Scope)> {
    resources.iter().flat_map(|resource| {
        let users = resource.user_scopes.iter().map(|name| (name, Grant::User));
        let own = resource.application_scopes.iter().map(|name| (name, Grant::Application));
        users.chain(own).map(|(name, grant)| (resource.name.as_str(), Scope { name: name.clone(), grant }))
    })
}

/// The requested scopes, without their resources.
pub fn requested_set(resources: &[RequestedResource]) -> BTreeSet<Scope> {
    requested(resources).map(|(_, scope)| scope).collect()
}

/// One verdict for each scope asked for, sorted by name and type. `per_grant`: whether the server keeps the scopes of each
/// grant apart.
pub fn judge(
    resources: &[RequestedResource],
    catalogue: &Catalogue,
    allowed: Option<&[String]>,
    per_grant: bool,
) -> Vec<ScopeStatus> {
    let asks = |grant| requested(resources).any(|(_, scope)| scope.grant == grant);
    let mixed = !per_grant && asks(Grant::User) && asks(Grant::Application);
    let mut verdicts: Vec<ScopeStatus> = requested(resources)
        .map(|(resource, scope)| {
            let (state, reason) = verdict(resource, &scope, catalogue, allowed, mixed);
            ScopeStatus { name: scope.name, r#type: scope.grant.into(), state, reason }
        })
        .collect();
    verdicts.sort();
    verdicts.dedup();
    verdicts
}

/// The first scope that stands in the way, as a reason and a message that names all of them.
pub fn refusal(verdicts: &[ScopeStatus]) -> Option<(Reason, String)> {
    let refused: Vec<&ScopeStatus> = verdicts.iter().filter(|verdict| verdict.reason.is_some()).collect();
    let reason = match refused.first()?.state {
        ScopeState::Unknown => Reason::UnknownScope,
        ScopeState::NotAllowed => Reason::ScopeNotAllowed,
        ScopeState::WrongType => Reason::WrongScopeType,
        ScopeState::Granted | ScopeState::Pending => return None,
    };
    let said: Vec<&str> = refused.iter().take(8).filter_map(|verdict| verdict.reason.as_deref()).collect();
    let more = refused.len().saturating_sub(said.len());
    let tail = if more > 0 { format!("; and {more} more, see status.scopes") } else { String::new() };
    Some((reason, format!("{}{tail}", said.join("; "))))
}

fn verdict(
    resource: &str,
    scope: &Scope,
    catalogue: &Catalogue,
    allowed: Option<&[String]>,
    mixed: bool,
) -> (ScopeState, Option<String>) {
    let name = &scope.name;
    let Some(api) = catalogue.resources.iter().find(|candidate| candidate.name == resource) else {
        let near = nearest(resource, catalogue.resources.iter().map(|candidate| candidate.name.as_str()));
        return (ScopeState::Unknown, Some(format!("resource {resource}: unknown{}", did_you_mean(near))));
    };
    let Some(known) = api.scopes.iter().find(|candidate| candidate.name == *name) else {
        return (ScopeState::Unknown, Some(unknown(resource, name, catalogue)));
    };
    if !allows_scope(allowed, name) {
        return (
            ScopeState::NotAllowed,
            Some(format!("{name}: not allowed by the AuthorizationServer; ask its owner to add it to allowedScopes")),
        );
    }
    if !known.grants.contains(&scope.grant) {
        let (is, field) = match scope.grant {
            Grant::User => ("an application scope", "applicationScopes"),
            Grant::Application => ("a user scope", "userScopes"),
        };
        return (ScopeState::WrongType, Some(format!("{name}: only exists as {is}; put it under {field}")));
    }
    if mixed && known.grants.len() < 2 {
        let only = if scope.grant == Grant::User { "a user scope" } else { "an application scope" };
        let reason = format!(
            "{name}: only exists as {only}, and this server would give it under every grant that an application has; make one application for people and another one that acts for itself"
        );
        return (ScopeState::WrongType, Some(reason));
    }
    (ScopeState::Pending, None)
}

fn unknown(resource: &str, name: &str, catalogue: &Catalogue) -> String {
    let elsewhere = catalogue
        .resources
        .iter()
        .find(|other| other.name != resource && other.scopes.iter().any(|candidate| candidate.name == name));
    if let Some(other) = elsewhere {
        return format!("{name}: not a scope of {resource}; it belongs to {}", other.name);
    }
    let own = catalogue.resources.iter().filter(|candidate| candidate.name == resource);
    let near = nearest(name, own.flat_map(|api| api.scopes.iter().map(|candidate| candidate.name.as_str())));
    format!("{name}: unknown{}", did_you_mean(near))
}

fn did_you_mean(near: Option<&str>) -> String {
    match near {
        Some(near) => format!("; did you mean {near}?"),
        None => "; `kubectl get apires` in the server's namespace shows what there is".into(),
    }
}

/// The candidate that a person most likely meant: few edits away in relation to its length; ties go to the first name.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance * 3 <= candidate.len().max(word.len()))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::catalogue;

    fn ask(resource: &str, user: &[&str], application: &[&str]) -> Vec<RequestedResource> {
        vec![RequestedResource {
            name: resource.into(),
            user_scopes: user.iter().map(ToString::to_string).collect(),
            application_scopes: application.iter().map(ToString::to_string).collect(),
        }]
    }

    fn said(resources: &[RequestedResource], allowed: Option<&[String]>) -> (Reason, String) {
        refusal(&judge(resources, &catalogue(), allowed, true)).expect("refused")
    }

    #[test]
    fn a_mistyped_scope_is_refused_with_the_nearest_name() {
        let (reason, message) = said(&ask("UiPath.Orchestrator", &[], &["OR.Queue"]), None);
        assert_eq!(reason, Reason::UnknownScope);
        assert_eq!(message, "OR.Queue: unknown; did you mean OR.Queues?");
    }

    #[test]
    fn a_mistyped_resource_is_refused_with_the_nearest_name() {
        let (_, message) = said(&ask("UiPath.Orchestrater", &[], &["OR.Queues"]), None);
        assert_eq!(message, "resource UiPath.Orchestrater: unknown; did you mean UiPath.Orchestrator?");
    }

    #[test]
    fn a_word_that_resembles_nothing_is_answered_with_where_to_look() {
        let (_, message) = said(&ask("UiPath.Orchestrator", &[], &["calendar"]), None);
        assert!(message.contains("kubectl get apires"), "{message}");
    }

    #[test]
    fn a_scope_of_another_resource_says_which() {
        let (_, message) = said(&ask("UiPath.Orchestrator", &[], &["AI.Deployer"]), None);
        assert_eq!(message, "AI.Deployer: not a scope of UiPath.Orchestrator; it belongs to UiPath.AICenter");
    }

    #[test]
    fn a_scope_under_the_wrong_type_says_where_it_belongs() {
        let (reason, message) = said(&ask("UiPath.AICenter", &["AI.Deployer"], &[]), None);
        assert_eq!(reason, Reason::WrongScopeType);
        assert_eq!(message, "AI.Deployer: only exists as an application scope; put it under applicationScopes");
    }

    #[test]
    fn a_scope_that_the_server_does_not_allow_is_refused() {
        let (reason, message) = said(&ask("UiPath.Orchestrator", &[], &["OR.Queues"]), Some(&["PM.*".into()]));
        assert_eq!(reason, Reason::ScopeNotAllowed);
        assert!(message.contains("allowedScopes"), "{message}");
    }

    #[test]
    fn the_same_name_may_be_asked_for_as_both_types() {
        let verdicts = judge(&ask("UiPath.Orchestrator", &["OR.Queues"], &["OR.Queues"]), &catalogue(), None, true);
        assert_eq!(verdicts.len(), 2);
        assert_eq!(refusal(&verdicts), None);
    }

    #[test]
    fn where_a_registration_has_one_set_of_scopes_none_is_had_under_a_grant_that_it_does_not_allow() {
        let mut catalogue = catalogue();
        let scope = |name: &str, grant| crate::domain::registration::CatalogueScope {
            name: name.into(),
            grants: [grant].into(),
            ..catalogue.resources[0].scopes[0].clone()
        };
        let two = [scope("approve", Grant::User), scope("ping", Grant::Application)];
        catalogue.resources[0].scopes.extend(two);
        let said = |user: &[&str], own: &[&str], per_grant| {
            refusal(&judge(&ask("UiPath.Orchestrator", user, own), &catalogue, None, per_grant))
        };
        assert_eq!(said(&["approve"], &["ping"], true), None, "each is granted apart");
        let (reason, message) = said(&["approve"], &["ping"], false).expect("refused");
        assert_eq!(reason, Reason::WrongScopeType);
        assert!(message.starts_with("approve: only exists as a user scope, and this server"), "{message}");
        assert_eq!(said(&["approve"], &[], false), None);
        assert_eq!(said(&["OR.Queues"], &["OR.Jobs"], false), None, "both may be had under both");
    }
}
