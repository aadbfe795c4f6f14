use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

const ID: &str = "5a0c0000-1111-4222-8333-1234567890ab";

fn desired() -> Desired {
    Desired {
        display_name: "Invoice sync".into(),
        client_type: ClientType::Confidential,
        redirect_uris: BTreeSet::from(["https://a.example/cb".into(), "https://b.example/cb".into()]),
        scopes: BTreeSet::from([
            Scope { name: "OR.Jobs".into(), grant: Grant::User },
            Scope { name: "OR.Jobs".into(), grant: Grant::Application },
        ]),
        settings: Settings::new(),
        secretless: false,
        owner: crate::domain::registration::Owner::default(),
    }
}

fn answer() -> Value {
    json!({"name": "Invoice sync", "id": ID, "isConfidential": true, "redirectUri": " https://a.example/cb, https://b.example/cb ,",
        "resources": [{"name": "UiPath.Orchestrator", "displayName": null, "scopes": [
            {"name": "OR.Jobs", "type": 0}, {"name": "OR.Jobs", "type": "Application"}]}],
        "secrets": [{"id": 42, "description": null, "secret": null, "creationTime": "2025-07-18T12:57:01.155", "expiryTime": null}],
        "somethingNew": {"a": 1}})
}

fn read(value: &Value) -> Option<Registered> {
    serde_json::from_value::<ClientAnswer>(value.clone()).ok()?.registered(&ClientId::new(ID))
}

fn with(key: &str, changed: Value) -> Value {
    let mut answer = answer();
    answer[key] = changed;
    answer
}

#[test]
fn a_create_asks_for_the_minimum_and_numbers_the_types_of_scope() {
    let desired = desired();
    let body = serde_json::to_value(CreateBody::new("org", &desired).unwrap()).unwrap();
    assert_eq!(
        body,
        json!({"partitionGlobalId": "org", "isConfidential": true, "name": "Invoice sync",
            "redirectUri": "https://a.example/cb,https://b.example/cb",
            "scopes": [{"name": "OR.Jobs", "type": 0}, {"name": "OR.Jobs", "type": 1}]})
    );
}

#[test]
fn a_create_says_that_there_is_to_be_no_secret() {
    let secretless = Desired { secretless: true, ..desired() };
    let body = serde_json::to_value(CreateBody::new("org", &secretless).unwrap()).unwrap();
    assert_eq!(body["generateFirstSecret"], json!(false));
    let update = serde_json::to_value(UpdateBody::new(&secretless).unwrap()).unwrap();
    assert!(update.get("generateFirstSecret").is_none(), "an update says nothing of secrets");
}

#[test]
fn an_update_never_says_the_type_and_says_null_for_no_redirect_uri() {
    let desired = Desired { redirect_uris: BTreeSet::new(), ..desired() };
    let body = serde_json::to_value(UpdateBody::new(&desired).unwrap()).unwrap();
    assert_eq!(body["redirectUri"], Value::Null);
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["name", "redirectUri", "scopes"]);
}

#[test]
fn a_redirect_uri_with_a_comma_is_refused_since_the_server_would_make_two_of_it() {
    let desired = Desired { redirect_uris: BTreeSet::from(["https://a.example/x,y".into()]), ..desired() };
    assert!(matches!(UpdateBody::new(&desired), Err(ServerError::Rejected { .. })));
}

#[test]
fn what_was_asked_for_is_what_is_read_back() {
    let registered = read(&answer()).unwrap();
    let desired = desired();
    assert_eq!(registered.redirect_uris, desired.redirect_uris);
    assert_eq!(registered.scopes, desired.scopes);
    assert_eq!(registered.secrets[0].id, SecretId::new("42"));
    assert_eq!(registered.secrets[0].created_at, Some("2025-07-18T12:57:01.155Z".parse().unwrap()));
    assert_eq!(registered.secrets[0].expires_at, None);
}

#[test]
fn null_and_absent_lists_are_empty() {
    for value in
        [with("resources", Value::Null), with("resources", json!([])), with("resources", json!([{"scopes": null}]))]
    {
        assert!(read(&value).unwrap().scopes.is_empty());
    }
    assert!(read(&with("secrets", Value::Null)).unwrap().secrets.is_empty());
    assert!(read(&with("redirectUri", Value::Null)).unwrap().redirect_uris.is_empty());
    assert!(read(&with("redirectUri", json!(""))).unwrap().redirect_uris.is_empty());
}

#[test]
fn what_is_not_understood_is_not_taken_for_absent() {
    let scope = json!([{"scopes": [{"name": "OR.Jobs", "type": 9}]}]);
    let expiry = json!([{"id": 1, "expiryTime": "next week"}]);
    let nameless = json!([{"description": "a secret without an id"}]);
    for value in
        [with("resources", scope), with("secrets", expiry), with("secrets", nameless), with("name", Value::Null)]
    {
        assert!(read(&value).is_none(), "{value}");
    }
}

#[test]
fn an_answer_about_another_registration_is_refused() {
    assert!(read(&with("id", json!("another"))).is_none());
    assert!(read(&with("id", json!(ID.to_uppercase()))).is_some());
}

#[test]
fn the_answer_to_a_create_carries_the_secret_and_its_id() {
    let created = serde_json::from_value::<ClientAnswer>(with("secret", json!("s3cret"))).unwrap().created(&desired());
    let credential = created.credential.unwrap();
    assert_eq!(credential.secret.expose(), "s3cret");
    assert_eq!(credential.id, Some(SecretId::new("42")));
    assert_eq!(created.registered.client_id, ClientId::new(ID));
}

#[test]
fn a_create_answered_without_resources_has_the_scopes_that_were_asked_for() {
    let mut answer = answer();
    answer.as_object_mut().unwrap().remove("resources");
    let created = serde_json::from_value::<ClientAnswer>(answer).unwrap().created(&desired());
    assert_eq!(created.registered.scopes, desired().scopes);
    assert!(created.credential.is_none());
}

#[test]
fn a_new_secret_is_taken_from_every_form_of_answer() {
    let table = [
        (
            json!({"id": 7, "description": "d", "secret": "s", "creationTime": "2025-07-18T12:57:01Z", "expiryTime": null}),
            Some("7"),
        ),
        (json!({"id": "7", "secret": "s"}), Some("7")),
        (json!({"id": 7, "secret": "s", "expiryTime": "next week"}), None),
        (json!("s"), None),
    ];
    for (value, id) in table {
        let credential = serde_json::from_value::<NewSecretAnswer>(value).unwrap().credential().unwrap();
        assert_eq!(credential.secret.expose(), "s");
        assert_eq!(credential.id, id.map(SecretId::new));
    }
    for value in [json!({"id": 7}), json!({"secret": ""}), json!("")] {
        assert!(serde_json::from_value::<NewSecretAnswer>(value).unwrap().credential().is_none());
    }
}

#[test]
fn a_row_is_kept_as_long_as_its_id_is_readable() {
    let rows = json!([{"id": ID, "name": "A", "isConfidential": false, "redirectUri": "https://a.example"},
        {"id": ID, "name": {"odd": 1}, "isConfidential": "yes"}, {"id": ID, "name": null}]);
    let listed: Vec<_> =
        serde_json::from_value::<Vec<RowAnswer>>(rows).unwrap().into_iter().map(RowAnswer::listed).collect();
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[0].client_type, ClientType::NonConfidential);
    assert_eq!(listed[1].display_name, "");
    assert!(serde_json::from_value::<Vec<RowAnswer>>(json!([{"id": 5}])).is_err());
}

#[test]
fn the_catalogue_tells_which_types_each_scope_allows() {
    let answers = json!([{"name": "UiPath.Orchestrator", "displayName": "Orchestrator", "scopes": [
        {"name": "OR.Jobs", "type": 2, "description": ""}, {"name": "Ixp.ApiAccess", "type": "application"}, {"name": "X"}]}]);
    let catalogue = catalogue(serde_json::from_value(answers).unwrap());
    let grants: Vec<_> = catalogue.resources[0].scopes.iter().map(|scope| scope.grants.len()).collect();
    assert_eq!(grants, [2, 1, 2]);
    assert_eq!(catalogue.resources[0].scopes[0].description, None);
}
