//! Rules that every schema keeps, and each CEL rule in both directions. The one about Observe rests on `optionalOldSelf`,
//! which only the API server evaluates: `tests/admission.rs` has it.

use serde_json::{Value, json};

use super::*;

/// One property of a schema with its path, and the schema that it stands for.
type Visit<'a> = dyn FnMut(&str, &Value) + 'a;

fn walk(path: &str, schema: &Value, visit: &mut Visit<'_>) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    if schema["items"].is_object() {
        walk(&format!("{path}[]"), &schema["items"], visit);
    }
    if schema["additionalProperties"].is_object() {
        walk(&format!("{path}{{}}"), &schema["additionalProperties"], visit);
    }
}

/// What is wrong with one place of a schema. The API server itself bounds and describes `metadata`, and Condition is its
/// own type.
fn offences(path: &str, schema: &Value) -> Vec<&'static str> {
    let in_condition = path.contains(".conditions[]");
    let is = |kind: &str| schema["type"] == json!(kind);
    let has = |key: &str| !schema[key].is_null();
    let bounded = has("maxLength") || has("enum") || schema["format"] == json!("date-time");
    let described = has("description") || path.ends_with("[]") || path.ends_with("{}");
    let of_the_api_server = ["apiVersion", "kind", "metadata"]
        .iter()
        .any(|name| path.rsplit_once('.').is_some_and(|(head, last)| last == *name && !head.contains('.')));
    [
        (is("string") && !bounded && !in_condition && !of_the_api_server, "a text without maxLength"),
        (is("array") && !has("maxItems"), "a list without maxItems"),
        (has("additionalProperties") && !has("maxProperties"), "a map without maxProperties"),
        (is("array") && !has("x-kubernetes-list-type"), "a list without x-kubernetes-list-type"),
        (!described && !in_condition && !of_the_api_server, "no description"),
        (has("nullable"), "nullable"),
        (schema["enum"].as_array().is_some_and(|values| values.contains(&Value::Null)), "a null to choose"),
        (schema["format"].as_str().is_some_and(|format| format.starts_with("uint")), "a number that is unsigned"),
        (has("default") && schema["default"].is_null(), "a null as default"),
    ]
    .into_iter()
    .filter_map(|(wrong, what)| wrong.then_some(what))
    .collect()
}

#[test]
fn every_text_and_list_is_bounded_and_described() {
    let mut found = Vec::new();
    let mut seen = 0;
    for definition in definitions() {
        let kind = definition.spec.names.kind.clone();
        let version = serde_json::to_value(&definition.spec.versions[0]).expect("json");
        let mut visit = |path: &str, schema: &Value| {
            seen += 1;
            found.extend(offences(path, schema).into_iter().map(|what| format!("{path}: {what}")));
        };
        walk(&kind, &version["schema"]["openAPIV3Schema"], &mut visit);
    }
    assert!(seen > 100, "the schemas were walked: {seen}");
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn an_unbounded_or_undescribed_place_is_named() {
    let said = |schema: Value| offences("Kind.spec.field", &schema);
    assert_eq!(said(json!({"type": "string", "description": "d"})), ["a text without maxLength"]);
    assert_eq!(
        said(json!({"type": "array", "description": "d"})),
        ["a list without maxItems", "a list without x-kubernetes-list-type"]
    );
    assert_eq!(said(json!({"type": "integer", "format": "uint32"})), ["no description", "a number that is unsigned"]);
    assert_eq!(said(json!({"type": "boolean", "description": "d", "nullable": true})), ["nullable"]);
    assert_eq!(said(json!({"type": "string", "description": "d", "maxLength": 3})), [""; 0]);
}

fn base() -> Value {
    json!({
        "apiVersion": "extapp.dev/v1alpha1", "kind": "ExternalApplication", "metadata": {"name": "a"},
        "spec": {
            "serverRef": {"name": "cloud"}, "type": "Confidential",
            "resources": [{"name": "R", "applicationScopes": ["S"]}]
        }
    })
}

fn with(mut object: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let parent = object.pointer_mut(parent).expect("a place");
        parent.as_object_mut().expect("an object").insert(key.to_owned(), value.clone());
    }
    object
}

fn application(object: &Value) -> ExternalApplication {
    serde_json::from_value(object.clone()).expect("an application")
}

fn refused(object: &Value) -> String {
    application(object).validate_cel().err().map(|errors| errors.to_string()).unwrap_or_default()
}

/// A rule says this about the first, and nothing about the second.
fn tells_apart(wrong: &[(&str, Value)], right: &[(&str, Value)], message: &str) {
    let said = refused(&with(base(), wrong));
    assert!(said.contains(message), "{wrong:?}: {said:?}");
    assert_eq!(refused(&with(base(), right)), "", "{right:?}");
}

#[test]
fn the_rules_of_an_application_hold_in_both_directions() {
    let scopes = |field: &str| json!([{"name": "R", field: ["S"]}]);
    let callback = ("/spec/redirectUris", json!(["https://a.example/cb"]));
    let public = ("/spec/type", json!("NonConfidential"));
    tells_apart(
        std::slice::from_ref(&public),
        &[public.clone(), ("/spec/resources", scopes("userScopes")), callback.clone()],
        "must not have applicationScopes",
    );
    let user = ("/spec/resources", scopes("userScopes"));
    tells_apart(std::slice::from_ref(&user), &[user.clone(), callback], "redirectUris must not be empty");
    tells_apart(
        &[("/spec/outputs", json!([{"name": "a", "kind": "ConfigMap"}]))],
        &[("/spec/outputs", json!([{"name": "a", "kind": "ConfigMap"}, {"name": "b"}]))],
        "must have an output of kind Secret",
    );
    tells_apart(&[("/spec/resources", json!([{"name": "R"}]))], &[], "at least one scope");
    tells_apart(
        &[("/spec/outputs", json!([{"name": "a", "format": "Template"}]))],
        &[("/spec/outputs", json!([{"name": "a", "format": "Template", "template": {"a": "b"}}]))],
        "template must be set",
    );
    tells_apart(&[("/spec/displayName", json!(" a"))], &[("/spec/displayName", json!("a b"))], "white space");
    tells_apart(
        &[("/spec/adopt", json!({"clientId": "a b"}))],
        &[("/spec/adopt", json!({"clientId": "a-b"}))],
        "must be a client id",
    );
    tells_apart(
        &[("/metadata/name", json!("a".repeat(201)))],
        &[("/metadata/name", json!("a".repeat(200)))],
        "at most 200",
    );
}

#[test]
fn redirect_uris_are_judged_one_by_one() {
    let uris = |uri: &str| [("/spec/redirectUris", json!(["https://a.example/", uri]))];
    for uri in [
        "https://a.example",
        "https://a.example/x?y=z",
        "http://localhost:8080/cb",
        "http://127.0.0.1/",
        "http://[::1]:1/x",
    ] {
        assert_eq!(refused(&with(base(), &uris(uri))), "", "{uri}");
    }
    for uri in [
        "http://a.example/",
        "ftp://a.example/",
        "http://localhost.example/",
        "https://me@a.example/",
        "/cb",
        "https:///x",
    ] {
        assert!(refused(&with(base(), &uris(uri))).contains("must be https://host/path"), "{uri}");
    }
    for uri in ["https://a.example/*", "https://a.example/a,b", "https://a.example/#x"] {
        assert!(refused(&with(base(), &uris(uri))).contains("must not contain"), "{uri}");
    }
}

#[test]
fn what_belongs_to_the_operator_cannot_be_asked_for_in_an_output() {
    let output = |field: &str, value: Value| [("/spec/outputs", json!([{"name": "a", field: value}]))];
    for (field, key) in [
        ("labels", "extapp.dev/x"),
        ("labels", "app.kubernetes.io/managed-by"),
        ("annotations", "extapp.dev/client-id"),
    ] {
        assert!(refused(&with(base(), &output(field, json!({key: "x"})))).contains("the operator's own"), "{key}");
        assert_eq!(refused(&with(base(), &output(field, json!({"team": "x"})))), "");
    }
    for field in ["labels", "annotations"] {
        assert!(refused(&with(base(), &output(field, json!({"a key": "x"})))).contains("a key of"), "{field}");
        assert_eq!(refused(&with(base(), &output(field, json!({"example.com/a-key": "x"})))), "");
    }
}

#[test]
fn names_scopes_durations_and_labels_are_judged_as_kubernetes_and_servers_do() {
    let output = |output: Value| vec![("/spec/outputs", json!([output]))];
    let scope = |scope: &str| vec![("/spec/resources", json!([{"name": "R", "applicationScopes": [scope]}]))];
    let patience = |text: &str| vec![("/spec/deletion", json!({"giveUpAfter": text}))];
    let label = |value: &str| output(json!({"name": "a", "labels": {"team": value}}));
    for (name, right) in [("a", true), ("a.b-c", true), ("a..b", false), ("-a", false), ("A", false), ("a.-b", false)] {
        let said = refused(&with(base(), &output(json!({"name": name}))));
        assert_eq!(said.is_empty(), right, "{name}: {said}");
    }
    for (text, right) in [("OR.Jobs", true), ("OR.*", false), ("a b", false), ("a\tb", false)] {
        assert_eq!(refused(&with(base(), &scope(text))).is_empty(), right, "{text}");
    }
    for (text, right) in [("90s", true), ("1h30m", true), ("0s", false), ("1w", false), ("60", false), ("", false)] {
        assert_eq!(refused(&with(base(), &patience(text))).is_empty(), right, "{text}");
    }
    for (text, right) in [("", true), ("finance", true), ("a b", false), ("-a", false)] {
        assert_eq!(refused(&with(base(), &label(text))).is_empty(), right, "{text}");
    }
}

#[test]
fn a_registration_keeps_its_server_and_its_type() {
    let old = application(&base());
    let update = |changes: &[(&str, Value)]| {
        application(&with(base(), changes))
            .validate_cel_update(&old)
            .err()
            .map(|errors| errors.to_string())
            .unwrap_or_default()
    };
    assert!(update(&[("/spec/serverRef", json!({"name": "else"}))]).contains("serverRef is immutable"));
    assert!(
        update(&[("/spec/serverRef", json!({"name": "cloud", "namespace": "b"}))]).contains("serverRef is immutable")
    );
    let public = [
        ("/spec/type", json!("NonConfidential")),
        ("/spec/resources", json!([{"name": "R", "userScopes": ["S"]}])),
        ("/spec/redirectUris", json!(["https://a.example/"])),
    ];
    assert!(update(&public).contains("type is immutable"));
    assert_eq!(update(&[("/spec/displayName", json!("b"))]), "");
}

#[test]
fn the_rules_of_a_server_hold_in_both_directions() {
    let base = json!({
        "apiVersion": "extapp.dev/v1alpha1", "kind": "AuthorizationServer", "metadata": {"name": "a"},
        "spec": {
            "uipath": {"url": "https://cloud.uipath.com", "organization": "acme"}, "credentialsRef": {"name": "s"}
        }
    });
    let refused = |changes: &[(&str, Value)]| {
        let server: AuthorizationServer = serde_json::from_value(with(base.clone(), changes)).expect("a server");
        server.validate_cel().err().map(|errors| errors.to_string()).unwrap_or_default()
    };
    assert_eq!(refused(&[]), "");
    let labels = json!({"matchLabels": {"a": "b"}});
    let by = |operator: &str| json!({"matchExpressions": [{"key": "k", "operator": operator}]});
    let cases: [(&str, Value, &str); 7] = [
        ("/metadata/name", json!("a".repeat(64)), "at most 63"),
        ("/spec/uipath/url", json!("https://a@b.example"), "https URL without user"),
        ("/spec/uipath/organization", json!("a/b"), "organization's name"),
        ("/spec/allowedNamespaces", json!({"from": "Selector"}), "selector must be set"),
        ("/spec/allowedNamespaces", json!({"from": "All", "selector": labels}), "selector must be set"),
        ("/spec/allowedNamespaces", json!({"from": "Selector", "selector": {}}), "empty selector"),
        ("/spec/allowedNamespaces", json!({"from": "Selector", "selector": by("In")}), "need values"),
    ];
    for (pointer, value, message) in cases {
        let said = refused(&[(pointer, value.clone())]);
        assert!(said.contains(message), "{pointer} {value}: {said}");
    }
    assert_eq!(refused(&[("/spec/allowedNamespaces", json!({"from": "Selector", "selector": labels}))]), "");
    assert_eq!(refused(&[("/spec/allowedNamespaces", json!({"from": "Selector", "selector": by("Exists")}))]), "");
    let nothing: Value = json!({"apiVersion": "extapp.dev/v1alpha1", "kind": "AuthorizationServer", "metadata": {"name": "a"},
        "spec": {"credentialsRef": {"name": "s"}}});
    let server: AuthorizationServer = serde_json::from_value(nothing).expect("a server");
    assert!(server.validate_cel().expect_err("refused").to_string().contains("set exactly one of spec.uipath"));
}

fn assignment(object: &Value) -> RoleAssignment {
    serde_json::from_value(object.clone()).expect("an assignment")
}

fn assigned() -> Value {
    json!({
        "apiVersion": "extapp.dev/v1alpha1", "kind": "RoleAssignment", "metadata": {"name": "a"},
        "spec": {"applicationRef": {"name": "b"}, "tenant": "DefaultTenant", "roles": ["Allow to be Automation User"]}
    })
}

#[test]
fn the_rules_of_an_assignment_hold_in_both_directions() {
    let said = |changes: &[(&str, Value)]| {
        assignment(&with(assigned(), changes)).validate_cel().err().map(|e| e.to_string()).unwrap_or_default()
    };
    let folder = |path: &str| json!([{"path": path, "roles": ["Queue Reader"]}]);
    assert_eq!(said(&[]), "");
    assert!(
        said(&[("/spec/roles", json!([]))]).contains("list at least one role of the tenant in `roles`, or one folder")
    );
    assert!(said(&[("/spec/roles", json!([])), ("/spec/folders", json!([]))]).contains("delete this object"));
    assert_eq!(said(&[("/spec/roles", json!([])), ("/spec/folders", folder("Shared"))]), "");
    for tenant in ["DefaultTenant", "a", "Zürich & Bern", "O'Brien", "10.1"] {
        assert_eq!(said(&[("/spec/tenant", json!(tenant))]), "", "{tenant}");
    }
    for tenant in ["a/b", "a\\b", "a?b", "a#b", "a%2fb", " a", "a ", "a\tb", ".", "..", "a\u{7f}"] {
        assert!(said(&[("/spec/tenant", json!(tenant))]).contains("must be the tenant's name"), "{tenant:?}");
    }
    for path in ["Shared", "Shared/Finance", "O'Brien/Übung", "a b/c", "a%b", "50% / 50%"] {
        assert_eq!(said(&[("/spec/folders", folder(path))]), "", "{path}");
    }
    for path in ["/Shared", "Shared/", "/", "Shared\n", "a\tb"] {
        assert!(said(&[("/spec/folders", folder(path))]).contains("names from the top folder down"), "{path:?}");
    }
}

#[test]
fn an_assignment_keeps_its_application_and_its_tenant() {
    let old = assignment(&assigned());
    let update = |changes: &[(&str, Value)]| {
        let new = assignment(&with(assigned(), changes));
        new.validate_cel_update(&old).err().map(|errors| errors.to_string()).unwrap_or_default()
    };
    assert!(update(&[("/spec/applicationRef", json!({"name": "c"}))]).contains("applicationRef is immutable"));
    assert!(update(&[("/spec/tenant", json!("Other"))]).contains("tenant is immutable"));
    assert_eq!(update(&[("/spec/roles", json!(["Tenant Administrator"])), ("/spec/suspend", json!(true))]), "");
}

#[test]
fn the_rules_of_a_catalogue_object_hold_in_both_directions() {
    let base = json!({
        "apiVersion": "extapp.dev/v1alpha1", "kind": "ApiResource", "metadata": {"name": "a"},
        "spec": {"serverRef": {"name": "cloud"}, "identifier": "Invoices"}
    });
    let of = |changes: &[(&str, Value)]| -> ApiResource {
        serde_json::from_value(with(base.clone(), changes)).expect("a resource")
    };
    let update = |changes: &[(&str, Value)]| {
        of(changes).validate_cel_update(&of(&[])).err().map(|errors| errors.to_string()).unwrap_or_default()
    };
    let said = |spec: &[(&str, Value)]| of(spec).validate_cel().err().map(|e| e.to_string()).unwrap_or_default();
    let (enforce, scope) =
        (("/spec/management", json!("Enforce")), |name: &str| json!([{"name": name, "grants": ["User"]}]));
    assert!(said(std::slice::from_ref(&enforce)).contains("management Enforce needs scopes"));
    assert_eq!(said(&[enforce, ("/spec/scopes", scope("Invoices.Read"))]), "");
    for name in ["a b", "a\tb", "OR.*"] {
        assert!(said(&[("/spec/scopes", scope(name))]).contains("a scope must be one name"), "{name:?}");
    }
    assert!(update(&[("/spec/serverRef", json!({"name": "else"}))]).contains("serverRef is immutable"));
    assert!(update(&[("/spec/identifier", json!("Else"))]).contains("identifier is immutable"));
    assert_eq!(update(&[("/spec/displayName", json!("Else"))]), "");
}
