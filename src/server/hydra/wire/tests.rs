use serde_json::json;

use super::*;

/// As Hydra 2.3 answers a read.
fn answer() -> Value {
    json!({
        "client_id": "3f1f6f0e-1111-4222-8333-444455556666",
        "client_name": "Invoice sync",
        "redirect_uris": ["https://invoices.example.com/b", "https://invoices.example.com/a"],
        "grant_types": ["client_credentials"],
        "response_types": [],
        "scope": "invoices.write  invoices.read",
        "audience": [],
        "owner": "extapp/finance/invoice-sync",
        "policy_uri": "https://example.com/policy",
        "allowed_cors_origins": [],
        "contacts": [],
        "client_secret_expires_at": 0,
        "jwks": {},
        "token_endpoint_auth_method": "client_secret_basic",
        "metadata": {"extapp.dev/uid": "u-1", "team": "billing"},
        "skip_consent": false,
        "skip_logout_consent": null,
        "client_credentials_grant_access_token_lifespan": "2h0m0s",
        "refresh_token_grant_access_token_lifespan": null,
    })
}

fn read(value: Value) -> ClientAnswer {
    serde_json::from_value(value).expect("a client")
}

fn sent(operations: &[Operation]) -> Value {
    serde_json::to_value(operations).expect("operations")
}

#[test]
fn a_client_is_read_as_sets_and_lifespans() {
    let client = read(answer());
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<String>>();
    assert_eq!(client.fields.scope.0, names(&["invoices.read", "invoices.write"]));
    assert_eq!(
        client.fields.redirect_uris,
        names(&["https://invoices.example.com/a", "https://invoices.example.com/b"])
    );
    assert_eq!(client.fields.lifespans.client_credentials_access, Some(Lifespan(7_200)));
    assert_eq!(client.fields.lifespans.refresh_token_access, None);
    assert_eq!(client.mark().uid.as_deref(), Some("u-1"));
}

#[test]
fn null_is_nothing_set() {
    let client =
        read(json!({"client_id": "a", "redirect_uris": null, "grant_types": null, "scope": "", "metadata": null}));
    assert_eq!(client.fields, Fields::default());
    assert_eq!(client.mark(), Mark::default());
}

#[test]
fn a_client_without_an_id_is_none() {
    assert!(serde_json::from_value::<ClientAnswer>(json!({"client_name": "a"})).is_err());
}

#[test]
fn metadata_of_others_is_read_over() {
    for metadata in [json!("text"), json!([1]), json!({"extapp.dev/uid": 5}), json!(null)] {
        let mut value = answer();
        value["metadata"] = metadata;
        assert_eq!(read(value).mark(), Mark::default());
    }
}

#[test]
fn only_an_object_takes_marks() {
    let takes = |metadata: Value| read(json!({"client_id": "a", "metadata": metadata})).takes_marks();
    assert!(takes(json!({})) && takes(json!({"team": "billing"})) && takes(json!(null)));
    assert!(!takes(json!("text")) && !takes(json!([])));
}

#[test]
fn nothing_changed_is_no_operation() {
    let client = read(answer());
    assert_eq!(changes(&client.fields, &client.fields.clone()), []);
    assert_eq!(mark_changes(&client.mark(), &client.mark()), []);
}

#[test]
fn what_says_what_a_client_is_for_is_sent_as_a_whole_and_of_the_rest_what_differs() {
    let client = read(answer());
    let mut wanted = client.fields.clone();
    wanted.client_name = "Invoices".into();
    wanted.lifespans.client_credentials_access = Some(Lifespan(60));
    let uris = ["https://invoices.example.com/a", "https://invoices.example.com/b"];
    let expected = json!([
        {"op": "add", "path": "/client_credentials_grant_access_token_lifespan", "value": "60s"},
        {"op": "add", "path": "/client_name", "value": "Invoices"},
        {"op": "add", "path": "/grant_types", "value": ["client_credentials"]},
        {"op": "add", "path": "/owner", "value": "extapp/finance/invoice-sync"},
        {"op": "add", "path": "/redirect_uris", "value": uris},
        {"op": "add", "path": "/response_types", "value": []},
        {"op": "add", "path": "/scope", "value": "invoices.read invoices.write"},
    ]);
    assert_eq!(sent(&changes(&client.fields, &wanted)), expected);
}

#[test]
fn no_grant_type_at_all_is_told_and_not_left_to_the_server() {
    let fields = |types: Value| read(json!({"client_id": "a", "grant_types": types})).fields;
    assert_eq!(fields(json!([])).grant_types, GrantTypes::default(), "what the server takes for granted");
    let mut none = fields(json!(["client_credentials"]));
    none.grant_types.0.clear();
    let sent = serde_json::to_value(&none).expect("fields")["grant_types"].clone();
    assert_eq!(fields(sent).grant_types.0.len(), 0);
}

#[test]
fn the_next_page_is_the_one_that_the_header_names() {
    let link = r#"</admin/clients?page_size=2&page_token=first>; rel="first",</admin/clients?owner=a%2Cb&page_size=2&page_token=eyJ%2Bv>; rel="next""#;
    assert_eq!(next_page(link).as_deref(), Some("eyJ+v"));
    assert_eq!(next_page(r#"</admin/clients?page_size=4&page_token=first>; rel="first""#), None);
    assert_eq!(next_page(""), None);
    assert_eq!(next_page("nonsense, <>, <a; rel=\"next\""), None);
}

#[test]
fn of_an_error_is_left_what_is_said_of_this_one() {
    let description = "The value of one of the Client Metadata fields is invalid and the server has rejected this request. Note that an Authorization Server MAY choose to substitute a valid value for any requested parameter of a Client's Metadata. Origin URL https://a.example/p must have an empty path.";
    let body = json!({"error": "invalid_client_metadata", "error_description": description}).to_string();
    let answer =
        |body: String| Answer { status: 400, content_type: None, body: body.into(), retry_after: None, link: None };
    let mut told = answer(body);
    to_the_point(&mut told);
    let text = crate::server::json_api::text(&told, &[]);
    assert_eq!(text.as_str(), "invalid_client_metadata: Origin URL https://a.example/p must have an empty path.");
    let body = json!({"error": "e", "error_description": "post_logout_redirect_uri \"https://a.example/\" must match"});
    let mut told = answer(body.to_string());
    to_the_point(&mut told);
    let text = crate::server::json_api::text(&told, &[]);
    assert_eq!(text.as_str(), r#"e: postLogoutRedirectUris "https://a.example/" must match"#);
    let mut page = answer("<html>".into());
    to_the_point(&mut page);
    assert_eq!(page.body, "<html>");
}

#[test]
fn a_key_of_the_metadata_is_escaped_in_its_pointer() {
    let to = Mark { uid: Some("u-2".into()), ..Mark::default() };
    let expected = json!([{"op": "add", "path": "/metadata/extapp.dev~1uid", "value": "u-2"}]);
    assert_eq!(sent(&mark_changes(&Mark::default(), &to)), expected);
}

#[test]
fn a_create_says_what_is_wanted_and_leaves_the_rest_to_the_server() {
    let mut fields = Fields { client_name: "a".into(), ..Fields::default() };
    fields.lifespans.refresh_token_id = Some(Lifespan(5));
    let mark = Mark { uid: Some("u-1".into()), ..Mark::default() };
    let body = CreateBody { client_secret: Some("secret"), metadata: &mark, fields: &fields };
    let sent = serde_json::to_value(&body).expect("a body");
    assert_eq!(sent["client_secret"], "secret");
    assert_eq!(sent["metadata"], json!({"extapp.dev/uid": "u-1"}));
    assert_eq!(sent["refresh_token_grant_id_token_lifespan"], "5s");
    assert_eq!(sent["scope"], " ");
    assert!(sent["jwks"].is_null());
    let absent = ["token_endpoint_auth_method", "access_token_strategy", "skip_logout_consent", "policy_uri"];
    assert!(absent.iter().all(|field| sent.get(field).is_none()), "{sent}");
}
