//! `extapp rbac`

use std::io::Write;

use crate::controller::rbac::manifest;

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
}

pub fn run(args: &Args) -> Result<(), std::io::Error> {
    std::io::stdout().write_all(manifest(&args.namespaces).as_bytes())
}
