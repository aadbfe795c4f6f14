//! What the foreign clients meet: a stand-in with people, a tenant with folders, and applications that an operator
//! registered, one of each type.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::orchestrator::Tenant;
use crate::support::peers::{self, Interpreter};
use crate::support::world::{Keys, Plane, Variations, World};
use crate::support::{Context, Error, LocalCloud, Operator, Result, TestNamespace};

const PEOPLE: &str = "
- {email: ada@acme.example, name: Ada Lovelace, password: difference engine, administrator: true}
- {email: grace@acme.example, name: Grace Hopper, password: a moth in relay 70, administrator: false}
";

const MANIFESTS: &str = "
apiVersion: extapp.dev/v1alpha1
kind: ExternalApplication
metadata: {name: worker}
spec:
  serverRef: {name: cloud}
  type: Confidential
  redirectUris: ['https://worker.example.com/callback']
  resources:
  - name: UiPath.Orchestrator
    applicationScopes: [OR.Queues, OR.Default]
    userScopes: [OR.Jobs.Read]
---
apiVersion: extapp.dev/v1alpha1
kind: ExternalApplication
metadata: {name: robot}
spec:
  serverRef: {name: cloud}
  type: Confidential
  redirectUris: ['https://robot.example.com/callback']
  resources:
  - name: UiPath.Orchestrator
    applicationScopes: [OR.Default]
---
apiVersion: extapp.dev/v1alpha1
kind: ExternalApplication
metadata: {name: portal}
spec:
  serverRef: {name: cloud}
  type: Confidential
  redirectUris: ['https://portal.example.com/callback']
  resources:
  - name: UiPath.Orchestrator
    userScopes: [OR.Jobs.Read, OR.Queues.Read]
---
apiVersion: extapp.dev/v1alpha1
kind: ExternalApplication
metadata: {name: desktop}
spec:
  serverRef: {name: cloud}
  type: NonConfidential
  redirectUris: ['http://127.0.0.1:8765/callback']
  resources:
  - name: UiPath.Orchestrator
    userScopes: [OR.Jobs.Read]
---
apiVersion: extapp.dev/v1alpha1
kind: ExternalApplication
metadata: {name: dashboard}
spec:
  serverRef: {name: cloud}
  type: NonConfidential
  redirectUris: ['http://localhost:5173/']
  resources:
  - name: UiPath.Orchestrator
    userScopes: [OR.Folders.Read, OR.Queues.Read]
";

const CONFIDENTIAL: [&str; 3] = ["worker", "robot", "portal"];
const NON_CONFIDENTIAL: [&str; 2] = ["desktop", "dashboard"];
const READER: &str = "Queue Reader";
const TENANT: &str = "DefaultTenant";

/// One for all tests here: they only look, and each signs in by itself.
pub struct Stage {
    pub applications: BTreeMap<&'static str, Keys>,
    folders: BTreeMap<&'static str, i64>,
    // Kept for as long as the tests run.
    cloud: LocalCloud,
    _operator: Operator,
    _home: TestNamespace,
    _plane: Plane,
}

impl Stage {
    /// The stage of this test process; it ends with the process, since statics are never dropped.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Result<Stage>> = OnceCell::const_new();
        SHARED.get_or_init(Self::set).await.as_ref().map_err(Error::new)
    }

    async fn set() -> Result<Self> {
        let variations = Variations { people: Some(PEOPLE.to_owned()), ..Variations::default() };
        let world = World::with("foreign", variations).await?;
        world.apply(MANIFESTS).await?;
        let tenant = Tenant::of(&world.cloud, TENANT).await?;
        tenant.folder_role(READER, &["Queues.View"]).await?;
        let mut folders = BTreeMap::new();
        for path in ["Shared/Finance", "Shared/People"] {
            folders.insert(path, tenant.folder(path).await?);
        }
        admit(&tenant, "grace@acme.example", folders["Shared/Finance"]).await?;
        drop(tenant);
        let mut applications = BTreeMap::new();
        for name in CONFIDENTIAL {
            world.until_ready(name).await?;
            applications.insert(name, world.secret(world.home.name(), &format!("{name}-oauth")).await?);
        }
        for name in NON_CONFIDENTIAL {
            world.until_ready(name).await?;
            applications.insert(name, world.config_map(&format!("{name}-oauth")).await?);
        }
        let permit = format!("  folders:\n  - {{path: Shared/Finance, roles: [{READER}]}}\n");
        world.permit("robot", "robot", &permit).await?;
        world.until_permitted("robot").await?;
        let World { cloud, operator, home, plane, .. } = world;
        Ok(Self { applications, folders, cloud, _operator: operator, _home: home, _plane: plane })
    }

    /// What scripts are told.
    pub fn input(&self) -> Value {
        json!({
            "cloud": self.cloud.base_url(),
            "organization": self.cloud.organization(),
            "tenant": TENANT,
            "applications": self.applications,
            "folders": self.folders,
            "ada": {"email": "ada@acme.example", "name": "Ada Lovelace", "password": "difference engine"},
            "grace": {"email": "grace@acme.example", "name": "Grace Hopper", "password": "a moth in relay 70"},
        })
    }

    /// What the tokens of an application name.
    pub fn client_and_issuer(&self, name: &str) -> (Value, Value) {
        let keys = &self.applications[name];
        (json!(keys["client-id"]), json!(keys["issuer-uri"]))
    }
}

/// Gives a person the role of a reader in a folder.
async fn admit(tenant: &Tenant<'_>, email: &str, folder: i64) -> Result<()> {
    let prefix = email.split('@').next().unwrap_or_default();
    let url =
        format!("/api/DirectoryService/SearchForUsersAndGroups?searchContext=Users&domain=autogen&prefix={prefix}");
    let found = tenant.call(Method::GET, &url, None).await?;
    let identifier = found[0]["identifier"].as_str().context(format!("nobody is called {prefix}: {found}"))?;
    let assignment = json!({"assignment": {
        "Domain": "autogen",
        "DirectoryIdentifier": identifier,
        "UserType": "DirectoryUser",
        "RolesPerFolder": [{"FolderId": folder, "RoleIds": [tenant.role_id(READER).await?]}],
    }});
    let path = "/odata/Folders/UiPath.Server.Configuration.OData.AssignDirectoryUser";
    tenant.call(Method::POST, path, Some(assignment)).await.map(|_| ())
}

pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_clients")
}

/// Installs nothing twice, and keeps the runtime of the test free meanwhile.
pub async fn run(
    interpreter: impl FnOnce() -> Result<Interpreter> + Send + 'static,
    script: &'static str,
    case: &'static str,
    input: Value,
) -> Result<Value> {
    let work = move || interpreter()?.run(script, &[case], &input.to_string());
    let printed = tokio::task::spawn_blocking(work).await??;
    serde_json::from_str(&printed).context(printed)
}

pub async fn node(script: &'static str, case: &'static str, input: Value) -> Result<Value> {
    run(|| peers::node(&scripts()), script, case, input).await
}
