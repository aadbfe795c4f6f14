//! extapp: a Kubernetes operator for OAuth external applications.
//!
//! Dependencies point one way: `api` ← `domain` ← {`server`, `controller`} ← `cli`; `local_cloud` stands alone.

pub mod admin;
#[allow(clippy::duplicated_attributes, reason = "columns of a table repeat their words")]
pub mod api;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod domain;
pub mod local_cloud;
pub mod metrics;
pub mod server;
pub mod telemetry;
