//! Each decision of `plan`, one sentence each.

use jiff::SignedDuration;

use super::*;
use crate::domain::credentials::{RETIREMENT, marker};
use crate::domain::fixtures::{
    NOON, app, guarded, intent, observed, published, registered, secret_info, seen_output, settled, valid, with_intent,
};
use crate::domain::intent::Search;
use crate::domain::observed::{Look, look};
use crate::domain::outputs::{CLIENT_ID, Content};
use crate::domain::validate::validate;

const ME: Circumstances<'static> = Circumstances { identity: "me", now: NOON };

fn decide(app: &ExternalApplication, seen: &Observed) -> Plan {
    plan(app, &valid(app, seen), seen, ME)
}

/// The plan in words: short enough to compare, long enough to tell apart.
fn steps(app: &ExternalApplication, seen: &Observed) -> Vec<String> {
    decide(app, seen).steps.iter().map(said).collect()
}

fn said(step: &Step) -> String {
    match step {
        Step::Guard => "guard".into(),
        Step::RecordIntent(intent) => match &intent.replaces {
            None => format!("record {}", intent.name),
            Some(id) => format!("record {} replacing {id}", intent.name),
        },
        Step::Register => "register".into(),
        Step::TakeOver(id) => format!("take over {id}"),
        Step::Update { id, differences } => {
            let fields: Vec<&str> = differences.iter().map(|difference| difference.field.as_str()).collect();
            format!("update {id}: {}", fields.join(", "))
        }
        Step::AddSecret(id) => format!("add secret to {id}"),
        Step::Publish { output, over: None } => format!("publish {}", output.name),
        Step::Publish { output, over: Some(standing) } => format!("publish {} over {}", output.name, standing.uid),
        Step::RemoveOutput(output) => format!("remove {}", output.name),
        Step::RetireSecret { id, secret } => format!("retire secret {secret} of {id}"),
    }
}

fn spec(json: &serde_json::Value) -> ExternalApplication {
    let mut object = serde_json::to_value(app()).expect("json");
    for (key, value) in json.as_object().expect("an object") {
        object["spec"][key] = value.clone();
    }
    serde_json::from_value(object).expect("an application")
}

fn with_outputs(outputs: &serde_json::Value) -> ExternalApplication {
    spec(&serde_json::json!({"outputs": outputs}))
}

fn observing() -> ExternalApplication {
    spec(&serde_json::json!({"management": "Observe", "adopt": {"clientId": "id-9"}}))
}

fn public() -> ExternalApplication {
    spec(&serde_json::json!({
        "type": "NonConfidential", "redirectUris": ["https://a.example/"],
        "resources": [{"name": "UiPath.Orchestrator", "userScopes": ["OR.Jobs"]}]
    }))
}

/// What the server says of a registration that is as the application wants it.
fn registered_as(app: &ExternalApplication, id: &str, secrets: &[&str]) -> Registered {
    let desired = crate::domain::validate::desired(app);
    Registered {
        display_name: desired.display_name,
        client_type: desired.client_type,
        redirect_uris: desired.redirect_uris,
        scopes: desired.scopes,
        secrets: secrets.iter().map(|id| secret_info(id, None)).collect(),
        ..registered(id)
    }
}

#[test]
fn a_new_application_is_recorded_then_registered_then_published() {
    let seen = observed().registration(RegistrationSeen::None { namesakes: vec![ClientId::new("b"), ClientId::new("a")] });
    assert_eq!(steps(&app(), &seen), ["record Invoice sync", "register", "publish invoice-sync-oauth"]);
    let Some(Step::RecordIntent(intent)) = decide(&app(), &seen).steps.into_iter().next() else { panic!("an intent") };
    assert_eq!(intent.known, ["a", "b"].map(ClientId::new), "those that carried the name before are none of ours");
    assert_eq!((intent.holder.as_str(), intent.at), ("me", NOON));
    assert_eq!(intent.digest, digest(&valid(&app(), &seen).desired));
}

#[test]
fn a_create_whose_answer_was_lost_is_settled_not_repeated() {
    let app = with_intent(app(), &intent());
    let seen = observed().unsettled(&intent(), &[registered("id-9")]);
    assert_eq!(
        steps(&app, &seen),
        ["take over id-9", "add secret to id-9", "publish invoice-sync-oauth", "retire secret 1 of id-9"],
        "the secret that was lost goes last, when the fresh one is published"
    );
}

#[test]
fn a_registration_that_was_taken_over_is_changed_only_after_an_object_names_it() {
    let mut app = with_intent(app(), &intent());
    app.spec.display_name = Some("Renamed".into());
    let expected = [
        "take over id-9", "add secret to id-9", "publish invoice-sync-oauth", "update id-9: displayName",
        "retire secret 1 of id-9",
    ];
    assert_eq!(steps(&app, &observed().unsettled(&intent(), &[registered("id-9")])), expected);
}

#[test]
fn a_create_that_never_arrived_is_sent_under_a_new_intent() {
    let app = with_intent(app(), &intent());
    let seen = observed().unsettled(&intent(), &[]);
    let plan = decide(&app, &seen);
    let words: Vec<String> = plan.steps.iter().map(said).collect();
    assert_eq!(words, ["record Invoice sync", "register", "publish invoice-sync-oauth"]);
    let Some(Step::RecordIntent(new)) = plan.steps.into_iter().next() else { panic!("an intent") };
    assert_eq!((new.known, new.at), (intent().known, NOON), "who carried the name before is not forgotten");
}

#[test]
fn a_create_for_an_earlier_name_makes_those_of_the_new_name_known() {
    let mut app = with_intent(app(), &intent());
    app.spec.display_name = Some("Renamed".into());
    let search = Search { namesakes: vec![ClientId::new("id-8")], ..Search::default() };
    let seen = observed().registration(RegistrationSeen::Unsettled { intent: intent(), hold: None, search });
    let Some(Step::RecordIntent(new)) = decide(&app, &seen).steps.into_iter().next() else { panic!("an intent") };
    assert_eq!(new.name, "Renamed");
    assert_eq!(new.known, ["id-7", "id-8"].map(ClientId::new), "a stranger of the new name must never look like ours");
}

#[test]
fn a_secret_written_before_the_crash_is_used_and_only_lost_ones_go() {
    let app = with_intent(app(), &intent());
    let seen = observed().present(registered_as(&app, "id-9", &["1", "2"])).output(published(&app, "id-9", "2"));
    assert_eq!(steps(&app, &seen), ["retire secret 1 of id-9"]);
}

#[test]
fn a_registration_is_updated_only_where_it_differs() {
    let app = settled(app(), "id-9", "1");
    let same = observed().present(registered("id-9")).output(published(&app, "id-9", "1"));
    assert_eq!(steps(&app, &same), [""; 0]);
    let edited = Registered { display_name: "Else".into(), ..registered("id-9") };
    let seen = observed().present(edited).output(published(&app, "id-9", "1"));
    assert_eq!(steps(&app, &seen), ["update id-9: displayName"]);
}

#[test]
fn an_unread_registration_with_everything_in_order_needs_nothing() {
    for app in [settled(app(), "id-9", "1"), settled(public(), "id-9", "1")] {
        let seen = observed().unread("id-9").output(published(&app, "id-9", "1"));
        assert_eq!(steps(&app, &seen), [""; 0]);
    }
}

#[test]
fn an_adopted_registration_is_guarded_gets_a_secret_and_keeps_those_of_others() {
    let app = spec(&serde_json::json!({"adopt": {"clientId": "id-9"}}));
    let actual = Registered { secrets: vec![secret_info("1", Some("made by hand"))], ..registered("id-9") };
    let expected = ["guard", "add secret to id-9", "publish invoice-sync-oauth"];
    assert_eq!(steps(&app, &observed().present(actual.clone())), expected);
    let lost = secret_info("2", Some(&marker("app-uid")));
    let actual = Registered { secrets: [actual.secrets, vec![lost]].concat(), ..actual };
    let expected = ["add secret to id-9", "publish invoice-sync-oauth", "retire secret 2 of id-9"];
    assert_eq!(steps(&guarded(app), &observed().present(actual)), expected, "one of ours that was lost goes");
}

#[test]
fn an_adopted_registration_keeps_its_secrets_even_where_a_create_had_been_lost() {
    let app = with_intent(spec(&serde_json::json!({"adopt": {"clientId": "id-9"}})), &intent());
    assert_eq!(
        steps(&app, &observed().present(registered("id-9"))),
        ["add secret to id-9", "publish invoice-sync-oauth"]
    );
}

#[test]
fn a_deleted_secret_object_gets_a_new_secret_and_the_old_one_is_not_removed_yet() {
    let app = settled(app(), "id-9", "1");
    let seen = observed().present(registered("id-9"));
    assert_eq!(steps(&app, &seen), ["add secret to id-9", "publish invoice-sync-oauth"]);
}

#[test]
fn a_replaced_secret_goes_when_its_time_has_come_even_if_someone_was_faster() {
    let mut app = settled(app(), "id-9", "2");
    let status = app.status.as_mut().expect("a status");
    let mut old = status.credentials[0].clone();
    (old.id, old.state) = ("1".into(), crate::api::external_application::CredentialState::Retiring);
    let end = |after: i64| Some(credentials::whole(NOON + SignedDuration::from_secs(after)));
    old.expires_at = end(0);
    status.credentials.push(old);
    let seen = |secrets: &[&str]| {
        observed().present(registered_as(&app_without_status(), "id-9", secrets)).output(published(&app_without_status(), "id-9", "2"))
    };
    assert_eq!(steps(&app, &seen(&["1", "2"])), ["retire secret 1 of id-9"]);
    assert_eq!(steps(&app, &seen(&["2"])), ["retire secret 1 of id-9"], "else the status would name it for ever");
    app.status.as_mut().expect("a status").credentials[1].expires_at = end(1);
    assert_eq!(steps(&app, &seen(&["1", "2"])), [""; 0]);
    assert!(RETIREMENT > std::time::Duration::ZERO);
}

fn app_without_status() -> ExternalApplication {
    app()
}

fn edit(object: &mut SeenOutput, key: &str, value: &str) {
    let Content::Secret(data) = &mut object.content else { panic!("a Secret") };
    data.insert(key.into(), value.into());
}

#[test]
fn a_damaged_client_secret_is_replaced_by_a_new_one() {
    let app = settled(app(), "id-9", "1");
    let mut damaged = published(&app, "id-9", "1");
    edit(&mut damaged, "client-secret", "something else");
    let expected = ["add secret to id-9", "publish invoice-sync-oauth over uid-of-invoice-sync-oauth"];
    assert_eq!(steps(&app, &observed().present(registered("id-9")).output(damaged)), expected);
}

#[test]
fn another_edited_key_is_only_written_again() {
    let app = settled(app(), "id-9", "1");
    let mut edited = published(&app, "id-9", "1");
    edit(&mut edited, "token-uri", "https://evil.example/");
    let expected = ["publish invoice-sync-oauth over uid-of-invoice-sync-oauth"];
    assert_eq!(steps(&app, &observed().unread("id-9").output(edited)), expected);
}

#[test]
fn a_secret_that_the_server_lost_is_replaced_once_it_had_time_to_show() {
    let mut app = settled(app(), "id-9", "1");
    let seen = || observed().present(registered_as(&self::app(), "id-9", &[])).output(published(&self::app(), "id-9", "1"));
    let expected = ["add secret to id-9", "publish invoice-sync-oauth over uid-of-invoice-sync-oauth"];
    assert_eq!(steps(&app, &seen()), expected);
    app.status.as_mut().expect("a status").credentials[0].created_at = Some(credentials::whole(NOON));
    assert_eq!(steps(&app, &seen()), [""; 0], "the server's reads may lag behind its writes");
}

#[test]
fn a_registration_deleted_at_the_server_is_made_again_over_the_standing_secret() {
    let app = settled(app(), "id-9", "1");
    let seen = observed().missing("id-9").output(published(&app, "id-9", "1"));
    let over = "publish invoice-sync-oauth over uid-of-invoice-sync-oauth";
    assert_eq!(steps(&app, &seen), ["record Invoice sync replacing id-9", "register", over]);
}

#[test]
fn an_object_that_names_a_registration_from_before_the_create_proves_nothing() {
    let seen = observed().output(published(&app(), "id-8", "1"));
    let Some(Step::RecordIntent(intent)) = decide(&app(), &seen).steps.into_iter().next() else { panic!("an intent") };
    assert_eq!(intent.known, [ClientId::new("id-8")]);
    assert!(matches!(look(&with_intent(app(), &intent), &seen.outputs, false, NOON), Look::Search(_)));
}

#[test]
fn a_renamed_output_is_published_before_the_old_one_goes_and_without_a_new_secret() {
    let before = with_outputs(&serde_json::json!([{"name": "old"}]));
    let app = settled(with_outputs(&serde_json::json!([{"name": "new"}])), "id-9", "1");
    let seen = observed().unread("id-9").left_over(published(&before, "id-9", "1"), false);
    assert_eq!(steps(&app, &seen), ["publish new", "remove old"]);
}

#[test]
fn immutable_versions_stay_as_long_as_their_credential_lives() {
    let spec = serde_json::json!([{"name": "x", "immutable": true}]);
    let app = settled(with_outputs(&spec), "id-9", "1");
    let (current, old) = (published(&app, "id-9", "1"), published(&app, "id-9", "0"));
    let actual = registered_as(&app, "id-9", &["1"]);
    let seen = observed().present(actual.clone()).left_over(current, true);
    assert_eq!(steps(&app, &seen), [""; 0]);
    let name = old.name.clone();
    let seen = seen.left_over(old, true);
    assert_eq!(steps(&app, &seen), [format!("remove {name}")], "the credential in it is gone");
    let mut with_old = app.clone();
    let credentials = &mut with_old.status.as_mut().expect("a status").credentials;
    credentials.push(CredentialStatus { id: "0".into(), ..credentials[0].clone() });
    let lives = Registered { secrets: ["0", "1"].map(|id| secret_info(id, None)).into(), ..actual };
    assert_eq!(steps(&with_old, &seen.present(lives)), [""; 0], "what still runs with it needs it");
}

#[test]
fn immutable_versions_of_an_earlier_registration_go_at_once() {
    let spec = serde_json::json!([{"name": "x", "immutable": true}]);
    let replacing = Intent { replaces: Some(ClientId::new("id-8")), ..intent() };
    let app = with_intent(settled(with_outputs(&spec), "id-8", "0"), &replacing);
    let old = published(&app, "id-8", "0");
    let name = old.name.clone();
    let mut fresh = published(&app, "id-9", "1");
    fresh.annotations.insert(CLIENT_ID.into(), "id-9".into());
    let seen = observed().present(registered_as(&app, "id-9", &["1"])).left_over(old, true).left_over(fresh, true);
    assert_eq!(steps(&app, &seen), [format!("remove {name}")]);
}

#[test]
fn a_public_application_never_gets_a_secret_and_its_config_map_has_none() {
    let fresh = steps(&public(), &observed());
    assert_eq!(fresh, ["record Invoice sync", "register", "publish invoice-sync-oauth"]);
    let app = settled(public(), "id-9", "1");
    let seen = observed().present(registered_as(&app, "id-9", &[]));
    assert_eq!(steps(&app, &seen), ["publish invoice-sync-oauth"]);
    let Content::ConfigMap(data) = published(&app, "id-9", "1").content else { panic!("a ConfigMap") };
    assert!(!data.contains_key("client-secret"));
}

#[test]
fn observe_plans_nothing_at_the_server() {
    let app = observing();
    let edited = Registered { display_name: "Else".into(), secrets: vec![secret_info("1", Some(&marker("app-uid")))], ..registered("id-9") };
    let plan = decide(&app, &observed().present(edited));
    assert_eq!(plan.steps, []);
    assert_eq!(plan.drift.iter().map(|difference| difference.field.as_str()).collect::<Vec<_>>(), ["displayName"]);
    let seen = observed().present(registered("id-9")).holding("2");
    assert_eq!(steps(&app, &seen), ["publish invoice-sync-oauth"], "writing an object is no write at the server");
}

#[test]
fn observe_after_a_lost_create_registers_nothing() {
    let mut app = with_intent(app(), &intent());
    app.spec.management = Some(crate::api::external_application::Management::Observe);
    let refusal = validate(&app, &observed().unsettled(&intent(), &[]), NOON).err().expect("refused");
    assert_eq!(refusal.finding.reason, crate::domain::reason::Reason::RegistrationMissing);
}

#[test]
fn observe_keeps_an_object_that_it_cannot_replace() {
    let app = settled(observing(), "id-9", "1");
    let mut damaged = published(&with_outputs(&serde_json::json!([{"name": "old"}])), "id-9", "1");
    edit(&mut damaged, "client-secret", "something else");
    assert_eq!(steps(&app, &observed().present(registered("id-9")).left_over(damaged, false)), [""; 0]);
}

#[test]
fn a_missing_finalizer_is_written_first() {
    let mut app = settled(app(), "id-9", "1");
    app.metadata.finalizers = None;
    let edited = Registered { display_name: "Else".into(), ..registered("id-9") };
    let seen = observed().present(edited).output(published(&app, "id-9", "1"));
    assert_eq!(steps(&app, &seen), ["guard", "update id-9: displayName"]);
}

#[test]
fn of_several_versions_the_one_that_is_reported_as_active_is_current() {
    let spec = serde_json::json!([{"name": "x", "immutable": true}]);
    let mut app = settled(with_outputs(&spec), "id-9", "1");
    let credentials = &mut app.status.as_mut().expect("a status").credentials;
    credentials.push(CredentialStatus { id: "0".into(), state: CredentialState::Retiring, ..credentials[0].clone() });
    credentials.push(CredentialStatus { id: "2".into(), state: CredentialState::Retiring, ..credentials[0].clone() });
    for order in [["0", "1", "2"], ["2", "1", "0"]] {
        let seen = order.iter().fold(observed().unread("id-9"), |seen, id| seen.left_over(published(&app, "id-9", id), true));
        let plan = decide(&app, &seen);
        assert_eq!(plan.secret.map(|(id, _)| id), Some(SecretId::new("1")));
        assert_eq!(plan.steps, []);
    }
}

#[test]
fn a_secret_object_brought_back_from_a_backup_is_written_anew() {
    let app = settled(app(), "id-9", "2");
    let old = published(&app, "id-9", "1");
    let detail = Look::Detail(ClientId::new("id-9"));
    assert_eq!(look(&app, std::slice::from_ref(&old), false, NOON), detail);
    let seen = observed().present(registered_as(&app, "id-9", &["2"])).output(old);
    let expected = ["add secret to id-9", "publish invoice-sync-oauth over uid-of-invoice-sync-oauth"];
    assert_eq!(steps(&app, &seen), expected);
}

#[test]
fn a_held_secret_is_published_without_another_one_being_made() {
    let app = settled(app(), "id-9", "2");
    let actual = registered_as(&app, "id-9", &["1", "2"]);
    assert_eq!(steps(&app, &observed().present(actual.clone()).holding("2")), ["publish invoice-sync-oauth"]);
    // The object still carries a secret that the server no longer has.
    let seen = observed().present(registered_as(&app, "id-9", &["2"])).output(published(&app, "id-9", "1")).holding("2");
    let mut app = app;
    let credentials = &mut app.status.as_mut().expect("a status").credentials;
    credentials.push(CredentialStatus { id: "1".into(), ..credentials[0].clone() });
    assert_eq!(steps(&app, &seen), ["publish invoice-sync-oauth over uid-of-invoice-sync-oauth"]);
}

#[test]
fn a_templated_secret_is_published_together_with_the_secret_that_is_made_for_it() {
    let template = serde_json::json!([{"name": "x", "format": "Template", "template": {"a": "{{ clientSecret }}"}}]);
    let app = settled(with_outputs(&template), "id-9", "1");
    assert_eq!(steps(&app, &observed().present(registered("id-9"))), ["add secret to id-9", "publish x"]);
    let mut damaged = published(&app, "id-9", "1");
    edit(&mut damaged, "client-secret", "something else");
    let seen = observed().present(registered("id-9")).output(damaged);
    assert_eq!(steps(&app, &seen), ["add secret to id-9", "publish x over uid-of-x"]);
}

#[test]
fn an_object_that_others_added_to_is_left_alone() {
    let app = settled(app(), "id-9", "1");
    let valid = valid(&app, &observed().unread("id-9"));
    let (id, secret) = (SecretId::new("1"), ClientSecret::new("s3cr&t"));
    let client_id = ClientId::new("id-9");
    let rendered = render(&valid.outputs[0], &valid.facts(&client_id), Some(Key { id: &id, secret: &secret }));
    let mut object = seen_output(rendered.expect("rendered"));
    object.labels.insert("team".into(), "finance".into());
    edit(&mut object, "extra", "x");
    assert_eq!(steps(&app, &observed().unread("id-9").output(object)), [""; 0]);
}
