//! What people may do through an application. Nobody has to sign in for this: the tokens are signed here.

use axum::body::Body;
use serde_json::json;

use super::*;
use crate::local_cloud::bootstrap;
use crate::local_cloud::catalogue::Catalogue;
use crate::local_cloud::clock::Clock;
use crate::local_cloud::cloud::Claims;
use crate::local_cloud::config::{LARGEST_PAGE, Limits, SigningAlgorithm};
use crate::local_cloud::issuers::Issuers;
use crate::local_cloud::keys::TokenType;
use crate::local_cloud::limits::RateLimiter;
use crate::local_cloud::oauth::Attempts;
use crate::local_cloud::store::people::{self, Person};
use crate::local_cloud::store::{Store, StoreError, orchestrator};

/// The directory identifier of a person without further rights, and of an administrator.
const PERSON: &str = "11111111-1111-4111-8111-111111111111";
const ADMINISTRATOR: &str = "22222222-2222-4222-8222-222222222222";

async fn cloud() -> Arc<Cloud> {
    let (store, clock) = (Store::open(None).unwrap(), Clock::system());
    let organization = bootstrap::organization(&store, "acme").await.unwrap();
    let keys = bootstrap::signing_keys(&store, SigningAlgorithm::Es256).await.unwrap();
    let catalogue = Catalogue::seeded();
    bootstrap::administrator(&store, &clock, &catalogue, None).await.unwrap();
    let tenants = bootstrap::tenants(&store, &clock, &[]).await.unwrap();
    let everybody = [(PERSON, "ada@example.com", false), (ADMINISTRATOR, "grace@example.com", true)];
    store
        .write(move |store| -> Result<(), StoreError> {
            for (id, email, administrator) in everybody {
                let (id, email, name) = (id.to_owned(), email.to_owned(), "Somebody".to_owned());
                people::insert(store, &Person { id, email, name, administrator }, "unused")?;
            }
            Ok(())
        })
        .await
        .unwrap();
    Arc::new(Cloud {
        organization,
        issuer: "http://127.0.0.1:1/identity_".to_owned(),
        store,
        keys,
        catalogue,
        limiter: RateLimiter::new(Limits::none()),
        attempts: Attempts::default(),
        issuers: Issuers::new(&[]).unwrap(),
        cookie: "session".to_owned(),
        clock,
        tenants,
        deployment: Deployment::AutomationCloud,
        largest_page: LARGEST_PAGE as usize,
    })
}

/// Calls as an application that acts for a person.
async fn call(cloud: &Arc<Cloud>, person: &str, scopes: &str, operation: &str, body: Option<Value>) -> (u16, Value) {
    let now = cloud.clock.now_milliseconds() / 1000;
    let claims = Claims {
        iss: cloud.issuer.clone(),
        sub: person.to_owned(),
        sub_type: "user".to_owned(),
        client_id: "33333333-3333-4333-8333-333333333333".to_owned(),
        prt_id: cloud.organization.id,
        aud: vec![RESOURCE.to_owned()],
        scope: scopes.split(' ').map(str::to_owned).collect(),
        iat: now,
        nbf: now,
        exp: now + 60,
        jti: String::new(),
        sid: None,
        auth_time: None,
        grant_id: None,
    };
    let (method, rest) = operation.split_once(' ').unwrap();
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let request = Request::builder()
        .method(method)
        .uri(format!("/acme/DefaultTenant/orchestrator_/{path}?{query}"))
        .header(header::AUTHORIZATION, format!("Bearer {}", cloud.keys.sign(TokenType::Access, &claims).unwrap()))
        .header(header::CONTENT_TYPE, "application/json")
        .header("X-UIPATH-OrganizationUnitId", "1")
        .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
        .unwrap();
    let path =
        OrchestratorPath { organization: "acme".to_owned(), tenant: "DefaultTenant".to_owned(), rest: path.to_owned() };
    let response = answer(State(Arc::clone(cloud)), Ok(Path(path)), request).await;
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// The number of the built-in role with this name.
async fn role(cloud: &Cloud, name: &'static str) -> i64 {
    let tenant = cloud.tenants[0].id;
    cloud.store.read(move |store| orchestrator::roles::by_name(store, tenant, name)).await.unwrap().unwrap().id
}

#[tokio::test]
async fn for_a_person_both_the_scope_and_the_persons_own_rights_have_to_allow_it() {
    let cloud = cloud().await;
    let status =
        async |person: &str, scopes: &str, operation: &str| call(&cloud, person, scopes, operation, None).await.0;
    for (person, scopes, operation, expected) in [
        (PERSON, "OR.Queues.Read", "GET odata/QueueDefinitions", 404),
        (PERSON, "OR.Users.Read", "GET odata/Users", 403),
        (PERSON, "OR.Default", "GET odata/Users", 403),
        (ADMINISTRATOR, "OR.Users.Read", "GET odata/Users", 200),
        (ADMINISTRATOR, "OR.Default", "GET odata/Users", 200),
        (ADMINISTRATOR, "OR.Queues.Read", "GET odata/Users", 403),
        (ADMINISTRATOR, "OR.Queues.Read", "GET odata/QueueDefinitions", 403),
        (ADMINISTRATOR, "Apps.Read", "GET odata/Users", 401),
        ("nobody", "OR.Users.Read", "GET odata/Users", 403),
    ] {
        assert_eq!(status(person, scopes, operation).await, expected, "{person} {scopes} {operation}");
    }
}

#[tokio::test]
async fn a_person_sees_the_folders_of_its_own_and_an_administrator_all() {
    let cloud = cloud().await;
    let count = async |person: &str, scopes: &str| {
        let (status, answer) = call(&cloud, person, scopes, "GET odata/Folders", None).await;
        (status, answer["value"].as_array().map(Vec::len))
    };
    assert_eq!(count(PERSON, "OR.Folders.Read").await, (200, Some(0)));
    assert_eq!(count(ADMINISTRATOR, "OR.Folders.Read").await, (200, Some(1)));
    let body = json!({
        "assignment": {
            "Domain": "autogen",
            "UserName": "ADA@example.com",
            "UserType": "DirectoryUser",
            "RolesPerFolder": [{ "FolderId": 1, "RoleIds": [role(&cloud, "Automation User").await] }],
        },
    });
    let assign = "POST odata/Folders/UiPath.Server.Configuration.OData.AssignDirectoryUser";
    assert_eq!(call(&cloud, PERSON, "OR.Folders", assign, Some(body.clone())).await.0, 404);
    assert_eq!(call(&cloud, ADMINISTRATOR, "OR.Folders", assign, Some(body)).await.0, 204);
    assert_eq!(count(PERSON, "OR.Folders.Read").await, (200, Some(1)));
    assert_eq!(count(PERSON, "OR.Users.Read").await.0, 403);
    assert_eq!(call(&cloud, PERSON, "OR.Queues.Read", "GET odata/QueueDefinitions", None).await.0, 200);
    assert_eq!(call(&cloud, PERSON, "OR.Jobs", "GET odata/QueueDefinitions", None).await.0, 403);
    let create = Some(json!({ "Name": "q" }));
    assert_eq!(call(&cloud, PERSON, "OR.Queues", "POST odata/QueueDefinitions", create).await.0, 403);
}

#[tokio::test]
async fn people_are_found_and_imported_like_applications() {
    let cloud = cloud().await;
    let search = "GET api/DirectoryService/SearchForUsersAndGroups?searchContext=Users&domain=autogen&prefix=ada";
    let (status, found) = call(&cloud, ADMINISTRATOR, "OR.Users", search, None).await;
    assert_eq!((status, &found[0]["type"], &found[0]["identifier"]), (200, &json!(0), &json!(PERSON)));
    let body = json!({
        "UserName": "ada@example.com",
        "Domain": "autogen",
        "Type": "DirectoryUser",
        "RolesList": ["Tenant Administrator"],
        "UpdatePolicy": { "Type": "None" },
    });
    assert_eq!(call(&cloud, ADMINISTRATOR, "OR.Users", "POST odata/Users", Some(body)).await.0, 201);
    assert_eq!(call(&cloud, PERSON, "OR.Users.Read", "GET odata/Users", None).await.0, 200);
}
