//! Nothing that a client can send makes the stand-in fail.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, header};
use serde_json::{Value, json};

use super::{NAMESPACE, Session};
use crate::local_cloud::{Cloud, taken};

/// Sends a body as it is.
async fn raw(
    session: &Session<'_>,
    method: Method,
    path: &str,
    kind: &str,
    body: impl Into<reqwest::Body>,
) -> (u16, Value) {
    let url = format!("{}/DefaultTenant/orchestrator_/{path}", session.cloud.running.url());
    let request = session.cloud.http.request(method, url).bearer_auth(&session.token);
    let request = if kind.is_empty() { request } else { request.header(header::CONTENT_TYPE, kind) };
    taken(request.body(body).send().await.unwrap()).await
}

const BODIES: &[&str] = &[
    "",
    "{",
    "null",
    "[]",
    "1",
    "\"text\"",
    "{}",
    "{\"DisplayName\": 1}",
    "{\"DisplayName\": \"\\ud800\"}",
    "{\"Nonsense\": {}}",
    "{\"Id\": 1e400}",
    "{\"Id\": 99999999999999999999}",
    "{\"ParentId\": -1, \"DisplayName\": \"x\"}",
    "{\"assignments\": null}",
    "{\"assignments\": {\"UserIds\": [9223372036854775807], \"RolesPerFolder\": [{\"FolderId\": -5}]}}",
    "{\"assignments\": {\"UserIds\": \"all\"}}",
    "{\"assignment\": {\"Domain\": \"autogen\", \"RolesPerFolder\": []}}",
    "{\"roleIds\": {}}",
    "{\"roleIds\": [2147483648]}",
    "{\"userId\": \"1\"}",
    "{\"userId\": -9223372036854775808}",
    "{\"Name\": \"\", \"Permissions\": [{}]}",
    "{\"Name\": \"x\", \"Permissions\": [null]}",
    "{\"UpdatePolicy\": \"None\"}",
];

#[tokio::test]
async fn no_body_makes_an_operation_fail() {
    let cloud = Cloud::start().await;
    let tenant = cloud.administrates("OR.Default OR.Queues OR.Folders OR.Users").await;
    let shared = tenant.folder_at("Shared").await;
    let mut operations = vec![
        (Method::POST, "odata/Folders".to_owned()),
        (Method::PUT, format!("odata/Folders({shared})")),
        (Method::POST, "odata/Roles".to_owned()),
        (Method::PUT, "odata/Roles(1)".to_owned()),
        (Method::POST, "odata/Users".to_owned()),
        (Method::PUT, "odata/Users(1)".to_owned()),
        (Method::PATCH, "odata/Users(1)".to_owned()),
        (Method::POST, format!("odata/Users(1)/{NAMESPACE}.AssignRoles")),
        (Method::POST, format!("odata/Folders({shared})/{NAMESPACE}.RemoveUserFromFolder")),
        (Method::POST, "odata/QueueDefinitions".to_owned()),
    ];
    for action in ["AssignUsers", "AssignDirectoryUser", "AssignDomainUser"] {
        operations.push((Method::POST, format!("odata/Folders/{NAMESPACE}.{action}")));
    }
    for (method, path) in operations {
        for body in BODIES {
            let (status, answer) = raw(&tenant, method.clone(), &path, "application/json; odata=verbose", *body).await;
            // An empty object is a patch that changes nothing.
            let harmless = method == Method::PATCH && *body == "{}" && status == 200;
            assert!(harmless || (400..500).contains(&status), "{method} {path} {body}: {status} {answer}");
        }
        let (status, _) = raw(&tenant, method.clone(), &path, "text/plain", "{}").await;
        assert!(matches!(status, 400 | 415), "{method} {path} as text: {status}");
        let (status, _) = raw(&tenant, method.clone(), &path, "", "{}").await;
        assert!(matches!(status, 400 | 415), "{method} {path} without a type: {status}");
        let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!((400..500).contains(&raw(&tenant, method.clone(), &path, "application/json", nested).await.0));
        let large = format!("{{\"Name\": \"{}\"}}", "x".repeat(3 << 20));
        assert_eq!(raw(&tenant, method.clone(), &path, "application/json", large).await.0, 413, "{method} {path}");
    }
    assert_eq!(tenant.list("odata/Folders").await.len(), 1);
    assert_eq!(tenant.list("odata/Users").await.len(), 1);
}

#[tokio::test]
async fn query_options_without_sense_are_refused_with_the_code_for_them() {
    let cloud = Cloud::start().await;
    let tenant = cloud.tenant().await;
    let long = format!("$filter={}", "Id%20eq%201%20or%20".repeat(3_000));
    for query in [
        "$filter=",
        "$filter=Id%20eq",
        "$filter=DisplayName%20eq%20'O'Brien'",
        "$filter=%27",
        "$filter=((((",
        "$filter=Nonsense%20eq%201",
        "$filter=Id%20eq%20'1'",
        "$filter=%00",
        "$filter=%ff%fe",
        "$top=-1",
        "$top=1001",
        "$top=1e3",
        "$skip=99999999999999999999",
        "$count=perhaps",
        "$select=Nonsense",
        "$expand=Nonsense",
        "$orderby=Nonsense%20desc",
        "$search=x",
        "$top=1&$top=1",
        long.as_str(),
    ] {
        for set in ["Folders", "Roles", "Users"] {
            let (status, answer) = tenant.get(&format!("odata/{set}?{query}")).await;
            let shown = &query[..query.len().min(60)];
            assert_eq!((status, &answer["errorCode"]), (400, &json!(1000)), "{set}?{shown}: {answer}");
        }
    }
    for query in ["x=%zz", "%", "&&&=", "$filter=Id%20gt%200%"] {
        assert!(tenant.get(&format!("odata/Folders?{query}")).await.0 < 500, "{query}");
    }
}

#[tokio::test]
async fn addresses_without_sense_are_refused() {
    let cloud = Cloud::start().await;
    let tenant = cloud.tenant().await;
    for (path, expected) in [
        ("odata/Folders(99999999999999999999)", 400),
        ("odata/Folders(-1)", 404),
        ("odata/Folders(9223372036854775807)", 404),
        ("odata/Folders(x)", 400),
        ("odata/Folders(", 400),
        ("odata/Folders('1')", 400),
        ("odata/Nonsense", 404),
        ("odata/", 404),
        ("api/Nonsense", 404),
        ("odata/Folders%ff", 400),
        ("odata/%2e%2e/%2e%2e/x", 404),
        ("odata/Folders(1)/Nonsense", 404),
        ("odata/folders", 404),
    ] {
        let (status, _) = raw(&tenant, Method::GET, path, "", "").await;
        assert_eq!(status, expected, "{path}");
    }
    let encoded = tenant.get("odata/Folders%28999999%29").await;
    assert_eq!((encoded.0, &encoded.1["errorCode"]), (404, &json!(1100)));
    for (method, path) in [
        (Method::DELETE, "odata/Folders"),
        (Method::PATCH, "odata/Folders(1)"),
        (Method::GET, "odata/Folders/UiPath.Server.Configuration.OData.AssignUsers"),
        (Method::POST, "api/DirectoryService/GetDomains"),
        (Method::HEAD, "odata/Roles"),
    ] {
        assert_eq!(raw(&tenant, method.clone(), path, "", "").await.0, 405, "{method} {path}");
    }
}

#[tokio::test]
async fn a_folder_is_named_by_one_of_four_headers() {
    let cloud = Cloud::start().await;
    let tenant = cloud.tenant().await;
    let id = tenant.folder("Prüfung", Some(tenant.folder_at("Shared").await)).await;
    let key = tenant.get(&format!("odata/Folders({id})")).await.1["Key"].as_str().unwrap().to_owned();
    let path = "Shared/Prüfung";
    let utf16: Vec<u8> = path.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let encoded = STANDARD.encode(utf16);
    for (name, value, expected) in [
        ("X-UIPATH-OrganizationUnitId", id.to_string().into_bytes(), 200),
        ("X-UIPATH-FolderKey", key.to_uppercase().into_bytes(), 200),
        ("X-UIPATH-FolderPath", path.as_bytes().to_vec(), 200),
        ("X-UIPATH-FolderPath-Encoded", encoded.into_bytes(), 200),
        ("X-UIPATH-OrganizationUnitId", b"x".to_vec(), 400),
        ("X-UIPATH-OrganizationUnitId", b"99999999999999999999".to_vec(), 400),
        ("X-UIPATH-OrganizationUnitId", b"-1".to_vec(), 404),
        ("X-UIPATH-FolderKey", b"x".to_vec(), 404),
        ("X-UIPATH-FolderPath", b"\xff\xfe".to_vec(), 404),
        ("X-UIPATH-FolderPath-Encoded", b"???".to_vec(), 400),
        ("X-Nothing", b"x".to_vec(), 400),
    ] {
        let url = format!("{}/DefaultTenant/orchestrator_/odata/QueueDefinitions", cloud.running.url());
        let request = cloud.http.get(url).bearer_auth(&tenant.token).header(name, value);
        let (status, answer) = taken(request.send().await.unwrap()).await;
        assert_eq!(status, expected, "{name}: {answer}");
        if name == "X-Nothing" {
            assert_eq!(answer["errorCode"], 1101);
        }
    }
}
