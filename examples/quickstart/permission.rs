//! The permission: the same call in two folders, before there is a RoleAssignment, after it, and after it was changed.

use std::collections::BTreeMap;
use std::time::Duration;

use extapp::api::RoleAssignment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::checks::Checks;
use crate::manifests;
use crate::progress::heading;
use crate::stage::Stage;
use crate::support::orchestrator::{Tenant, Workload};
use crate::support::{Context, Result, apply_yaml, wait_for};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "invoice-sync";
const NAMESPACE: &str = "finance";
const ROLE: &str = "Queue Reader";

/// The folders that the call is made in.
struct Folders {
    finance: i64,
    people: i64,
}

pub async fn show(stage: &Stage, secret: &BTreeMap<String, String>, checks: &mut Checks) -> Result<()> {
    heading("What invoice-sync may do: GET /odata/QueueDefinitions, with a token for OR.Default alone");
    let tenant = Tenant::default(stage.cloud()?).await?;
    let folders = furnish(&tenant).await?;
    println!("  Orchestrator has folders Shared/Finance and Shared/People, a queue in each, and a role {ROLE:?}.");
    let workload = tenant.workload(secret, "OR.Default").await?;

    call("before there is a RoleAssignment", &workload, &folders, (false, false), checks).await?;

    let manifest = manifests::roles()?;
    apply_yaml(&stage.client().await?, &manifest.text).await.context(&manifest.file)?;
    let api: Api<RoleAssignment> = Api::namespaced(stage.client().await?, NAMESPACE);
    let object = until_ready(&api).await?;
    println!("  $ kubectl apply -f examples/quickstart/{}", manifest.file);
    let status = object.status.unwrap_or_default();
    let (principal, client) = (status.principal_id.unwrap_or_default(), status.client_id.unwrap_or_default());
    println!("  client {client} is {principal} in the directory");
    checks.that("the RoleAssignment names the application's identity", !principal.is_empty());
    call("once Shared/Finance is permitted", &workload, &folders, (true, false), checks).await?;

    let moved = json!({"spec": {"folders": [{"path": "Shared/People", "roles": [ROLE]}]}});
    api.patch(NAME, &PatchParams::default(), &Patch::Merge(&moved)).await?;
    until_ready(&api).await?;
    println!("  $ kubectl patch roleassign {NAME} -n {NAMESPACE} --type merge -p '{moved}'");
    call("once it is Shared/People instead", &workload, &folders, (false, true), checks).await
}

/// What an Orchestrator administrator has made long ago.
async fn furnish(tenant: &Tenant<'_>) -> Result<Folders> {
    tenant.folder_role(ROLE, &["Queues.View"]).await?;
    Ok(Folders { finance: tenant.folder("Shared/Finance").await?, people: tenant.folder("Shared/People").await? })
}

async fn until_ready(api: &Api<RoleAssignment>) -> Result<RoleAssignment> {
    let ready = |object: Option<&RoleAssignment>| {
        let Some(object) = object else { return false };
        object.status.as_ref().is_some_and(|status| {
            status.observed_generation == object.metadata.generation
                && status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        })
    };
    wait_for(api.clone(), NAME, LIMIT, ready).await?.context("the RoleAssignment is gone")
}

async fn call(
    when: &str,
    workload: &Workload,
    folders: &Folders,
    expected: (bool, bool),
    checks: &mut Checks,
) -> Result<()> {
    let (finance, people) = (workload.status(folders.finance).await?, workload.status(folders.people).await?);
    println!("  {when:<36}Shared/Finance {finance}   Shared/People {people}");
    checks.equal(format!("in Shared/Finance {when}"), &(finance == 200), &expected.0);
    checks.equal(format!("in Shared/People {when}"), &(people == 200), &expected.1);
    Ok(())
}
