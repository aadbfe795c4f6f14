//! Roles as workloads feel them: every claim here is proven by a call with a token that the published credentials got.

use extapp::api::RoleAssignment;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::orchestrator::{Tenant, Workload};
use crate::support::world::{LIMIT, Variations, World};
use crate::support::{Context, Result, eventually};

mod attacks;
mod crash;
mod drift;
mod refusals;
mod scale;

/// A role for folders that may read queues, and one that may change them.
const READER: &str = "Queue Reader";
const WRITER: &str = "Queue Writer";

/// The role to read in Shared/Finance, and nothing else.
fn in_finance() -> String {
    format!("  folders: [{{path: Shared/Finance, roles: [{READER}]}}]\n")
}

/// A world with an application `worker` that can be given roles, and two folders to give them in.
pub struct Office {
    pub world: World,
    pub finance: i64,
    pub people: i64,
}

impl Office {
    pub async fn new(prefix: &str, variations: Variations) -> Result<Self> {
        let world = World::with(prefix, variations).await?;
        let tenant = Tenant::default(&world.cloud).await?;
        tenant.folder_role(READER, &["Queues.View"]).await?;
        tenant.folder_role(WRITER, &["Queues.View", "Queues.Create"]).await?;
        let finance = tenant.folder("Shared/Finance").await?;
        let people = tenant.folder("Shared/People").await?;
        drop(tenant);
        let office = Self { world, finance, people };
        office.register("worker").await?;
        Ok(office)
    }

    /// Lets an application read in Shared/Finance.
    pub async fn permit_finance(&self, name: &str) -> Result<RoleAssignment> {
        self.world.permit(name, name, &in_finance()).await?;
        self.world.until_permitted(name).await
    }

    /// Registers an application whose only scope is the one for roles.
    pub async fn register(&self, name: &str) -> Result<()> {
        self.world
            .apply(&format!(
                "apiVersion: extapp.dev/v1alpha1\nkind: ExternalApplication\nmetadata: {{name: {name}}}\nspec:\n  serverRef: {{name: cloud}}\n  type: Confidential\n  resources:\n  - name: UiPath.Orchestrator\n    applicationScopes: [OR.Default]\n"
            ))
            .await?;
        self.world.until_ready(name).await.map(|_| ())
    }

    pub async fn tenant(&self) -> Result<Tenant<'_>> {
        Tenant::default(&self.world.cloud).await
    }

    /// What the workload of an application can do, with a new token.
    pub async fn workload(&self, name: &str) -> Result<Workload> {
        let keys = self.world.secret(self.world.home.name(), &format!("{name}-oauth")).await?;
        self.tenant().await?.workload(&keys, "OR.Default").await
    }

    pub async fn edit(&self, name: &str, spec: Value) -> Result<RoleAssignment> {
        let api = self.world.role_assignments();
        api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await?;
        self.world.until_permitted(name).await
    }

    pub async fn delete(&self, name: &str) -> Result<()> {
        let api = self.world.role_assignments();
        api.delete(name, &DeleteParams::default()).await?;
        eventually(&format!("{name} is gone"), LIMIT, async || Ok(api.get_opt(name).await?.is_none().then_some(())))
            .await
    }
}

#[tokio::test]
async fn the_same_call_is_granted_in_the_permitted_folder_and_refused_in_the_other() -> Result<()> {
    let office = Office::new("roles", Variations::default()).await?;
    let (finance, people) = (office.finance, office.people);
    let worker = office.workload("worker").await?;
    assert!(!worker.reads(finance).await? && !worker.reads(people).await?, "nothing is permitted yet");
    office
        .world
        .permit(
            "worker",
            "worker",
            &format!(
                "  roles: [Allow to be Automation User]\n  folders:\n  - {{path: Shared/Finance, roles: [{READER}]}}\n"
            ),
        )
        .await?;
    let object = office.world.until_permitted("worker").await?;
    assert!(worker.reads(finance).await? && !worker.reads(people).await?);
    assert!(!worker.writes(finance, "New").await?, "a reader");
    let status = object.status.context("a status")?;
    let app = office.world.until_ready("worker").await?;
    let client_id = app.status.and_then(|status| status.client_id);
    assert_eq!(status.client_id, client_id);
    assert!(status.principal_id.is_some() && status.principal_id != client_id, "the identity is not the client id");
    assert_eq!(status.roles, ["Allow to be Automation User"]);
    assert_eq!(status.folders[0].id, Some(finance));
    Ok(())
}

#[tokio::test]
async fn roles_are_changed_narrowed_moved_and_removed_as_the_spec_says() -> Result<()> {
    let office = Office::new("roles-edit", Variations::default()).await?;
    let (finance, people) = (office.finance, office.people);
    let worker = office.workload("worker").await?;
    let folders = format!("  folders:\n  - {{path: Shared/Finance, roles: [{READER}, {WRITER}]}}\n");
    office.world.permit("worker", "worker", &folders).await?;
    office.world.until_permitted("worker").await?;
    assert!(worker.writes(finance, "One").await?);

    office.edit("worker", json!({"folders": [{"path": "Shared/Finance", "roles": [READER]}]})).await?;
    assert!(worker.reads(finance).await? && !worker.writes(finance, "Two").await?, "narrowed");

    office.edit("worker", json!({"folders": [{"path": "Shared/People", "roles": [READER]}]})).await?;
    assert!(!worker.reads(finance).await? && worker.reads(people).await?, "moved");

    office.edit("worker", json!({"roles": ["Allow to be Automation User"], "folders": null})).await?;
    assert!(!worker.reads(people).await?, "removed");

    office.delete("worker").await?;
    let tenant = office.tenant().await?;
    let operator_alone = tenant.applications().await?.len();
    assert_eq!(operator_alone, 1, "the application is no longer known to the tenant");
    Ok(())
}

#[tokio::test]
async fn a_role_holds_below_its_folder_and_a_folder_with_an_awkward_name_is_found() -> Result<()> {
    let server = "  driftInterval: 2s\n".into();
    let office = Office::new("roles-tree", Variations { server, ..Variations::default() }).await?;
    let below = office.tenant().await?.folder("Shared/Finance/O'Neil & Söhne (50%)").await?;
    let deeper = office.tenant().await?.folder("Shared/Finance/O'Neil & Söhne (50%)/財務").await?;
    office.register("other").await?;
    office.world.permit("up", "worker", &format!("  folders: [{{path: Shared/Finance, roles: [{READER}]}}]\n")).await?;
    let path = "Shared/Finance/O''Neil & Söhne (50%)/財務";
    office.world.permit("down", "other", &format!("  folders: [{{path: '{path}', roles: [{READER}]}}]\n")).await?;
    office.world.until_permitted("up").await?;
    office.world.until_permitted("down").await?;
    let (worker, other) = (office.workload("worker").await?, office.workload("other").await?);
    assert!(worker.reads(below).await? && worker.reads(deeper).await?, "inherited");
    assert!(other.reads(deeper).await? && !other.reads(below).await? && !other.reads(office.finance).await?);
    // What is inherited is neither shown nor taken for something to take away.
    office.world.sweeps(1).await?;
    let members = office.tenant().await?.members(deeper).await?;
    assert_eq!(members.len(), 1, "{members:?}");
    Ok(())
}

#[tokio::test]
async fn folders_that_were_never_listed_are_not_touched() -> Result<()> {
    let office = Office::new("roles-foreign", Variations::default()).await?;
    office.permit_finance("worker").await?;
    let tenant = office.tenant().await?;
    let user = tenant.user("worker").await?;
    tenant.assign(user, office.people, &[tenant.role_id(READER).await?]).await?;
    let worker = office.workload("worker").await?;
    assert!(worker.reads(office.people).await?, "by hand");
    office.edit("worker", json!({"folders": [{"path": "Shared/Finance", "roles": [WRITER]}]})).await?;
    assert!(worker.reads(office.people).await? && worker.writes(office.finance, "New").await?);
    office.delete("worker").await?;
    assert!(worker.reads(office.people).await?, "what was given by hand is left");
    assert!(!worker.reads(office.finance).await?);
    Ok(())
}

#[tokio::test]
async fn roles_go_before_the_registration_and_both_go_with_their_objects() -> Result<()> {
    let office = Office::new("roles-order", Variations::default()).await?;
    office.permit_finance("worker").await?;
    let home = office.world.home.name();
    let writes_before = office.world.cloud.access_log()?.len();
    office.world.applications(home).delete("worker", &DeleteParams::default()).await?;
    office.world.until_gone(home, "worker").await?;
    let log = office.world.cloud.access_log()?;
    let position =
        |part: &str| log[writes_before..].iter().position(|line| line.contains("DELETE") && line.contains(part));
    let (user, registration) = (position("orchestrator_/odata/Users"), position("/api/ExternalClient/"));
    assert!(user.is_some() && user < registration, "{:?}", &log[writes_before..]);
    assert_eq!(office.tenant().await?.applications().await?.len(), 1, "nobody is left but the operator");
    let message = office.world.until_not_permitted("worker", "ApplicationNotFound").await?;
    assert!(message.contains("create it"), "{message}");

    // And it comes back with the application, under its new identity.
    office.register("worker").await?;
    office.world.until_permitted("worker").await?;
    assert!(office.workload("worker").await?.reads(office.finance).await?);
    office.delete("worker").await
}

#[tokio::test]
async fn objects_that_are_deleted_together_all_go() -> Result<()> {
    let office = Office::new("roles-together", Variations::default()).await?;
    office.permit_finance("worker").await?;
    let home = office.world.home.name();
    office.world.applications(home).delete("worker", &DeleteParams::default()).await?;
    office.delete("worker").await?;
    office.world.until_gone(home, "worker").await?;
    assert!(office.world.registrations("worker").await?.is_empty());
    assert_eq!(office.tenant().await?.applications().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn two_assignments_that_disagree_both_say_so_and_nothing_flaps() -> Result<()> {
    let server = "  driftInterval: 2s\n".into();
    let office = Office::new("roles-rivals", Variations { server, ..Variations::default() }).await?;
    office
        .world
        .permit(
            "one",
            "worker",
            &format!("  folders:\n  - {{path: Shared/Finance, roles: [{READER}]}}\n  - {{path: Shared/People, roles: [{READER}]}}\n"),
        )
        .await?;
    office.world.until_permitted("one").await?;
    office
        .world
        .permit("two", "worker", &format!("  folders: [{{path: Shared/Finance, roles: [{WRITER}]}}]\n"))
        .await?;
    let (one, two) = tokio::try_join!(
        office.world.until_not_permitted("one", "AssignmentConflict"),
        office.world.until_not_permitted("two", "AssignmentConflict")
    )?;
    assert!(one.contains("RoleAssignment two") && two.contains("RoleAssignment one"), "{one}\n{two}");
    let worker = office.workload("worker").await?;
    assert!(worker.reads(office.people).await?, "what is not disputed holds");
    // The server's own count of applications comes a moment later.
    office.world.sweeps(1).await?;
    let (versions, writes) = (office.world.versions().await?, office.world.server_writes()?);
    office.world.sweeps(3).await?;
    assert_eq!((office.world.versions().await?, office.world.server_writes()?), (versions, writes), "it flaps");

    office.edit("two", json!({"folders": [{"path": "Shared/Finance", "roles": [READER]}]})).await?;
    office.world.until_permitted("one").await?;
    office.delete("one").await?;
    office.world.until_permitted("two").await?;
    assert!(worker.reads(office.finance).await?, "the other one still lists it");
    assert!(!worker.reads(office.people).await?);
    Ok(())
}

#[tokio::test]
async fn an_installation_of_ones_own_takes_the_other_assign_action() -> Result<()> {
    // The operator believes to speak to the cloud, and has to find out.
    let cloud = vec!["--deployment".into(), "AutomationSuite".into()];
    let office = Office::new("roles-suite", Variations { cloud, ..Variations::default() }).await?;
    office.permit_finance("worker").await?;
    assert!(office.workload("worker").await?.reads(office.finance).await?);
    Ok(())
}
