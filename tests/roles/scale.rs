//! Many folders, many roles, many assignments: pages, and requests that do not grow with them.

use std::time::Instant;

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Office, READER, WRITER};
use crate::support::world::{LIMIT, Variations};
use crate::support::{Result, eventually};

#[tokio::test]
async fn folders_and_roles_beyond_the_first_page_are_found_without_a_request_for_each() -> Result<()> {
    let office = Office::new("roles-pages", Variations::default()).await?;
    let tenant = office.tenant().await?;
    for number in 0..1_000 {
        let folder = json!({"DisplayName": format!("Folder {number}")});
        tenant.call(reqwest::Method::POST, "/odata/Folders", Some(folder)).await?;
        if number % 9 == 0 {
            tenant.folder_role(&format!("Role {number}"), &["Queues.View"]).await?;
        }
    }
    let last = tenant.folder("Zuletzt").await?;
    tenant.folder_role("Zuletzt", &["Queues.View"]).await?;
    let before = office.world.cloud.access_log()?.len();
    office.world.permit("worker", "worker", "  folders: [{path: Zuletzt, roles: [Zuletzt]}]\n").await?;
    office.world.until_permitted("worker").await?;
    assert!(office.workload("worker").await?.reads(last).await?);
    let log = office.world.cloud.access_log()?;
    let asked = log[before..].iter().filter(|line| line.contains("orchestrator_") && line.contains("\"GET\"")).count();
    assert!(asked <= 20, "{asked} reads for 1,000 folders and 110 roles in pages of 100");
    Ok(())
}

#[tokio::test]
async fn a_sweep_reads_each_tenant_and_each_listed_folder_once_however_many_assignments_there_are() -> Result<()> {
    let server = "  driftInterval: 3s\n".into();
    let office = Office::new("roles-many", Variations { server, ..Variations::uncounted() }).await?;
    for number in 0..20 {
        let name = format!("app-{number}");
        office.register(&name).await?;
        office
            .world
            .permit(&name, &name, &format!("  folders: [{{path: Shared/Finance, roles: [{READER}]}}]\n"))
            .await?;
    }
    for number in 0..20 {
        office.world.until_permitted(&format!("app-{number}")).await?;
    }
    office.world.sweeps(1).await?;
    let reads = || -> Result<usize> {
        let log = office.world.cloud.access_log()?;
        Ok(log.iter().filter(|line| line.contains("orchestrator_") && line.contains("\"GET\"")).count())
    };
    let before = reads()?;
    office.world.sweeps(3).await?;
    let each = (reads()? - before) / 3;
    assert!(each <= 6, "{each} reads a sweep for 20 assignments in one folder");
    Ok(())
}

#[tokio::test]
async fn sweeps_stay_within_the_budget_and_leave_room_for_an_edit() -> Result<()> {
    const PER_MINUTE: usize = 60;
    let server = "  driftInterval: 1s\n".into();
    let operator = vec!["--requests-per-minute".into(), PER_MINUTE.to_string()];
    let office = Office::new("roles-budget", Variations { server, operator, ..Variations::default() }).await?;
    let tenant = office.tenant().await?;
    for number in 0..24 {
        tenant
            .call(reqwest::Method::POST, "/odata/Folders", Some(json!({"DisplayName": format!("F{number}")})))
            .await?;
    }
    for number in 0..3 {
        let name = format!("app-{number}");
        office.register(&name).await?;
        let folders: Vec<String> = (number * 8..number * 8 + 8)
            .map(|folder| format!("  - {{path: F{folder}, roles: [{READER}]}}\n"))
            .collect();
        let folders = folders.concat();
        office.world.permit(&name, &name, &format!("  folders:\n{folders}")).await?;
    }
    for number in 0..3 {
        office.world.until_permitted(&format!("app-{number}")).await?;
    }
    // From here on nobody but the operator asks Orchestrator anything.
    let (start, began) = (office.world.cloud.access_log()?.len(), Instant::now());
    let reads = || -> Result<usize> {
        let log = office.world.cloud.access_log()?;
        Ok(log[start..].iter().filter(|line| line.contains("orchestrator_") && line.contains("\"GET\"")).count())
    };
    eventually("sweeps have read", LIMIT, async || Ok((reads()? >= PER_MINUTE / 4).then_some(()))).await?;
    office.world.sweeps(3).await?;
    let wider = json!({"spec": {"folders": [{"path": "F0", "roles": [READER, WRITER]}]}});
    office.world.role_assignments().patch("app-0", &PatchParams::default(), &Patch::Merge(&wider)).await?;
    office.world.until_permitted("app-0").await?;
    let minutes = usize::try_from(began.elapsed().as_secs() / 60).unwrap_or(usize::MAX) + 1;
    let asked = reads()?;
    assert!(asked <= PER_MINUTE * minutes, "{asked} reads in {minutes} minutes");
    for number in 0..3 {
        let object = office.world.role_assignments().get(&format!("app-{number}")).await?;
        let conditions = object.status.unwrap_or_default().conditions;
        assert!(crate::support::world::ready(&conditions), "to wait for the next minute is no trouble: {conditions:?}");
    }
    Ok(())
}
