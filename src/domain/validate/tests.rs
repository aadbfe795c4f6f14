//! Each finding, one sentence each: what stands in the way, and what a person reads about it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::domain::fixtures::{
    NOON, app, guarded, intent, observed, published, registered, server, settled, with_intent,
};
use crate::domain::intent::{Intent, SHOWN_AFTER, Search};
use crate::domain::observed::{Look, RegistrationSeen, look};
use crate::domain::registration::Registered;

fn refusal(app: &ExternalApplication, seen: &Observed) -> Finding {
    validate(app, seen, NOON).err().expect("refused").finding
}

fn accepted(app: &ExternalApplication, seen: &Observed) -> bool {
    validate(app, seen, NOON).is_ok()
}

/// Stalled for this reason, with these words in the message.
fn stalls(app: &ExternalApplication, seen: &Observed, reason: Reason, words: &[&str]) {
    let finding = refusal(app, seen);
    assert_eq!((finding.reason, finding.stalled), (reason, true), "{}", finding.message);
    for word in words {
        assert!(finding.message.contains(word), "{word:?} is missing in {:?}", finding.message);
    }
}

fn spec(changes: &Value) -> ExternalApplication {
    let mut object = serde_json::to_value(app()).expect("json");
    for (key, value) in changes.as_object().expect("an object") {
        object["spec"][key] = value.clone();
    }
    serde_json::from_value(object).expect("an application")
}

fn seen_with_server(changes: &Value) -> Observed {
    let mut object = serde_json::to_value(server()).expect("json");
    for (key, value) in changes.as_object().expect("an object") {
        object["spec"][key] = value.clone();
    }
    Observed { server: Some(Arc::new(serde_json::from_value(object).expect("a server"))), ..observed() }
}

fn adopting(id: &str) -> ExternalApplication {
    spec(&json!({"adopt": {"clientId": id}}))
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let seen = Observed { server: None, seen: ServerSeen::Absent, ..observed() };
    stalls(&app(), &seen, Reason::ServerNotFound, &["no AuthorizationServer cloud in"]);
    let elsewhere = spec(&json!({"serverRef": {"name": "cloud", "namespace": "platform"}}));
    stalls(&elsewhere, &seen, Reason::ServerNotFound, &["platform/cloud"]);
}

#[test]
fn a_namespace_that_is_not_admitted_is_told_whom_to_ask() {
    let seen = Observed { admitted: false, ..observed() };
    stalls(&app(), &seen, Reason::NamespaceNotAllowed, &["namespace identity", "allowedNamespaces"]);
    let suspended = Observed { admitted: false, ..seen_with_server(&json!({"suspend": true})) };
    stalls(&app(), &suspended, Reason::NamespaceNotAllowed, &[]);
}

#[test]
fn a_suspended_application_and_one_of_a_suspended_server_rest_without_being_stalled() {
    for (app, seen, words) in [
        (spec(&json!({"suspend": true})), observed(), "spec.suspend is true"),
        (app(), seen_with_server(&json!({"suspend": true})), "AuthorizationServer is suspended"),
    ] {
        let finding = refusal(&app, &seen);
        assert_eq!((finding.reason, finding.stalled, finding.retry), (Reason::Suspended, false, Retry::OnChange));
        assert!(finding.message.contains(words), "{}", finding.message);
    }
}

#[test]
fn what_is_wrong_with_the_server_is_passed_on_as_it_is() {
    let finding = Finding::passing(Reason::CredentialsRefused, "the server refused", Retry::Backoff);
    let seen = Observed { seen: ServerSeen::Unusable(finding.clone()), ..observed() };
    assert_eq!(refusal(&app(), &seen), finding);
    let seen = Observed { seen: ServerSeen::NotTried, ..observed() };
    assert_eq!((refusal(&app(), &seen).reason, refusal(&app(), &seen).stalled), (Reason::ServerNotReady, false));
}

#[test]
fn the_schemas_rules_hold_without_the_schema_too() {
    let user = json!([{"name": "UiPath.Orchestrator", "userScopes": ["OR.Jobs"]}]);
    let cases = [
        (json!({"type": "NonConfidential"}), "must not have applicationScopes"),
        (json!({"resources": user}), "must not be empty when there are userScopes"),
        (json!({"redirectUris": ["https://a.example/*"]}), "must not contain"),
        (json!({"outputs": [{"name": "a", "kind": "ConfigMap"}]}), "must have an output of kind Secret"),
        (json!({"outputs": [{"name": "a"}, {"name": "a"}]}), "a is listed twice"),
    ];
    for (changes, words) in cases {
        stalls(&spec(&changes), &observed(), Reason::InvalidSpec, &[words]);
    }
    assert!(accepted(&spec(&json!({"outputs": [{"name": "a"}, {"name": "a", "kind": "ConfigMap"}]})), &observed()));
}

#[test]
fn the_oldest_applications_of_a_namespace_have_its_places() {
    let limited = |older| Observed {
        older_siblings: older,
        ..seen_with_server(&json!({"limits": {"applicationsPerNamespace": 2}}))
    };
    assert!(accepted(&app(), &limited(1)));
    stalls(&app(), &limited(2), Reason::LimitReached, &["allows 2 applications"]);
    assert_eq!(refusal(&app(), &limited(2)).retry, Retry::Backoff, "no watch tells when a place is free");
}

#[test]
fn scopes_are_judged_one_by_one_and_all_verdicts_are_given() {
    let asked = json!([{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queue", "OR.Jobs"]}]);
    let app = spec(&json!({"resources": asked}));
    stalls(&app, &observed(), Reason::UnknownScope, &["did you mean OR.Queues?"]);
    let verdicts = validate(&app, &observed(), NOON).err().and_then(|refusal| refusal.scopes).expect("verdicts");
    assert_eq!(verdicts.len(), 2);
    stalls(&self::app(), &seen_with_server(&json!({"allowedScopes": []})), Reason::ScopeNotAllowed, &["allowedScopes"]);
}

#[test]
fn a_foreign_object_in_the_way_is_left_alone_even_before_the_first_registration() {
    let mut foreign = published(&app(), "id-9", "1");
    foreign.ours = false;
    let seen = || {
        let mut foreign = published(&app(), "id-9", "1");
        foreign.ours = false;
        observed().output(foreign)
    };
    stalls(&app(), &seen(), Reason::SecretConflict, &["Secret invoice-sync-oauth exists", "left alone"]);
    stalls(&settled(app(), "id-9", "1"), &seen().unread("id-9"), Reason::SecretConflict, &[]);
    let seen = observed().output(foreign);
    assert!(accepted(&spec(&json!({"outputs": [{"name": "else"}]})), &seen), "it is in nobody's way");
}

#[test]
fn a_template_that_cannot_be_rendered_is_found_before_anything_is_made() {
    let template =
        |text: &str| spec(&json!({"outputs": [{"name": "a", "format": "Template", "template": {"k": text}}]}));
    stalls(&template("{{ nothing }}"), &observed(), Reason::TemplateInvalid, &["output a, key k"]);
    assert!(accepted(&template("{{ clientSecret }}"), &observed()));
}

#[test]
fn an_adoption_is_refused_where_the_registration_is_not_free() {
    let seen = || observed().present(registered("id-9"));
    assert!(accepted(&adopting("id-9"), &seen()));
    let own = Observed { operators_own: true, ..seen() };
    stalls(&adopting("operator"), &own, Reason::AdoptionRefused, &["the operator's own registration"]);
    let claimed = Observed { claimant: Some("team-b/other".into()), ..seen() };
    stalls(&adopting("id-9"), &claimed, Reason::AdoptionRefused, &["belongs to ExternalApplication team-b/other"]);
    stalls(
        &settled(adopting("id-9"), "id-8", "1"),
        &seen(),
        Reason::AdoptionRefused,
        &["already stands for registration id-8"],
    );
}

#[test]
fn whatever_names_a_registration_that_is_not_free_it_is_not_taken() {
    // An object in the namespace says that a create of ours made it.
    let app = with_intent(app(), &intent());
    let seen = || observed().present(registered("id-9"));
    assert!(accepted(&app, &seen()));
    let own = Observed { operators_own: true, ..seen() };
    stalls(&app, &own, Reason::AdoptionRefused, &["the operator's own registration"]);
    let claimed = Observed { claimant: Some("team-b/other".into()), ..seen() };
    stalls(&app, &claimed, Reason::AdoptionRefused, &["belongs to ExternalApplication team-b/other"]);
    let forged = Observed { unproven: true, ..seen() };
    stalls(&app, &forged, Reason::RegistrationAmbiguous, &["id-9"]);
}

#[test]
fn an_adoption_gives_a_namespace_no_scope_that_it_may_not_ask_for() {
    let mut wide = registered("id-9");
    let scope = crate::domain::registration::Scope {
        name: "PM.OAuthApp".into(),
        grant: crate::domain::registration::Grant::Application,
    };
    wide.scopes.insert(scope);
    let seen = |allowed: Value| seen_with_server(&json!({"allowedScopes": allowed})).present(wide.clone());
    stalls(&adopting("id-9"), &seen(json!(["OR.*"])), Reason::AdoptionRefused, &["PM.OAuthApp", "allowedScopes"]);
    assert!(
        accepted(&settled(adopting("id-9"), "id-9", "1"), &seen(json!(["OR.*"]))),
        "once it is ours, it is narrowed"
    );
    assert!(accepted(&adopting("id-9"), &seen(Value::Null)));
}

#[test]
fn an_ambiguity_can_be_settled_by_adoption_even_while_the_status_names_the_replaced_one() {
    let replacing = Intent { replaces: Some(ClientId::new("id-8")), ..intent() };
    let app = with_intent(settled(adopting("id-9"), "id-8", "1"), &replacing);
    assert_eq!(look(&app, &[], false, false, NOON), Look::Detail(ClientId::new("id-9")));
    assert!(accepted(&app, &observed().present(registered("id-9"))));
}

#[test]
fn a_registration_of_the_other_type_is_refused_and_under_observe_only_shown() {
    let public = Registered { client_type: ClientType::NonConfidential, ..registered("id-9") };
    stalls(&adopting("id-9"), &observed().present(public.clone()), Reason::AdoptionRefused, &["not of this type"]);
    let watching = spec(&json!({"adopt": {"clientId": "id-9"}, "management": "Observe"}));
    assert!(accepted(&watching, &observed().present(public)));
}

#[test]
fn an_adopted_or_observed_registration_that_is_gone_is_not_made_again() {
    stalls(&adopting("id-9"), &observed().missing("id-9"), Reason::RegistrationMissing, &["id-9 does not exist"]);
    let watching = spec(&json!({"management": "Observe"}));
    stalls(&watching, &observed().missing("id-9"), Reason::RegistrationMissing, &[]);
    stalls(&watching, &observed(), Reason::RegistrationMissing, &["set adopt.clientId"]);
    assert!(accepted(&app(), &observed().missing("id-9")), "ours is made again");
}

#[test]
fn a_lost_create_is_ambiguous_waited_for_or_held_by_another_process() {
    let app = with_intent(app(), &intent());
    let two = [registered("id-9"), registered("id-10")];
    stalls(
        &app,
        &observed().unsettled(&intent(), &two),
        Reason::RegistrationAmbiguous,
        &["id-10, id-9", "adopt.clientId"],
    );
    let fresh = Intent { at: NOON, ..intent() };
    let finding = refusal(&app, &observed().unsettled(&fresh, &[]));
    assert_eq!(
        (finding.reason, finding.stalled, finding.retry),
        (Reason::OutcomeUnknown, false, Retry::After(SHOWN_AFTER))
    );
    let left = Duration::from_secs(9);
    let held = RegistrationSeen::Unsettled { intent: fresh, hold: Some(left), search: Search::default() };
    let finding = refusal(&app, &observed().registration(held));
    assert_eq!((finding.reason, finding.retry), (Reason::Progressing, Retry::After(left)));
}

#[test]
fn a_registration_that_does_not_show_yet_is_waited_for_and_a_failed_look_is_passed_on() {
    let app = settled(guarded(app()), "id-9", "1");
    let finding = refusal(&app, &observed().registration(RegistrationSeen::Lagging(ClientId::new("id-9"))));
    assert_eq!((finding.reason, finding.stalled), (Reason::Progressing, false));
    let failed = Finding::passing(Reason::ServerTimeout, "no answer", Retry::Backoff);
    assert_eq!(refusal(&app, &observed().registration(RegistrationSeen::Unreadable(failed.clone()))), failed);
}

#[test]
fn where_client_ids_can_be_guessed_an_adoption_needs_the_secret_or_the_consent_of_the_servers_owner() {
    let mut app = app();
    app.metadata.namespace = Some("team".into());
    app.spec.adopt = Some(crate::api::external_application::Adopt { client_id: "grafana".into() });
    let judge = |guessable: bool, possessed: bool, allowed: Option<&[&str]>, namespace: &str| {
        let mut server = crate::domain::fixtures::server();
        server.metadata.namespace = Some(namespace.into());
        server.spec.allowed_adoptions = allowed.map(|all| all.iter().map(ToString::to_string).collect());
        let mut facts = crate::domain::fixtures::facts();
        facts.capabilities.guessable_ids = guessable;
        let seen = Observed {
            possessed,
            seen: ServerSeen::Usable(facts),
            server: Some(std::sync::Arc::new(server)),
            ..observed().present(registered("grafana"))
        };
        validate(&app, &seen, NOON).map(|_| ()).map_err(|refusal| refusal.finding)
    };
    assert!(judge(false, false, None, "identity").is_ok(), "an id that nobody can guess");
    let refused = judge(true, false, None, "identity").expect_err("refused");
    assert_eq!(refused.reason, Reason::AdoptionRefused);
    assert!(refused.message.contains("extapp.dev/given-to=invoice-sync"), "{}", refused.message);
    assert!(judge(true, true, None, "identity").is_ok(), "who has the secret");
    assert!(judge(true, false, None, "team").is_ok(), "the server's own namespace");
    for (allowed, expected) in [(&["grafana"][..], true), (&["graf*"], true), (&["other"], false), (&[], false)] {
        assert_eq!(judge(true, false, Some(allowed), "identity").is_ok(), expected, "{allowed:?}");
        assert_eq!(judge(false, false, Some(allowed), "identity").is_ok(), expected, "{allowed:?}");
    }
    assert!(judge(false, true, Some(&[]), "identity").is_ok(), "the secret is always enough");
}
