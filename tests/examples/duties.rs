//! `separation-of-duties/`: each file can be applied by those whose duty it is, and by nobody else.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::{apply, manifests, prepared};
use crate::support::world::LIMIT;
use crate::support::{ControlPlane, Error, Result, eventually};

const FOLDER: &str = "separation-of-duties";
/// Each file, and the group that applies it.
const DUTIES: [(&str, &str); 3] = [
    ("3-server.yaml", "platform-engineers"),
    ("4-application.yaml", "organization-administrators"),
    ("5-permission.yaml", "orchestrator-administrators"),
];
const DEVELOPERS: &str = "finance-developers";

async fn member_of(plane: &ControlPlane, group: &str) -> Result<Client> {
    let mut file = Kubeconfig::read_from(plane.admin_kubeconfig())?;
    for user in file.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        user.impersonate = Some(format!("member-of-{group}"));
        user.impersonate_groups = Some(vec![group.to_owned(), "system:authenticated".to_owned()]);
    }
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Tries a file without changing anything; whether it was taken.
async fn taken(client: &Client, file: &str) -> Result<bool> {
    for manifest in manifests(&format!("{FOLDER}/{file}"))? {
        match apply(client, &manifest, true).await {
            Ok(_) => {}
            Err(error) if error.to_string().contains("is forbidden") || error.to_string().contains("cannot patch") => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[tokio::test]
async fn each_file_of_the_separation_is_applied_by_its_group_and_by_no_other() -> Result<()> {
    let (plane, admin) = prepared().await?;
    for file in ["1-namespaces.yaml", "2-duties.yaml"] {
        for manifest in manifests(&format!("{FOLDER}/{file}"))? {
            apply(&admin, &manifest, false).await?;
        }
    }
    for (file, group) in DUTIES {
        let client = member_of(plane, group).await?;
        let counts = async || Ok(taken(&client, file).await?.then_some(()));
        eventually(&format!("{group} apply {file}"), LIMIT, counts).await?;
    }
    for group in DUTIES.iter().map(|(_, group)| *group).chain([DEVELOPERS]) {
        let client = member_of(plane, group).await?;
        for (file, its) in DUTIES {
            if taken(&client, file).await? != (group == its) {
                return Err(Error::new(format!("{group} and {file}")));
            }
        }
    }
    Ok(())
}
