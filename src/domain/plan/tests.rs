//! Each decision of `plan`, one sentence each.

use jiff::SignedDuration;

use super::*;
use crate::api::external_application::CredentialState;
use crate::domain::credentials::{RETIREMENT, marker};
use crate::domain::fixtures::{
    NOON, app, guarded, intent, observed, published, registered, secret_info, seen_output, settled, valid, with_intent,
};
use crate::domain::intent::Search;
use crate::domain::observed::ServerSeen;
use crate::domain::observed::{Look, look};
use crate::domain::outputs::{CLIENT_ID, Content};
use crate::domain::registration::SecretInfo;
use crate::domain::validate::validate;

mod consuming;
mod objects;
mod replaced;
mod rotating;

const ME: Circumstances<'static> = Circumstances { identity: "me", now: NOON };

fn decide(app: &ExternalApplication, seen: &Observed) -> Plan {
    plan(app, &valid(app, seen), seen, ME)
}

/// The plan in words: short enough to compare, long enough to tell apart.
fn steps(app: &ExternalApplication, seen: &Observed) -> Vec<String> {
    let plan = decide(app, seen);
    let strays = plan.strays.iter().map(|secret| format!("name secret {secret} as a stray"));
    plan.steps.iter().map(said).chain(strays).collect()
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
        Step::AddNext { id, .. } => format!("add the next secret to {id}"),
        Step::Keep(Keeping { kept, over }) => {
            let id = |secret: &Option<crate::domain::rotation::kept::Secret>| {
                secret.as_ref().map_or("?".to_owned(), |secret| secret.id.to_string())
            };
            let over = if over.is_some() { " over what was kept" } else { "" };
            format!("keep {} and {}{over}", id(&kept.next), id(&kept.previous))
        }
        Step::Prove { trigger, .. } => format!("prove ({})", trigger.as_str()),
        Step::Complete { trigger, .. } => format!("complete ({})", trigger.as_str()),
        Step::Replace { output, .. } => format!("replace in {}", output.name),
        Step::Renew(id) => format!("renew the secret of {id}"),
        Step::Publish { output, over: None } => format!("publish {}", output.name),
        Step::Publish { output, over: Some(standing) } => format!("publish {} over {}", output.name, standing.uid),
        Step::RemoveOutput(output) => format!("remove {}", output.name),
        Step::RetireSecret { id, secret } => format!("retire secret {secret} of {id}"),
        Step::Restart(decision) => format!("restart: {:?}", decision.next),
        Step::Federate(change) => format!("federate {change:?}"),
        Step::Await(finding) => format!("wait: {}", finding.message),
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
    let seen =
        observed().registration(RegistrationSeen::None { namesakes: vec![ClientId::new("b"), ClientId::new("a")] });
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
        ["take over id-9", "add secret to id-9", "publish invoice-sync-oauth", "name secret 1 as a stray"],
        "the secret that was lost goes last, when the fresh one is published"
    );
}

#[test]
fn a_registration_that_was_taken_over_is_changed_only_after_an_object_names_it() {
    let mut app = with_intent(app(), &intent());
    app.spec.display_name = Some("Renamed".into());
    let expected = [
        "take over id-9",
        "add secret to id-9",
        "publish invoice-sync-oauth",
        "update id-9: displayName",
        "name secret 1 as a stray",
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
    let empty_since = Some(intent().at);
    let search = Search { namesakes: vec![ClientId::new("id-8")], empty_since, ..Search::default() };
    let seen = observed().registration(RegistrationSeen::Unsettled { intent: intent(), hold: None, search });
    let Some(Step::RecordIntent(new)) = decide(&app, &seen).steps.into_iter().next() else { panic!("an intent") };
    assert_eq!(new.name, "Renamed");
    assert_eq!(new.known, ["id-7", "id-8"].map(ClientId::new), "a stranger of the new name must never look like ours");
}

#[test]
fn a_secret_written_before_the_crash_is_used_and_only_lost_ones_go() {
    let app = with_intent(app(), &intent());
    let seen = observed().present(registered_as(&app, "id-9", &["1", "2"])).output(published(&app, "id-9", "2"));
    assert_eq!(steps(&app, &seen), ["name secret 1 as a stray"]);
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
    let expected = ["add secret to id-9", "publish invoice-sync-oauth", "name secret 2 as a stray"];
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
    assert_eq!(steps(&app, &seen), ["add secret to id-9", "publish invoice-sync-oauth", "complete (Lost)"]);
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
        observed().present(registered_as(&app_without_status(), "id-9", secrets)).output(published(
            &app_without_status(),
            "id-9",
            "2",
        ))
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
fn a_secret_that_the_server_lost_is_replaced_once_it_had_time_to_show() {
    let mut app = settled(app(), "id-9", "1");
    let seen =
        || observed().present(registered_as(&self::app(), "id-9", &[])).output(published(&self::app(), "id-9", "1"));
    let expected =
        ["add secret to id-9", "publish invoice-sync-oauth over uid-of-invoice-sync-oauth", "complete (Gone)"];
    assert_eq!(steps(&app, &seen()), expected);
    app.status.as_mut().expect("a status").credentials[0].created_at = Some(credentials::whole(NOON));
    assert_eq!(steps(&app, &seen()), [""; 0], "the server's reads may lag behind its writes");
}

#[test]
fn why_a_secret_was_replaced_is_said_even_where_the_report_of_the_pass_that_did_it_was_lost() {
    let app = settled(app(), "id-9", "1");
    let replaced = |shown: &[&str]| {
        let shown: Vec<_> = shown.iter().map(|id| secret_info(id, None)).collect();
        let actual = Registered { secrets: shown, ..registered_as(&app, "id-9", &[]) };
        decide(&app, &observed().present(actual).output(published(&app, "id-9", "2"))).progress
    };
    let said = |trigger| Progress::Completed { trigger, request: None };
    assert_eq!(replaced(&["2"]), said(Trigger::Gone));
    assert_eq!(replaced(&["1", "2"]), said(Trigger::Lost));
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
    assert!(matches!(look(&with_intent(app(), &intent), &seen.outputs, false, false, NOON), Look::Search(_)));
}

#[test]
fn observe_plans_nothing_at_the_server() {
    let app = observing();
    let edited = Registered {
        display_name: "Else".into(),
        secrets: vec![secret_info("1", Some(&marker("app-uid")))],
        ..registered("id-9")
    };
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
fn a_missing_finalizer_is_written_first() {
    let mut app = settled(app(), "id-9", "1");
    app.metadata.finalizers = None;
    let edited = Registered { display_name: "Else".into(), ..registered("id-9") };
    let seen = observed().present(edited).output(published(&app, "id-9", "1"));
    assert_eq!(steps(&app, &seen), ["guard", "update id-9: displayName"]);
}
