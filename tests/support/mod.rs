//! A real Kubernetes control plane, real authorization servers, and extapp's programs, as child processes on loopback: for
//! the tests, the quickstart and the benchmark. The examples include this folder by its path.

pub mod assets;
pub mod control_plane;
pub mod error;
#[cfg(test)]
pub mod forbidden;
pub mod gate;
pub mod go;
pub mod hydra;
pub mod installation;
#[cfg(test)]
pub mod keycloak;
pub mod keys;
pub mod kubeconfig;
pub mod local_cloud;
pub mod namespace;
#[cfg(test)]
pub mod oidc_provider;
pub mod operator;
pub mod orchestrator;
#[cfg(test)]
pub mod outcome;
#[cfg(test)]
pub mod own_client;
pub mod peers;
pub mod process;
#[cfg(test)]
pub mod promtool;
#[cfg(test)]
pub mod site;
#[cfg(test)]
pub mod timed;
#[cfg(test)]
pub mod vault;
pub mod wait;
#[cfg(test)]
pub mod world;

pub use control_plane::{ControlPlane, Options, shared};
pub use error::{Context, Error, Result};
pub use hydra::Hydra;
pub use local_cloud::LocalCloud;
pub use namespace::TestNamespace;
pub use operator::Operator;
pub use wait::{apply_yaml, apply_yaml_in, eventually, wait_for};

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// The extapp program: in tests the binary that cargo built, in an example the example itself, which then has to hand
/// everything after its leading argument to extapp's command line.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    leading_args: Vec<OsString>,
}

impl Program {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), leading_args: Vec::new() }
    }

    /// This executable, started again with `marker` as its first argument.
    pub fn this_executable(marker: impl Into<OsString>) -> Result<Self> {
        Ok(Self { path: std::env::current_exe()?, leading_args: vec![marker.into()] })
    }

    fn launch(&self, name: &str, directory: &std::path::Path) -> process::Launch {
        let prepare = |command: &mut Command| {
            command.args(&self.leading_args);
        };
        process::Launch::new(name, &self.path, directory).command(prepare)
    }
}
