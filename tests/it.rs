//! All tests that need more than one module, as one program: it is linked once, and its tests share one control plane.

mod admission;
mod architecture;
mod budget;
mod canaries;
mod catalogue;
mod contract;
mod control_plane;
mod crash;
mod docs;
mod drift;
mod duties;
mod examples;
mod foreign_clients;
mod hydra;
mod import;
mod interrupted;
mod keycloak;
mod life;
mod local_cloud;
mod non_confidential;
mod observability;
mod permissions;
mod references;
mod registration;
mod registration_backend;
mod roles;
mod server_faults;
mod servers;
#[allow(dead_code, unused_imports, reason = "the examples use parts that no test does")]
mod support;
mod tenancy;
mod two_operators;
mod uipath_backend;
