//! The authorization server at the far end.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::support::process::Guarded;
use crate::support::{Hydra, LocalCloud, Program, Result};

/// What applications are registered at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The stand-in for UiPath Automation Cloud, in memory and without limits
    #[default]
    LocalCloud,
    /// Ory Hydra, with its data in SQLite
    Hydra,
}

impl Kind {
    /// As it is called in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::LocalCloud => "local cloud",
            Self::Hydra => "Hydra",
        }
    }

    /// The API that every application asks for, and its scopes.
    pub fn asked(self) -> (&'static str, [&'static str; 2]) {
        match self {
            Self::LocalCloud => ("UiPath.Orchestrator", ["OR.Default", "OR.Queues"]),
            Self::Hydra => ("fleet", ["fleet.read", "fleet.write"]),
        }
    }

    pub async fn start(self, program: &Program) -> Result<Far> {
        Ok(match self {
            Self::LocalCloud => {
                let unlimited = ["get", "post", "put", "delete"].map(|method| format!("--rate-limit-{method}=0"));
                let builder = LocalCloud::builder(program.clone()).in_memory();
                let builder = unlimited.iter().fold(builder, crate::support::local_cloud::Builder::arg);
                Far::LocalCloud(builder.start().await?)
            }
            Self::Hydra => Far::Hydra(Hydra::start().await?),
        })
    }
}

#[allow(clippy::large_enum_variant, reason = "there are two in the whole program")]
pub enum Far {
    LocalCloud(LocalCloud),
    Hydra(Hydra),
}

impl Far {
    pub fn process(&mut self) -> &mut Guarded {
        match self {
            Self::LocalCloud(cloud) => cloud.process(),
            Self::Hydra(hydra) => hydra.process(),
        }
    }

    /// The `spec` of its AuthorizationServer.
    pub fn spec(&self, drift_interval: &str) -> Value {
        match self {
            Self::LocalCloud(cloud) => json!({
                "uipath": {"url": cloud.base_url(), "organization": cloud.organization()},
                "credentialsRef": {"name": "local-cloud-admin"}, "driftInterval": drift_interval
            }),
            Self::Hydra(hydra) => json!({
                "hydra": {"url": hydra.url(), "adminUrl": hydra.admin_url()}, "driftInterval": drift_interval
            }),
        }
    }

    /// What has to be in its namespace beside it.
    pub fn manifest(&self, server: &str) -> Result<String> {
        match self {
            Self::LocalCloud(cloud) => cloud.credentials_manifest(),
            Self::Hydra(_) => {
                let (api, scopes) = Kind::Hydra.asked();
                let scopes = scopes.map(|name| json!({"name": name, "grants": ["Application"]}));
                Ok(json!({
                    "apiVersion": "extapp.dev/v1alpha1", "kind": "ApiResource", "metadata": {"name": api},
                    "spec": {"serverRef": {"name": server}, "identifier": api, "scopes": scopes}
                })
                .to_string())
            }
        }
    }

    /// The requests that it has answered: method and path.
    pub fn requests(&self) -> Result<Vec<(String, String)>> {
        match self {
            Self::LocalCloud(cloud) => {
                let entry = |line: &String| {
                    let entry: Value = serde_json::from_str(line)?;
                    let of = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
                    Ok((of("method"), of("path")))
                };
                cloud.access_log()?.iter().map(entry).collect()
            }
            Self::Hydra(hydra) => Ok(hydra.requests()),
        }
    }

    /// Those after the first so many, by method and the shape of the path.
    pub fn answered(&self, after: usize) -> Result<BTreeMap<String, f64>> {
        let mut counts = BTreeMap::new();
        for (method, path) in self.requests()?.into_iter().skip(after) {
            *counts.entry(format!("{method} {}", shape(&path))).or_default() += 1.0;
        }
        Ok(counts)
    }
}

/// A path without identifiers.
fn shape(path: &str) -> String {
    let place = |part: &str| if part.len() == 36 && part.contains('-') { "…".to_owned() } else { part.to_owned() };
    let path = path.split_once("/identity_").map_or(path, |(_, rest)| rest);
    path.split('/').map(place).collect::<Vec<_>>().join("/")
}
