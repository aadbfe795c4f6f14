//! `extapp rbac`

use std::io::Write;

use crate::controller::rbac::{Extras, manifest};

/// Prints exactly the permissions that the operator needs, ready for `kubectl apply -f -`
///
/// A namespace, a service account, roles and bindings; and ClusterRoles for people, which grant nothing until they are
/// bound: application registrar, permission administrator, server administrator, viewer. With --namespaces, Secrets and everything else that can be is
/// granted in those namespaces alone, for an operator that runs with --watch-namespaces.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Grant what can be granted in these namespaces alone
    #[arg(long, value_delimiter = ',', value_name = "NAMESPACE,…")]
    namespaces: Vec<String>,

    /// Also what an operator needs that runs with --watch-consumers: to list and watch pods
    #[arg(long)]
    watch_consumers: bool,

    /// Also what an operator needs that runs with --restart-workloads: to read and patch Deployments, StatefulSets and
    /// DaemonSets, and to list and watch pods
    #[arg(long)]
    restart_workloads: bool,
}

pub fn run(args: &Args) -> Result<(), std::io::Error> {
    let extras = Extras { watch_consumers: args.watch_consumers, restart_workloads: args.restart_workloads };
    std::io::stdout().write_all(manifest(&args.namespaces, extras).as_bytes())
}
