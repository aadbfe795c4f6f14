//! Decisions about the objects that carry the details, and about the secrets in them.

use super::*;

#[test]
fn a_damaged_client_secret_is_replaced_by_a_new_one() {
    let app = settled(app(), "id-9", "1");
    let mut damaged = published(&app, "id-9", "1");
    edit(&mut damaged, "client-secret", "something else");
    let expected =
        ["add secret to id-9", "publish invoice-sync-oauth over uid-of-invoice-sync-oauth", "complete (Lost)"];
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
fn observe_keeps_an_object_that_it_cannot_replace() {
    let app = settled(observing(), "id-9", "1");
    let mut damaged = published(&with_outputs(&serde_json::json!([{"name": "old"}])), "id-9", "1");
    edit(&mut damaged, "client-secret", "something else");
    assert_eq!(steps(&app, &observed().present(registered("id-9")).left_over(damaged, false)), [""; 0]);
}

#[test]
fn of_several_versions_the_one_that_is_reported_as_active_is_current() {
    let spec = serde_json::json!([{"name": "x", "immutable": true}]);
    let mut app = settled(with_outputs(&spec), "id-9", "1");
    let credentials = &mut app.status.as_mut().expect("a status").credentials;
    credentials.push(CredentialStatus { id: "0".into(), state: CredentialState::Retiring, ..credentials[0].clone() });
    credentials.push(CredentialStatus { id: "2".into(), state: CredentialState::Retiring, ..credentials[0].clone() });
    for order in [["0", "1", "2"], ["2", "1", "0"]] {
        let seen =
            order.iter().fold(observed().unread("id-9"), |seen, id| seen.left_over(published(&app, "id-9", id), true));
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
    assert_eq!(look(&app, std::slice::from_ref(&old), false, false, NOON), detail);
    let seen = observed().present(registered_as(&app, "id-9", &["2"])).output(old);
    let expected =
        ["add secret to id-9", "publish invoice-sync-oauth over uid-of-invoice-sync-oauth", "complete (Lost)"];
    assert_eq!(steps(&app, &seen), expected);
}

#[test]
fn a_held_secret_is_published_without_another_one_being_made() {
    let app = settled(app(), "id-9", "2");
    let actual = registered_as(&app, "id-9", &["1", "2"]);
    assert_eq!(steps(&app, &observed().present(actual.clone()).holding("2")), ["publish invoice-sync-oauth"]);
    // The object still carries a secret that the server no longer has.
    let seen =
        observed().present(registered_as(&app, "id-9", &["2"])).output(published(&app, "id-9", "1")).holding("2");
    let mut app = app;
    let credentials = &mut app.status.as_mut().expect("a status").credentials;
    credentials.push(CredentialStatus { id: "1".into(), ..credentials[0].clone() });
    assert_eq!(steps(&app, &seen), ["publish invoice-sync-oauth over uid-of-invoice-sync-oauth"]);
}

#[test]
fn a_templated_secret_is_published_together_with_the_secret_that_is_made_for_it() {
    let template = serde_json::json!([{"name": "x", "format": "Template", "template": {"a": "{{ clientSecret }}"}}]);
    let app = settled(with_outputs(&template), "id-9", "1");
    assert_eq!(
        steps(&app, &observed().present(registered("id-9"))),
        ["add secret to id-9", "publish x", "complete (Lost)"]
    );
    let mut damaged = published(&app, "id-9", "1");
    edit(&mut damaged, "client-secret", "something else");
    let seen = observed().present(registered("id-9")).output(damaged);
    assert_eq!(steps(&app, &seen), ["add secret to id-9", "publish x over uid-of-x", "complete (Lost)"]);
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

#[test]
fn of_the_versions_without_a_credential_the_current_and_the_one_before_stay() {
    let spec = serde_json::json!([{"name": "x", "immutable": true}]);
    let mut app = public();
    app.spec.outputs = serde_json::from_value(spec).expect("outputs");
    let app = settled(app, "id-9", "1");
    let current = published(&app, "id-9", "1");
    let seen = |names: &[&str]| {
        let mut seen = observed().left_over(published(&app, "id-9", "1"), true);
        for name in names {
            let mut old = published(&app, "id-9", "1");
            old.name = (*name).into();
            seen = seen.left_over(old, true);
        }
        seen
    };
    let two = ["x-00000001", "x-00000002"];
    assert_eq!(steps(&app, &seen(&two[..1]).unread("id-9")), [""; 0]);
    assert_eq!(steps(&app, &seen(&two).unread("id-9")), ["remove x-00000001"]);
    // Nothing of a registration that is gone is current.
    let again = steps(&app, &seen(&two).missing("id-9"));
    let removed: Vec<&String> = again.iter().filter(|step| step.starts_with("remove")).collect();
    assert_eq!(removed.len(), 2, "{again:?}, beside {}", current.name);
}

/// A Secret that somebody else's operator wrote, as its keeper gives it to the application.
fn given(client_id: &str) -> SeenOutput {
    let mut object = published(&app(), "id-9", "1");
    (object.ours, object.given, object.secret_type) = (false, true, Some("Opaque".into()));
    (object.annotations, object.labels) = Default::default();
    let data = [("CLIENT_ID", client_id), ("CLIENT_SECRET", "theirs")];
    object.content = Content::Secret(data.map(|(key, value)| (key.into(), value.to_owned().into())).into());
    object
}

fn adopting() -> ExternalApplication {
    spec(&serde_json::json!({"adopt": {"clientId": "id-9"}}))
}

#[test]
fn a_secret_that_is_given_with_an_adopted_registration_is_kept_with_what_is_in_it() {
    let seen = Observed { possessed: true, ..observed().present(registered("id-9")).output(given("id-9")) };
    let expected = ["guard", "publish invoice-sync-oauth over uid-of-invoice-sync-oauth"];
    assert_eq!(steps(&adopting(), &seen), expected, "no new secret: what runs with the one there is goes on");
    let plan = decide(&adopting(), &seen);
    let (id, secret) = plan.secret.expect("a secret");
    assert_eq!((id.as_str(), secret.expose()), ("1", "theirs"));
    let Some(Step::Publish { over: Some(standing), .. }) = plan.steps.last() else { panic!("published") };
    assert_eq!(standing.secret_type.as_deref(), Some("Opaque"), "a type cannot be changed");
}

#[test]
fn a_given_secret_that_is_not_proven_or_of_another_registration_or_of_one_with_several_is_not_believed() {
    let expected = ["guard", "add secret to id-9", "publish invoice-sync-oauth over uid-of-invoice-sync-oauth"];
    let unproven = observed().present(registered("id-9")).output(given("id-9"));
    assert_eq!(steps(&adopting(), &unproven), expected);
    let other = Observed { possessed: true, ..observed().present(registered("id-9")).output(given("id-8")) };
    assert_eq!(steps(&adopting(), &other), expected);
    let two = Registered { secrets: ["1", "2"].map(|id| secret_info(id, None)).into(), ..registered("id-9") };
    assert_eq!(
        steps(&adopting(), &Observed { possessed: true, ..observed().present(two).output(given("id-9")) }),
        expected
    );
}

fn shows(id: &str, value: &str) -> SecretInfo {
    SecretInfo { value: Some(std::sync::Arc::new(ClientSecret::new(value))), ..secret_info(id, None) }
}

#[test]
fn where_the_server_shows_its_secret_a_lost_one_is_restored_and_none_is_made() {
    let app = settled(app(), "id-9", "1");
    let shown = Registered { secrets: vec![shows("1", "s3cr&t")], ..registered("id-9") };
    assert_eq!(steps(&app, &observed().present(shown.clone())), ["publish invoice-sync-oauth"]);
    let plan = decide(&app, &observed().present(shown.clone()));
    assert_eq!(plan.secret.expect("a secret").1.expose(), "s3cr&t");
    let standing = observed().present(shown).output(published(&app, "id-9", "1"));
    assert_eq!(steps(&app, &standing), [""; 0], "what is published is what is shown");
}

#[test]
fn a_secret_that_was_changed_at_a_server_that_shows_it_is_published_as_it_is_now() {
    let app = settled(app(), "id-9", "1");
    let expected = ["publish invoice-sync-oauth over uid-of-invoice-sync-oauth"];
    for id in ["1", "2"] {
        let changed = Registered { secrets: vec![shows(id, "by hand")], ..registered("id-9") };
        let seen = observed().present(changed).output(published(&app, "id-9", "1"));
        assert_eq!(steps(&app, &seen), expected);
        assert_eq!(decide(&app, &seen).secret.expect("a secret").1.expose(), "by hand");
    }
}

#[test]
fn of_a_server_with_one_secret_the_lost_one_is_no_stray() {
    let app = with_intent(app(), &intent());
    let mut seen = observed().unsettled(&intent(), &[registered("id-9")]);
    let mut facts = crate::domain::fixtures::facts();
    facts.capabilities.secrets = Secrets::One;
    seen.seen = ServerSeen::Usable(facts);
    assert_eq!(steps(&app, &seen), ["take over id-9", "add secret to id-9", "publish invoice-sync-oauth"]);
}
