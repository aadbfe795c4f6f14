//! A scope leaves the catalogue: what goes on, and what does not.

use std::sync::Arc;

use super::*;
use crate::domain::fixtures::{NOON, app, catalogue, facts, observed, published, registered, settled, valid};
use crate::domain::observed::{Retry, ServerSeen};
use crate::domain::plan::{Circumstances, Plan, Step, plan};
use crate::domain::registration::{ClientId, Grant};
use crate::domain::validate::validate;

/// What is seen while the catalogue does not have this scope.
fn without(scope: &str) -> Observed {
    let mut catalogue = catalogue();
    for resource in &mut catalogue.resources {
        resource.scopes.retain(|known| known.name != scope);
    }
    let facts = crate::domain::observed::ServerFacts { catalogue: Arc::new(catalogue), ..facts() };
    Observed { seen: ServerSeen::Usable(facts), ..observed() }
}

/// Registered with two scopes, and settled.
fn two_scopes() -> (ExternalApplication, Registered) {
    let mut app = app();
    app.spec.resources[0].application_scopes.push("OR.Default".into());
    let mut actual = registered("id-9");
    actual.scopes.insert(Scope { name: "OR.Default".into(), grant: Grant::Application });
    (settled(app, "id-9", "1"), actual)
}

fn decide(app: &ExternalApplication, seen: &Observed) -> Plan {
    plan(app, &valid(app, seen), seen, Circumstances { identity: "me", now: NOON })
}

#[test]
fn nothing_is_done_for_an_application_that_is_well_but_for_its_scope() {
    let (app, actual) = two_scopes();
    for seen in [without("OR.Queues").unread("id-9"), without("OR.Queues").present(actual)] {
        let seen = seen.output(published(&app, "id-9", "1"));
        assert_eq!((decide(&app, &seen).steps, decide(&app, &seen).drift), (vec![], vec![]));
    }
}

#[test]
fn it_says_which_scope_that_is_and_that_the_others_are_granted() {
    let (app, actual) = two_scopes();
    let valid = valid(&app, &without("OR.Queues").present(actual));
    let finding = valid.held_back.expect("held back");
    assert_eq!((finding.reason, finding.stalled, finding.retry), (Reason::UnknownScope, true, Retry::OnChange));
    assert!(finding.message.starts_with("OR.Queues: "), "{}", finding.message);
    assert!(finding.message.contains("left as it is"), "{}", finding.message);
    let unknown: Vec<_> = valid.scopes.iter().filter(|scope| scope.state == ScopeState::Unknown).collect();
    assert_eq!(unknown.len(), 1);
    assert!(unknown[0].reason.as_ref().is_some_and(|reason| reason.contains("no longer in the server's catalogue")));
}

#[test]
fn a_lost_secret_is_replaced_and_published_with_the_scopes_that_the_registration_has() {
    let (app, mut actual) = two_scopes();
    let seen = without("OR.Queues").present(actual.clone());
    let steps = decide(&app, &seen).steps;
    assert!(matches!(&steps[..], [Step::AddSecret(_), Step::Publish { .. }, Step::Complete { .. }]), "{steps:?}");
    actual.scopes.retain(|scope| scope.name != "OR.Queues");
    let narrowed = valid(&app, &without("OR.Queues").present(actual));
    let names: Vec<&str> = narrowed.desired.scopes.iter().map(|scope| scope.name.as_str()).collect();
    assert_eq!(names, ["OR.Default"], "what is published can be asked for");
}

#[test]
fn the_registration_is_not_changed_and_every_difference_is_told() {
    let (app, mut actual) = two_scopes();
    actual.display_name = "Else".into();
    actual.scopes.retain(|scope| scope.name != "OR.Queues");
    actual.scopes.insert(Scope { name: "OR.Jobs".into(), grant: Grant::Application });
    let plan = decide(&app, &without("OR.Queues").present(actual));
    assert!(!plan.steps.iter().any(|step| matches!(step, Step::Update { .. })), "{:?}", plan.steps);
    let fields: Vec<&str> = plan.drift.iter().map(|difference| difference.field.as_str()).collect();
    assert_eq!(fields, ["displayName", "applicationScopes"]);
}

#[test]
fn a_mistyped_scope_in_an_edit_changes_nothing_that_is_published() {
    let (mut app, actual) = two_scopes();
    app.spec.resources[0].application_scopes.push("OR.Queue".into());
    app.metadata.generation = Some(2);
    let seen = observed().present(actual).output(published(&two_scopes().0, "id-9", "1"));
    assert_eq!(decide(&app, &seen).steps, []);
}

#[test]
fn what_is_not_registered_or_not_allowed_is_refused_as_a_whole() {
    let refused = |app: &ExternalApplication, seen: &Observed| {
        validate(app, seen, NOON).err().map(|refusal| refusal.finding.reason)
    };
    let (app, actual) = two_scopes();
    assert_eq!(refused(&super::super::fixtures::app(), &without("OR.Queues")), Some(Reason::UnknownScope));
    assert_eq!(refused(&app, &without("OR.Queues").missing("id-9")), Some(Reason::UnknownScope));
    assert_eq!(refused(&app, &without("OR.Queues").present(registered("id-8"))), Some(Reason::UnknownScope));
    let mut seen = without("OR.Queues").present(actual);
    let server = seen.server.as_mut().map(Arc::make_mut).expect("a server");
    server.spec.allowed_scopes = Some(vec!["OR.Queues".into()]);
    assert_eq!(refused(&app, &seen), Some(Reason::ScopeNotAllowed), "no credential for what is not allowed");
}

#[test]
fn a_failed_look_is_tried_again_because_there_may_be_something_to_repair() {
    let (app, _) = two_scopes();
    let failed = Finding::passing(Reason::ServerTimeout, "no answer", Retry::Backoff);
    let seen = without("OR.Queues").registration(RegistrationSeen::Unreadable(failed.clone()));
    assert_eq!(validate(&app, &seen, NOON).err().map(|refusal| refusal.finding), Some(failed));
    let lagging = without("OR.Queues").registration(RegistrationSeen::Lagging(ClientId::new("id-9")));
    assert_eq!(validate(&app, &lagging, NOON).err().map(|refusal| refusal.finding.stalled), Some(false));
}

#[test]
fn a_scope_that_nobody_knows_does_not_keep_one_that_was_withdrawn() {
    let (mut app, actual) = two_scopes();
    app.spec.resources[0].application_scopes = vec!["OR.Queues".into(), "OR.Bogus".into()];
    let restricted = |allowed: &[&str]| {
        let mut server = crate::domain::fixtures::server();
        server.spec.allowed_scopes = Some(allowed.iter().map(ToString::to_string).collect());
        Observed { server: Some(Arc::new(server)), ..observed() }.present(actual.clone())
    };
    // The registration still has OR.Default, which the owner does not allow any more.
    let refused = validate(&app, &restricted(&["OR.Queues"]), NOON);
    assert!(refused.is_err(), "no credential is kept for what was withdrawn");
    let bogus_is_not_allowed = validate(&app, &restricted(&["OR.Queues", "OR.Default"]), NOON);
    assert!(bogus_is_not_allowed.is_err(), "nor for what is not allowed, known or not");
    assert!(validate(&app, &restricted(&["OR.*"]), NOON).is_ok_and(|valid| valid.held_back.is_some()));
}

#[test]
fn an_edit_that_cannot_be_brought_about_takes_nothing_out_of_what_is_published() {
    let (mut app, mut actual) = two_scopes();
    actual.redirect_uris = ["https://old.example.com/callback".to_owned()].into();
    app.spec.resources[0].application_scopes = vec!["OR.Queue".into(), "OR.Default".into()];
    app.spec.redirect_uris = vec!["https://new.example.com/callback".into()];
    let valid = validate(&app, &observed().present(actual.clone()), NOON).expect("held back");
    assert!(valid.held_back.is_some());
    assert_eq!(valid.desired.scopes, actual.scopes);
    assert_eq!(valid.redirect_uris, ["https://old.example.com/callback"]);
}
